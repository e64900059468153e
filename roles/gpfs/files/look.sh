# What GPFS says of this node, a line each: "keyword word...". Changes nothing, and waits for no daemon that hangs.
# $1: directory of the mm commands  $2: seconds each may take  $3: type of its mounts  $4: number of files to
# fingerprint, which follow; then name and path of each file system
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
bin=$1 seconds=$2 type=$3 files=$4
shift 4
while [ "$files" -gt 0 ]; do
  [ -f "$1" ] && echo "file $(sha256sum < "$1" | cut -c1-64) $(stat -c %a:%U:%G "$1") $1"
  shift; files=$((files - 1))
done
[ -x "$bin/mmgetstate" ] || { echo "installed no"; exit 0; }
echo "installed yes"

# A command that hangs in the kernel is killed, and not waited for; it has none of our files open. Prints what it said.
late() {
  answer=$(mktemp -d /run/ddl-gpfs.XXXXXX)
  setsid sh -c 'to=$1; shift; "$@" > "$to/said" 2>&1; echo $? > "$to/new"; mv "$to/new" "$to/status"' sh "$answer" "$@" \
    < /dev/null > /dev/null 2>&1 &
  group=$! left=$((seconds * 20))
  while [ ! -e "$answer/status" ] && [ "$left" -gt 0 ]; do sleep 0.05; left=$((left - 1)); done
  if [ -e "$answer/status" ]; then cat "$answer/said"; status=$(cat "$answer/status")
  else kill -9 "-$group" 2> /dev/null; status=late; fi
  rm -rf "$answer"
  [ "$status" = 0 ]
}
# Columns by the names in the HEADER line; what is percent-encoded is decoded.
column() { awk -F: -v want="$1" -v key="${2:-}" -v is="${3:-}" '
  function decoded(s,  out, i) {
    out = ""
    while ((i = index(s, "%")) > 0) {
      out = out substr(s, 1, i - 1) sprintf("%c", hex(substr(s, i + 1, 2))); s = substr(s, i + 3)
    }
    return out s
  }
  function hex(h) { h = tolower(h); return (index("0123456789abcdef", substr(h, 1, 1)) - 1) * 16 + index("0123456789abcdef", substr(h, 2, 1)) - 1 }
  $3 == "HEADER" { split("", at); for (i = 1; i <= NF; i++) if ($i != "") at[$i] = i; next }
  (want in at) && (key == "" || decoded($at[key]) == is) { print decoded($at[want]) }'; }

said=$(late "$bin/mmgetstate" -Y); status=$?
state=$(echo "$said" | column state | head -n 1)
node=$(echo "$said" | column nodeName | head -n 1)
[ "$status" = 0 ] || state=late
echo "state ${state:-unreadable}"
echo "node ${node:-unknown}"
if [ "$state" = active ]; then
  echo "verbs $(late "$bin/mmfsadm" test verbs status | sed -n 's/.*VERBS RDMA status: *//p' | tr 'A-Z' 'a-z')"
fi
echo "autoload $(late "$bin/mmlsconfig" autoload -Y | column value | head -n 1)"
while [ $# -ge 2 ]; do
  found=$(awk -v p="$2" -v t="$type" '$5 == p { i = 7; while ($i != "-") i++; n = split($(i+2), w, "/")
    l = ($(i+1) == t ? "kernel " : "other ") w[n] } END { print l }' /proc/self/mountinfo)
  case "$found" in
    "kernel $1") echo "mounted $1 yes" ;;
    '') if [ -n "$(ls -A "$2" 2> /dev/null)" ]; then echo "mounted $1 filled"; else echo "mounted $1 no"; fi ;;
    *) echo "mounted $1 other" ;;
  esac
  shift 2
done
exit 0
