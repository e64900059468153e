# What is served and mounted here, a line each: "keyword word...". Changes nothing, and waits for no dead server.
# $1: seconds a mount may take to answer  $2: number of files to fingerprint, which follow
# then for each mount: path source fstype options
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
seconds=$1 files=$2
shift 2
while [ "$files" -gt 0 ]; do
  [ -f "$1" ] && echo "file $(sha256sum < "$1" | cut -c1-64) $(stat -c %a:%U:%G "$1") $1"
  shift; files=$((files - 1))
done
command -v mount.nfs > /dev/null && echo "client yes"
command -v exportfs > /dev/null && echo "server yes"
[ -e /usr/lib/python3/dist-packages/apt/__init__.py ] && echo "python-apt yes"
echo "active $(systemctl is-active nfs-server.service 2> /dev/null)"
echo "enabled $(systemctl is-enabled nfs-server.service 2> /dev/null)"
[ -r /proc/fs/nfsd/threads ] && echo "threads $(cat /proc/fs/nfsd/threads)"

# A child that hangs on a dead mount dies when the server comes back, and not before: it is not waited for, and keeps
# none of our files open.
alive() {
  answer=$(mktemp -u /run/ddl-nfs.XXXXXX)
  setsid sh -c 'stat -f -c %s -- "$1" > "$2" 2>&1; echo $? >> "$2"' sh "$1" "$answer" < /dev/null > /dev/null 2>&1 &
  left=$((seconds * 20))
  while [ "$left" -gt 0 ]; do
    if [ -s "$answer" ] && tail -n 1 "$answer" | grep -qx '[0-9][0-9]*'; then
      if [ "$(tail -n 1 "$answer")" = 0 ]; then echo alive
      elif grep -qi 'stale' "$answer"; then echo stale; else echo broken; fi
      rm -f "$answer"; return
    fi
    sleep 0.05; left=$((left - 1))
  done
  kill -9 "$!" 2> /dev/null
  rm -f "$answer"; echo hung
}

# The last line of mountinfo for a path is what is on top; the words are as /proc has them.
top() { awk -v p="$1" '$5 == p { i = 7; while ($i != "-") i++; l = $3 " " $4 " " $(i+1) " " $(i+2) " " $6 "," $(i+3) }
  END { print l }' /proc/self/mountinfo; }
# Device and directory of a path, whatever mount it is in: what a bind mount of it shows.
under() { awk -v p="$1" '{ point = $5; inside = (point == "/" || p == point || index(p, point "/") == 1)
    if (inside && length(point) >= best) { best = length(point); d = $3; rest = substr(p, (point == "/" ? 1 : best + 1))
      r = ($4 == "/" ? "" : $4) rest; if (r == "") r = "/" } }
  END { print d, r }' /proc/self/mountinfo; }

while [ $# -ge 4 ]; do
  path=$1 source=$2 type=$3 options=$4
  shift 4
  line=$(awk -v p="$path" '$1 !~ /^#/ && $2 == p { print $1, $2, $3, $4, ($5 == "" ? 0 : $5), ($6 == "" ? 0 : $6) }' /etc/fstab 2> /dev/null)
  if [ "$line" = "$source $path $type $options 0 0" ]; then fstab=written; else fstab=other; fi
  found=$(top "$path")
  case "$found" in
    '') if [ ! -e "$path" ]; then state=missing
        elif [ ! -d "$path" ]; then state=file
        elif [ -n "$(ls -A "$path" 2> /dev/null)" ]; then state=filled
        else state=empty; fi
        why=- ;;
    *' autofs '*) state=automount why=- ;;
    *)
      state=$(alive "$path") why=-
      if [ "$state" = alive ]; then
        read -r device root kind from flags << END
$found
END
        case ",$options," in
          *,bind,* | *,rbind,*) [ "$device $root" = "$(under "$source")" ] || { state=wrong; why="it is $from$root"; } ;;
          *) if [ "${from%/}" != "${source%/}" ]; then state=wrong why="it is $from"
             elif [ "$kind" != "$type" ] && [ "$type/$kind" != nfs/nfs4 ]; then state=wrong why="it is of type $kind"; fi ;;
        esac
        if [ "$state" = alive ]; then
          for word in $(echo "$options" | tr , ' '); do
            # What only mount(8) and systemd read, or the server decides, is not compared; `rw` only with `ro`.
            case "$word" in
              ro | noatime | hard | soft | vers=*.* | nfsvers=*.* | proto=* | sec=* | noexec | nosuid | nodev | nolock)
                case ",$flags," in *",${word#nfs},"*) ;; *) state=options why="$why $word" ;; esac ;;
              rw) case ",$flags," in *,ro,*) state=options why="$why $word" ;; esac ;;
            esac
          done
          case ",$options," in *,ro,*) ;; *) case ",$flags," in *,ro,*) state=options why="$why rw" ;; esac ;; esac
        fi
      fi ;;
  esac
  echo "mount $path $state $fstab $why"
done
for d in $(awk '{ i = 7; while ($i != "-") i++; if ($(i+1) ~ /^nfs4?$/) print $3 }' /proc/self/mountinfo); do
  [ -r "/sys/class/bdi/$d/read_ahead_kb" ] && echo "readahead $d $(cat "/sys/class/bdi/$d/read_ahead_kb")"
done
exit 0
