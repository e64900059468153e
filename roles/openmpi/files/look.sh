# What Open MPI this node has, and how sessions find it, a line each: "keyword word...". Changes nothing.
# $1: prefix  $2: directory that is a link to a build, or ""  $3: packages, by commas  $4: job user, or ""
# the rest: files to fingerprint
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
prefix=$1 tree=$2 packages=$3 user=$4
shift 4
print_file() { echo "file $(sha256sum < "$1" | cut -c1-64) $(stat -c %a:%U:%G "$1") $1"; }
for f; do [ -f "$f" ] && print_file "$f"; done
for p in $(echo "$packages" | tr , ' '); do
  if command -v dpkg-query > /dev/null; then
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2> /dev/null)" = installed ] && echo "package $p"
  else
    rpm -q --quiet "$p" && echo "package $p"
  fi
done
[ -e /usr/lib/python3/dist-packages/apt/__init__.py ] && echo "python-apt yes"
# What is built on one machine runs on another of the same system only.
echo "machine $(. /etc/os-release; echo "$ID-${VERSION_ID%%.*}")-$(uname -m)"
if [ -n "$tree" ] && [ -L "$tree" ]; then echo "link $(readlink "$tree")"
elif [ -n "$tree" ] && [ -e "$tree" ]; then echo "occupied $tree"; fi

# How sessions find programs: by PAM's /etc/environment, and sudo by a path of its own.
path=$(sed -n 's/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}PATH=//p' /etc/environment 2> /dev/null | tail -n 1 | tr -d "\"'")
echo "environment ${path:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
opal=$(sed -n 's/^OPAL_PREFIX=//p' /etc/environment 2> /dev/null | tail -n 1 | tr -d "\"'")
[ -n "$opal" ] && echo "opal $opal"
path=$(sudo -V 2> /dev/null | sed -n "s/^Value to override user's \$PATH with: //p")
[ -n "$path" ] && echo "sudo $path"
sed -n 's/^# prefix: \//former \//p' /etc/profile.d/ddl-openmpi.sh 2> /dev/null
for d in /usr/share/modules/modulefiles /etc/lmod/modules /usr/share/modulefiles /etc/modulefiles; do
  [ -d "$d" ] && { echo "modules $d"; [ -f "$d/ddl-openmpi" ] && print_file "$d/ddl-openmpi"; break; }
done

# What others set, and what wins over our files: "other FILE NAME VALUE".
home=$([ -n "$user" ] && getent passwd "$user" | cut -d: -f6)
for f in /etc/environment /etc/security/pam_env.conf /etc/profile.d/*.sh ${home:+"$home/.profile" "$home/.bash_profile" "$home/.bashrc"}; do
  [ -f "$f" ] && sed -nE 's/^[[:space:]]*(export[[:space:]]+)?(OMPI_MCA_|UCX_)([A-Za-z0-9_]+)(=|[[:space:]]+DEFAULT=)("?)([^"#;]*).*$/\2 \3 \6/p' "$f" |
    sed -E "s|^OMPI_MCA_ ||; s|^UCX_ |UCX_|; s|^|other $f |"
done
[ -n "$home" ] && for f in "$home/.openmpi/mca-params.conf" "$home/ucx.conf"; do
  [ -f "$f" ] && sed -nE 's/^[[:space:]]*([A-Za-z0-9_]+)[[:space:]]*=[[:space:]]*([^#]*).*$/\1 \2/p' "$f" | sed -E "s|^|other $f |"
done

for f in "$prefix/etc/openmpi-mca-params.conf"; do
  [ -f "$f" ] && sed -nE 's/^[[:space:]]*([A-Za-z0-9_]+)[[:space:]]*=[[:space:]]*([^#]*).*$/own \1 \2/p' "$f"
done

# What the installation says of itself. Moved builds (HPC-X) have to be told where they are.
[ -x "$prefix/bin/mpirun" ] || exit 0
[ "${prefix%/ompi}" != "$prefix" ] && export OPAL_PREFIX="$prefix"
# As root mpirun only prints its version where it is told that root may.
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 20 "$prefix/bin/mpirun" --version 2> /dev/null |
  sed -n 's/^mpirun (Open MPI) \([0-9][^ ]*\).*/version \1/p'
[ -x "$prefix/bin/ompi_info" ] || exit 0
timeout 20 "$prefix/bin/ompi_info" --parsable --all 2> /dev/null | sed -n \
  -e 's/^config:cli:/configure /p' -e 's/^config:timestamp:/built /p' \
  -e 's/^mca:[a-z]*:base:param:mpi_built_with_cuda_support:value:/cuda /p' \
  -e 's/^mca:[a-z]*:base:param:opal_built_with_cuda_support:value:/cuda /p' | sort -u
declared=$(timeout 20 "$prefix/bin/ompi_info" --parsable --path pkglibdir 2> /dev/null | sed -n 's/^path:pkglibdir://p')
pal=$(ldd "$prefix/bin/ompi_info" 2> /dev/null | sed -n 's/.*libopen-pal\.so[^ ]* => \(\/[^ ]*\).*/\1/p')
# UCX is a library of the component, or of Open MPI itself where components are built in.
for f in "${pal%/*}/openmpi/mca_pml_ucx.so" "$declared/mca_pml_ucx.so" "${pal%/*}"/libmpi.so.* "$pal"; do
  ucp=$(ldd "$f" 2> /dev/null | sed -n 's/^[[:space:]]*libucp\.so[^ ]* => \(\/[^ ]*\).*/\1/p' | head -n 1)
  [ -n "$ucp" ] && break
done
if [ -n "$ucp" ]; then
  echo "ucx $(sha256sum < "$(readlink -f "$ucp")" | cut -c1-12)"
  "$prefix/bin/ucx_info" -v 2> /dev/null | sed -n 's/^# Library version: /ucx-version /p; s/^# Version /ucx-version /p' | head -n 1
fi
exit 0
