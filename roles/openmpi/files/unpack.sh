# Unpacks a build beside the one in force, and asks it what it is; nothing of the one in force is touched.
# $1 packed build  $2 its SHA-256  $3 directory of builds  $4 name of this one  $5 where in it Open MPI is: "" or /ompi
# $6 cuda, if it has to be CUDA-aware  $7 name of the one in force, or ""  $8 leading directories of the archive
# Says the same words as look.sh; ends with one sentence and status 1 if this build must not be put in force.
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
packed=$1 sum=$2 store=$3 id=$4 below=$5 cuda=$6 force=$7 strip=$8
fail() { rm -rf "$store/$id.part"; echo "$*" >&2; exit 1; }
[ "$(sha256sum < "$packed" | cut -c1-64)" = "$sum" ] || fail "$packed is not what was packed: its SHA-256 differs from $sum"
rm -rf "$store/$id.part"
mkdir "$store/$id.part" && tar -xf "$packed" -C "$store/$id.part" --strip-components="$strip" --no-same-owner ||
  fail "$packed could not be unpacked in $store"
new=$store/$id.part$below
[ -x "$new/bin/mpirun" ] || fail "$packed holds no $below/bin/mpirun"
said=$(OPAL_PREFIX=$new LD_LIBRARY_PATH=$new/lib:$store/$id.part/ucx/lib timeout 60 "$new/bin/ompi_info" --parsable --all 2>&1) ||
  fail "what was unpacked does not start here: $(echo "$said" | tail -n 1)"
echo "$said" | sed -n 's/^ompi:version:full:v\{0,1\}/version /p'
if [ -n "$cuda" ]; then
  echo "$said" | grep -qE '^mca:[a-z]*:base:param:(mpi|opal)_built_with_cuda_support:value:true' ||
    fail "openmpi_cuda is true, but this build says mpi_built_with_cuda_support:value:false"
fi
rm -rf "${store:?}/$id"
mv -T "$store/$id.part" "$store/$id" || fail "$store/$id could not be put in its place"
# The one in force stays, and so does nothing older.
for old in "$store"/*; do
  case ${old##*/} in "$id" | "$force") ;; *) rm -rf "$old" ;; esac
done
rm -f "$packed"
exit 0
