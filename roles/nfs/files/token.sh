# Write, read or remove tokens on shared file systems, within a deadline and without waiting for a dead server.
# $1: write, read or remove  $2: seconds  $3: job user, or -
# then for each: directory, name, and what it must say (- for write and remove).
# A line each: "token DIRECTORY ok WORD" or "token DIRECTORY WHY".
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
step=$1 seconds=$2 user=$3
shift 3
work='
  f="$2/.ddl-prove.$3"
  case "$1" in
    write) rm -f "$f"; set -C; echo "$4" > "$f" && sync "$f" ;;
    read) n=0; until [ "$(cat "$f" 2>/dev/null)" = "$4" ]; do
        n=$((n + 1)); [ "$n" -lt "$5" ] || { echo "the other node wrote it, and it is not to be seen here"; exit 1; }; sleep 0.1; done ;;
    remove) rm -f "$f" ;;
  esac'
# A squashed root is nobody: then the job user does it, as jobs do.
each='
  sh -c "$1" sh "$2" "$3" "$4" "$5" "$6" > "$7/said" 2>&1; status=$?
  if [ "$status" != 0 ] && [ "$8" != - ] && [ "$2" != read ]; then
    runuser -u "$8" -- sh -c "$1" sh "$2" "$3" "$4" "$5" "$6" >> "$7/said" 2>&1; status=$?
  fi
  echo "$status" > "$7/status.new"; mv "$7/status.new" "$7/status"'
while [ $# -ge 3 ]; do
  word=$3
  [ "$step" != write ] || word=$(cat /proc/sys/kernel/random/uuid)
  answer=$(mktemp -d /run/ddl-token.XXXXXX)
  setsid sh -c "$each" sh "$work" "$step" "$1" "$2" "$word" "$((seconds * 10))" "$answer" "$user" < /dev/null > /dev/null 2>&1 &
  left=$((seconds * 20 + 100))
  while [ ! -e "$answer/status" ] && [ "$left" -gt 0 ]; do sleep 0.05; left=$((left - 1)); done
  if [ ! -e "$answer/status" ]; then kill -9 "$!" 2> /dev/null; echo "token $1 no answer within $seconds s"
  elif [ "$(cat "$answer/status")" = 0 ]; then echo "token $1 ok $word"
  else echo "token $1 $(tail -n 1 "$answer/said" | cut -c1-200)"; fi
  rm -rf "$answer"
  shift 3
done
exit 0
