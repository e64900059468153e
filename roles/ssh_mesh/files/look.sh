# What decides about ssh on this node, a line each: "keyword word...". Changes nothing; prints no secret.
# $1 job user  $2 name of its key  $3 names of the cluster, by commas  $4 the system's known_hosts
# the rest: files to fingerprint
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
user=$1 key=$2 names=$3 global=$4
shift 4
for f in "$global" "$@"; do
  [ -f "$f" ] && echo "file $(sha256sum < "$f" | cut -c1-64) $(stat -c %a:%U:%G "$f") $f"
done
if settings=$(sshd -T -C user="$user",host=localhost,addr=127.0.0.1 2> /dev/null); then
  echo "$settings" | sed -nE 's/^(maxstartups|maxsessions|authorizedkeysfile) /sshd &/p'
  echo "$settings" | grep -q '^persourcepenalt' && echo "sshd penalties"
  host_keys=$(echo "$settings" | sed -n 's/^hostkey \(.*\)$/\1.pub/p')
else
  host_keys=$(ls /etc/ssh/ssh_host_*_key.pub 2> /dev/null)
fi
for f in $host_keys; do [ -f "$f" ] && awk '$1 ~ /^(ssh-|ecdsa-)/ { print "host", $1, $2; exit }' "$f"; done
systemctl show -p Id -p MainPID ssh.service sshd.service 2> /dev/null | awk -F= '
  $1 == "Id" { id = $2 } $1 == "MainPID" { pid = $2 }
  function tell() { if (id != "" && pid > 0 && !told) { print "unit", id; told = 1 } id = pid = "" }
  $0 == "" { tell() } END { tell() }'
grep -qsiE '^[[:space:]]*include[[:space:]].*/etc/ssh/sshd_config\.d/' /etc/ssh/sshd_config && echo "include sshd"
grep -qsiE '^[[:space:]]*include[[:space:]].*ssh_config\.d/' /etc/ssh/ssh_config && echo "include ssh"
{ ip -o -4 addr show scope global; ip -o -6 addr show scope global -temporary; } 2> /dev/null |
  awk '{ sub("/.*", "", $4); print "address " $4 }'
[ -f "$global" ] && awk '/^# END ddl ssh_mesh$/ { on = 0; next } /^# BEGIN ddl ssh_mesh$/ { on = 1 } !on { print "foreign", $0 }' "$global"

home=$(getent passwd "$user" | cut -d: -f6)
if [ -z "$home" ] || [ ! -d "$home" ]; then
  echo "nobody $user"
  exit 0
fi
echo "home $home"
echo "group $(id -gn "$user")"
for f in "$home" "$home/.ssh" "$home/.ssh/authorized_keys" "$home/.ssh/$key"; do
  [ -e "$f" ] && echo "mode $(stat -c '%a %U' "$f") $f"
  [ -e "$f" ] && [ -n "$(find "$f" -maxdepth 0 -perm /022)" ] && echo "writable $f"
done
if [ -f "$home/.ssh/$key" ]; then
  echo "secret $(sha256sum < "$home/.ssh/$key" | cut -c1-64)"
  ssh-keygen -y -P '' -f "$home/.ssh/$key" 2> /dev/null < /dev/null | awk '{ print "public", $1, $2 }'
fi
sed -n 's/^.* ddl-ssh_mesh$/authorized &/p' "$home/.ssh/authorized_keys" 2> /dev/null
if [ -s "$home/.ssh/known_hosts" ]; then
  for name in $(echo "$names" | tr , ' '); do
    ssh-keygen -F "$name" -f "$home/.ssh/known_hosts" 2> /dev/null | awk -v n="$name" '!/^#/ && $1 !~ /^@/ { print "known", n, $2, $3 }'
  done
fi
exit 0
