# What decides about locked memory on this node, a line each: "keyword word...". Changes nothing.
# $1 declared limit (KiB or unlimited)  $2 units, by commas  $3 our limits.d file  $4 users, by commas
# the rest: files to fingerprint
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
limit=$1 units=$2 ours=$3 users=$4
shift 4
for f; do [ -f "$f" ] && echo "file $(sha256sum < "$f" | cut -c1-64) $(stat -c %a:%U:%G "$f") $f"; done

# Can a service have the limit? Always where root may raise one; in a container without CAP_SYS_RESOURCE only what
# process 1 was given.
if (ulimit -l "$limit") 2> /dev/null; then echo "raise yes"; else
  awk -v want="$limit" '/^Max locked memory/ {
    print "raise", ($5 == "unlimited" || (want != "unlimited" && $5 / 1024 >= want)) ? "yes" : "no"
    print "hard", $5 / 1024 }' /proc/1/limits
fi

# systemd speaks of bytes and infinity, the kernel of bytes and unlimited, PAM of KiB.
systemctl show -p DefaultLimitMEMLOCK 2> /dev/null | awk -F= -v want="$limit" '
  { print "manager", ($2 == "infinity" || (want != "unlimited" && $2 / 1024 >= want)) ? "ok" : "low" }'
systemctl show -p Id -p LoadState -p MainPID -p LimitMEMLOCK $(echo "$units" | tr , ' ') 2> /dev/null | awk -F= -v want="$limit" '
  function tell(  file, line, word, state) {
    if (load == "loaded" && !(id in told)) {
      told[id] = 1; state = "ok"; file = "/proc/" pid "/limits"
      if (pid > 0) while ((getline line < file) > 0)
        if (line ~ /^Max locked memory/) {
          split(line, word, / +/)
          if (word[4] != "unlimited" && (want == "unlimited" || word[4] / 1024 < want)) state = "low"
        }
      print "unit", id, pid, state, (set == "infinity" || (want != "unlimited" && set / 1024 >= want)) ? "ok" : "low"
    }
    id = load = pid = set = ""
  }
  $1 == "Id" { id = $2 } $1 == "LoadState" { load = $2 } $1 == "MainPID" { pid = $2 }
  $1 == "LimitMEMLOCK" { set = $2 }
  $0 == "" { tell() } END { if (id != "") tell() }'

# PAM stacks whose sessions get no limits at all.
limited() {
  grep -qsE '^-?session[[:space:]].*pam_limits\.so' "/etc/pam.d/$1" && return 0
  for other in $(sed -nE 's/^@include[[:space:]]+([^[:space:]]+).*/\1/p
    s/^-?session[[:space:]]+(include|substack)[[:space:]]+([^[:space:]]+).*/\2/p' "/etc/pam.d/$1" 2> /dev/null); do
    limited "$other" && return 0
  done
  return 1
}
for service in sshd login su su-l sudo sudo-i cron crond; do
  [ -f "/etc/pam.d/$service" ] && { limited "$service" || echo "pam $service"; }
done
sshd -T 2> /dev/null | grep '^usepam '
grep -qsiE '^[[:space:]]*include[[:space:]].*/etc/ssh/sshd_config\.d/' /etc/ssh/sshd_config && echo "include yes"

# Entries that win over ours with less: for `*` and root those in a file read later, for a named user anywhere.
awk -v want="$limit" -v ours="$ours" -v users=",$users," '
  $3 == "memlock" && $1 !~ /^#/ && FILENAME != ours {
    if ($4 ~ /^(unlimited|infinity|-1)$/ || (want != "unlimited" && $4 + 0 >= want + 0)) next
    later = FILENAME != "/etc/security/limits.conf" && FILENAME > ours
    if ((($1 == "*" || $1 == "root") && later) || index(users, "," $1 ","))
      print "override " FILENAME ":" $0
    else if ($1 != "*" && $1 != "root") print "exception " FILENAME ": " $0
  }' $(ls /etc/security/limits.conf /etc/security/limits.d/*.conf 2> /dev/null) /dev/null
exit 0
