# Where traffic is steered to, a line each: "keyword word...". Changes nothing.
# $1: the declared interface; the rest: files that carry a block of ours
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
interface=$1
shift
ip -o link show dev "$interface" > /dev/null 2>&1 && echo "interface $interface"
ip -o addr show dev "$interface" 2> /dev/null | awk '$3 ~ /^inet/ { sub("/.*", "", $4); print "address " $4 }'
for f; do
  [ -f "$f" ] && awk -v f="$f" '/^# END ddl interfaces$/ { on = 0 } on { print "block", f, $0 } /^# BEGIN ddl interfaces$/ { on = 1 }' "$f"
done
exit 0
