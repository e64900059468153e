# What of the gate is on this node, a line each: "keyword word...". Changes nothing.
# $1: launcher  $2: intent file  $3: folder of libraries  $4: status file  $5: seconds after which a result is old; the rest: files to fingerprint
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
launcher=$1 intent=$2 libraries=$3 status=$4 most=$5
shift 5
for f in "$launcher" "$@"; do [ -f "$f" ] && echo "file $(sha256sum < "$f" | cut -c1-64) $(stat -c %a:%U:%G "$f") $f"; done
[ -d "${intent%/*}" ] && echo "folder yes"
if [ -f "$intent" ]; then
  # {"hash":"64 digits","made":seconds,... : the hash is of all that follows the seconds. An edited file is no intent.
  set -- $(head -c 400 "$intent" | sed -n 's/^{"hash":"\([0-9a-f]*\)","made":\([0-9]*\),.*/\1 \2/p') "$@"
  [ "$(tail -c +$((83 + ${#2})) "$intent" 2> /dev/null | sha256sum | cut -c1-64)" = "$1" ] && echo "intent $1 $2 $(stat -c %a:%U:%G "$intent")"
fi
for f in "$libraries"/*/complete; do [ -f "$f" ] && f=${f%/complete} && echo "library ${f##*/}"; done
/usr/bin/python3 -IS -c 'import sys; print("python", *sys.version_info[:2])' 2> /dev/null || echo "python none"
[ -d /run/systemd/system ] && echo "systemd yes"
echo "active $(systemctl is-active ddlcheck.timer 2> /dev/null)"
echo "enabled $(systemctl is-enabled ddlcheck.timer 2> /dev/null)"
# A result of this boot that is not too old; its moment is counted from the boot, as the kernel does.
if [ -f "$status" ] && grep -q "\"boot\":\"$(cat /proc/sys/kernel/random/boot_id)\"" "$status"; then
  sed -n 's/.*"since_boot":\([0-9]*\).*/\1/p' "$status" | awk -v most="$most" '{ getline now < "/proc/uptime"; if (now - $1 < most) print "result yes" }'
fi
exit 0
