# Builds UCX, then Open MPI, for a prefix that it does not touch: staged below the work directory, and packed.
# $1 work directory: holds ucx.tar* and openmpi.tar* in in/, and ucx.flags, openmpi.flags (a word a line)
# $2 prefix  $3 processes of make, 0: one a processor  $4 CUDA toolkit, or ""  $5 directory of its link stubs, or ""
# Leaves out.tar.gz and its out.sha256, and "step" with the name of the last step that was begun; says all else in build.log.
set -eu
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
work=$1 prefix=$2 jobs=$3 cuda=$4 stubs=$5
cd "$work"
[ "$jobs" -gt 0 ] || jobs=$(nproc)
exec > build.log 2>&1 < /dev/null
rm -rf root ucx openmpi out.tar.gz out.tar.gz.part
step() { echo "$*" | tee "$work/step"; }

# A word a line becomes the arguments of a command, whatever it holds.
words() {
  flags=$1; shift
  set -- "$@"
  while IFS= read -r word; do [ -z "$word" ] || set -- "$@" "$word"; done < "$flags"
  "$@"
}

unpack() {
  step "unpacking $1"
  mkdir "$1"
  tar -xf in/"$1".tar* -C "$1" --strip-components=1 --no-same-owner
}

stage=$work/root$prefix
# Run paths, not LD_LIBRARY_PATH: a session's environment can say nothing against them that it does not mean to.
link="-Wl,--enable-new-dtags -Wl,-rpath,$prefix/lib"

unpack ucx
cd ucx
# Debian's upstream tarballs carry upstream's debian/, which configure.ac names, under this name.
[ ! -d debian.upstream ] || [ -d debian ] || mv debian.upstream debian
if [ ! -x configure ]; then step "autogen of UCX"; ./autogen.sh; fi
step "configure of UCX"
set -- ./configure --prefix="$prefix" --libdir="$prefix/lib" --sysconfdir="$prefix/etc" --disable-static --enable-mt \
  --disable-logging --disable-debug --disable-assertions --disable-params-check --disable-doxygen-doc \
  --without-java --without-go LDFLAGS="$link"
[ -z "$cuda" ] || set -- "$@" --with-cuda="$cuda"
[ -n "$cuda" ] || set -- "$@" --without-cuda
words ../ucx.flags "$@"
step "make of UCX"
make -j "$jobs"
step "installation of UCX"
make install DESTDIR="$work/root"
# They name the prefix, where there is no such library yet, or another one.
find "$work/root" -name '*.la' -delete
cd ..

unpack openmpi
cd openmpi
major=$(sed -n 's/^major=//p' VERSION)
step "configure of Open MPI"
set -- ./configure --prefix="$prefix" --libdir="$prefix/lib" --sysconfdir="$prefix/etc" --with-ucx="$stage" \
  --without-verbs LDFLAGS="$link -Wl,-rpath-link,$stage/lib"
# So that mpirun tells its daemons where they are: no session has to have them in its PATH.
if [ "$major" -ge 5 ]; then set -- "$@" --enable-prte-prefix-by-default
else set -- "$@" --enable-mpirun-prefix-by-default; fi
[ -z "$cuda" ] || set -- "$@" --with-cuda="$cuda"
[ -z "$cuda" ] || [ "$major" -lt 5 ] || [ -z "$stubs" ] || set -- "$@" --with-cuda-libdir="$stubs"
words ../openmpi.flags "$@"
step "make of Open MPI"
make -j "$jobs"
step "installation of Open MPI"
make install DESTDIR="$work/root"
find "$work/root" -name '*.la' -delete
cd ..

if [ -n "$cuda" ]; then
  step "CUDA runtime"
  # The one library of the toolkit that UCX needs when it runs: nodes without a toolkit can do without one. The link
  # stubs stay here: found when a program runs, they would hide the driver.
  cp -L "$(ls "$cuda"/lib64/libcudart.so.[0-9]* "$cuda"/lib/libcudart.so.[0-9]* 2> /dev/null | sort | head -n 1)" "$stage/lib/"
fi

step "proof"
mkdir -p "$stage/share/ddl-openmpi"
said=$(OPAL_PREFIX=$stage LD_LIBRARY_PATH=$stage/lib "$stage/bin/ompi_info" --parsable --all)
if [ -n "$cuda" ]; then
  echo "$said" | grep -E '^mca:[a-z]*:base:param:(mpi|opal)_built_with_cuda_support:value:true'
  ls "$stage/lib/ucx/libuct_cuda.so"
fi
echo "$said" | grep -E '^(config|ompi:version:full):' > "$stage/share/ddl-openmpi/ompi_info"
[ ! -e recipe.json ] || cp recipe.json "$stage/share/ddl-openmpi/"
gzip -9 < build.log > "$stage/share/ddl-openmpi/build.log.gz"

step "packing"
find "$stage/bin" "$stage/lib" -type f -exec sh -c 'for f; do
  case $(head -c 4 "$f" | od -An -c | tr -d " ") in 177ELF) strip --strip-unneeded "$f" ;; esac; done' sh {} +
tar -C "$stage" --owner=0 --group=0 --numeric-owner --sort=name -cf - . | gzip -n > out.tar.gz.part
mv out.tar.gz.part out.tar.gz
sha256sum < out.tar.gz | cut -c1-64 > out.sha256
step "done"
