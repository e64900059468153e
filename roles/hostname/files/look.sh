# What this node is called, a line each: "keyword word...". Changes nothing.
# $1: the declared name; the rest: files to fingerprint
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
echo "kernel $(uname -n)"
echo "static $(cat /etc/hostname 2> /dev/null)"
getent -s files hosts "$1" > /dev/null && echo "resolves $1"
shift
[ -d /etc/cloud/cloud.cfg.d ] && echo "cloud yes"
for f; do [ -f "$f" ] && echo "file $(sha256sum < "$f" | cut -c1-64) $(stat -c %a:%U:%G "$f") $f"; done
exit 0
