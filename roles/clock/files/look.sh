# What keeps this node's clock, a line each: "keyword word...". Changes nothing.
# $1: unit  $2: rivals, by commas; the rest: files to fingerprint
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
unit=$1 rivals=$2
shift 2
for f; do [ -f "$f" ] && echo "file $(sha256sum < "$f" | cut -c1-64) $(stat -c %a:%U:%G "$f") $f"; done
command -v chronyd > /dev/null && echo "installed yes"
[ -e /usr/lib/python3/dist-packages/apt/__init__.py ] && echo "python-apt yes"
echo "active $(systemctl is-active "$unit")"
echo "enabled $(systemctl is-enabled "$unit" 2> /dev/null)"
systemctl show -p Id -p ActiveState -p UnitFileState $(echo "$rivals" | tr , ' ') | awk -F= '
  $1 == "Id" { id = $2 } $1 == "ActiveState" { a = $2 } $1 == "UnitFileState" { e = $2 }
  function tell() { if (a == "active" || e == "enabled") print "rival", id; id = a = e = "" }
  $0 == "" { tell() } END { if (id != "") tell() }'
timeout 5 chronyc -n tracking 2> /dev/null | awk -F': ' '/^Leap status/ && $2 != "Not synchronised" { print "synchronised yes" }'
exit 0
