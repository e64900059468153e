# Keywords ("keyword word..."), a line of dashes, then /etc/hosts as it is. Changes nothing. $@: files to fingerprint.
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
for f; do [ -f "$f" ] && echo "file $(sha256sum < "$f" | cut -c1-64) $(stat -c %a:%U:%G "$f") $f"; done
[ -d /etc/cloud/cloud.cfg.d ] && echo "cloud yes"
sed -n 's/^hosts:[[:space:]]*\([^#]*\)/order \1/p' /etc/nsswitch.conf 2> /dev/null | tr -s '\t ' '  '
[ -f /etc/hosts ] && stat -c 'mode %a:%U:%G' /etc/hosts
echo -----
cat /etc/hosts 2> /dev/null
exit 0
