# Run one mm command that changes something, with a deadline, in the background: one that hangs is not waited for.
# $1: seconds; the rest: the command. Ends with its status, or 124 where time was up.
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
seconds=$1
shift
answer=$(mktemp -d /run/ddl-gpfs.XXXXXX)
setsid sh -c 'to=$1; shift; "$@" > "$to/said" 2>&1; echo $? > "$to/new"; mv "$to/new" "$to/status"' sh "$answer" "$@" \
  < /dev/null > /dev/null 2>&1 &
group=$! left=$((seconds * 10))
while [ ! -e "$answer/status" ] && [ "$left" -gt 0 ]; do sleep 0.1; left=$((left - 1)); done
if [ -e "$answer/status" ]; then tail -n 3 "$answer/said"; status=$(cat "$answer/status")
else kill -9 "-$group" 2> /dev/null; echo "no answer within $seconds s"; status=124; fi
rm -rf "$answer"
exit "$status"
