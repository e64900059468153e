# Run by sh on every node, by the very mpirun that is being tested: builds the rank program with the
# mpicc found there, and keeps it in the user's cache by the hash of source and compiler.
# Arguments: the source (gzip, base64), the mpicc to use ('' for the one in PATH), then the program's own:
# none to build and say so, else the program is run with them.
source=$1 mpicc=${2:-mpicc}
shift 2
fail() { # one line for the controller, and time for the other nodes to say theirs
  why=$(printf '%s' "$1" | tr '\n\t"\\' "    " | cut -c 1-400)
  printf '@ddlcheck@ {"t":"build","rank":%s,"host":"%s","why":"%s"}\n' \
    "${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:--1}}}" "$(uname -n)" "$why"
  sleep 3
  exit 97
}
umask 077
command -v "$mpicc" >/dev/null 2>&1 || {
  barred=$(IFS=:; for d in $PATH ""; do if [ -e "$d/$mpicc" ]; then printf '%s ' "$d/$mpicc"; fi; done)
  fail "no compiler: ${barred:-$mpicc is not in PATH ($PATH)}${barred:+may not be executed}"
}
compiler=$("$mpicc" --version 2>&1; "$mpicc" --showme 2>&1 || "$mpicc" -show 2>&1)
key=$(printf '%s\n%s' "$source" "$compiler" | sha256sum | cut -c 1-16) || fail "sha256sum is missing"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ddlcheck
program=$cache/rank-$key
if [ ! -x "$program" ]; then
  mkdir -p "$cache" || fail "cannot write to $cache"
  work=$(TMPDIR=$cache mktemp -d "$cache/build.XXXXXX" 2>&1) || fail "cannot write to $cache: $work"
  trap 'rm -rf "$work"' EXIT
  printf '%s' "$source" | base64 -d | gzip -d >"$work/rank.c" || fail "cannot write to $work"
  said=$(TMPDIR=$work "$mpicc" -O2 -std=gnu11 -o "$work/rank" "$work/rank.c" -ldl -pthread 2>&1) || fail "$mpicc failed: $said"
  # A shared home: whoever is last wins, with the same bytes.
  mv -f "$work/rank" "$program" || fail "cannot write to $cache"
  rm -rf "$work"
  trap - EXIT
fi
if [ $# -eq 0 ]; then
  # A folder that is mounted noexec, or a library that is not there, shows here and not in the middle of a launch.
  said=$("$program" try 2>&1) || fail "cannot execute $program: $said"
  printf '@ddlcheck@ {"t":"built","rank":%s,"host":"%s","mpi":"%s"}\n' \
    "${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${PMI_RANK:--1}}}" "$(uname -n)" \
    "$(printf %s "$said" | tr '\n\t"\\' "    " | cut -c 1-120)"
  exit 0
fi
exec "$program" "$@"
