# What Open MPI this node has, a line each: "keyword word...". Changes nothing.
# $1: prefix  $2: packages, by commas; the rest: files to fingerprint
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
prefix=$1 packages=$2
shift 2
for f; do [ -f "$f" ] && echo "file $(sha256sum < "$f" | cut -c1-64) $(stat -c %a:%U:%G "$f") $f"; done
for p in $(echo "$packages" | tr , ' '); do
  if command -v dpkg-query > /dev/null; then
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2> /dev/null)" = installed ] && echo "package $p"
  else
    rpm -q --quiet "$p" && echo "package $p"
  fi
done
[ -e /usr/lib/python3/dist-packages/apt/__init__.py ] && echo "python-apt yes"
# As root mpirun only prints its version where it is told that root may.
[ -x "$prefix/bin/mpirun" ] && OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 20 "$prefix/bin/mpirun" --version 2> /dev/null |
  sed -n 's/^mpirun (Open MPI) \([0-9][^ ]*\).*/version \1/p'
exit 0
