/* One rank of ddlcheck's fabric test: ping-pong with every other node, one partner at a time.
 *
 * Built on the node with the mpicc that is being verified. Arguments are key=value (see `options`).
 * Every line for the controller starts with MARK and holds one JSON object, written by one write(2),
 * so that what else lands on stdout can be told apart. Times in microseconds, rates in MB/s (10^6).
 *
 * Nobody waits for ever. Before a pair is timed, both shake hands without blocking and give up after
 * `patience` seconds; that pair is then named and the run goes on. Inside a timed section calls block,
 * as in the OSU benchmarks (a non-blocking loop costs up to a third of a shared-memory latency), and an
 * alarm ends the process after naming the pair; the controller starts the remaining rounds anew.
 *
 * One rank, the hub, opens and closes every round. It speaks to each rank directly: a collective would
 * travel over pairs that are not being tested, and its hang would name nobody. Ranks report to the hub
 * only when it asks, which is after its own pair is done, so that it is not disturbed while it measures.
 */
#define _GNU_SOURCE
#include "base.h"
#include "witness.h"
#include "deadlines.h"
#include "links.h"
#include "counters.h"
#include "contents.h"
#include "window.h"
#include "measure.h"
#include "cuda.h"
#include "pair.h"
#include "schedule.h"
#include "hub.h"

static void options(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    char *value = strchr(argv[i], '=');
    size_t key = value ? (size_t)(value - argv[i]) : 0;
#define IS(name) (key == sizeof name - 1 && !strncmp(argv[i], name, key))
    if (!value) continue;
    value++;
    if (IS("rounds")) opt.rounds = value;
    else if (IS("pairs")) opt.pairs = value;
    else if (IS("skip")) opt.skip = value;
    else if (IS("rails")) opt.rails = value;
    else if (IS("iterations")) opt.iterations = atoi(value);
    else if (IS("ms")) opt.ms = atoi(value);
    else if (IS("window")) opt.window = atoi(value);
    else if (IS("windows")) opt.windows = atoi(value);
    else if (IS("cuda")) opt.cuda = atoi(value);
    else if (IS("per_node")) opt.per_node = atoi(value);
    else if (IS("hub")) opt.hub = atoi(value);
    else if (IS("patience")) opt.patience = atof(value);
    else if (IS("life")) opt.life = atof(value);
    else if (IS("start")) opt.start = atof(value);
    else if (IS("sizes"))
      for (opt.n_sizes = 0; *value && opt.n_sizes < MAX_SIZES; value += *value == ',')
        opt.sizes[opt.n_sizes++] = strtol(value, &value, 10);
  }
  if (opt.iterations < 50) opt.iterations = 50;
  if (opt.windows > opt.iterations) opt.windows = opt.iterations;
  if (opt.window < 1 || opt.window > 256) opt.window = 16;
  if (opt.per_node < 1) opt.per_node = 1;
  for (int s = 0; s < opt.n_sizes; s++)
    if (opt.sizes[s] > slot_bytes) slot_bytes = apart(opt.sizes[s]);
  if (opt.cuda && slot_bytes < DEVICE_MOST) slot_bytes = DEVICE_MOST;
  samples = calloc(opt.iterations + 8, sizeof *samples);
}
static void limit_text(rlim_t value, char *out) { /* as ulimit -l prints it */
  if (value == RLIM_INFINITY) strcpy(out, "unlimited");
  else sprintf(out, "%llu", (unsigned long long)value / 1024);
}
static const char *from_env(const char *const *names) {
  for (; *names; names++)
    if (getenv(*names)) return getenv(*names);
  return "-1";
}
static void choose_rail(int local) { /* rails=mlx5_0:1,mlx5_1:1 : one device for each local rank */
  const char *at = opt.rails;
  for (int i = 0; i < local && at; i++) at = strchr(at, ','), at += at != NULL;
  if (!at || !*at) return;
  char device_name[128];
  snprintf(device_name, sizeof device_name, "%.*s", (int)strcspn(at, ","), at);
  setenv("UCX_NET_DEVICES", device_name, 1);
}
int main(int argc, char **argv) {
  static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", NULL};
  static const char *const locals[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", NULL};
  static const char *const here[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", NULL};
  struct rlimit limit = {0, 0};
  char soft[32], hard[32], version[MPI_MAX_LIBRARY_VERSION_STRING], net[64] = "", boot[64];
  int length;
  born = now();
  if (argc == 2 && !strcmp(argv[1], "try")) { /* can it be executed, and with which library? No launcher is needed. */
    MPI_Get_library_version(version, &length);
    clean(version);
    return puts(version) < 0;
  }
  options(argc, argv);
  gethostname(host, sizeof host - 1), clean(host);
  getrlimit(RLIMIT_MEMLOCK, &limit);
  limit_text(limit.rlim_cur, soft), limit_text(limit.rlim_max, hard);
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* no daemon, no rank */
  signal(SIGALRM, on_signal), signal(SIGTERM, on_signal), signal(SIGPIPE, SIG_DFL);
  if ((length = readlink("/proc/self/ns/net", net, sizeof net - 1)) > 0) net[length] = 0;
  read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
  rank = atoi(from_env(ranks));
  /* Before MPI_Init: the limit is known even where the start hangs. */
  say("{\"t\":\"born\",\"rank\":%d,\"host\":\"%s\",\"memlock_soft\":\"%s\",\"memlock_hard\":\"%s\",\"stack\":\"%s %s\"}",
      rank, host, soft, hard, boot, net);
  choose_rail(atoi(from_env(locals)));
  share_cache(atoi(from_env(here)) > 0 ? atoi(from_env(here)) : 1);
  say_links();
  take_witness(); /* before MPI_Init: devices do not like a fork after it */
  if (opt.cuda) { /* before MPI_Init, which looks for a context */
    doing("the start of CUDA", -1, rank, rank);
    arm(opt.patience * 6); /* a driver that wakes takes its time */
    cuda_open(atoi(from_env(locals)));
    underway_n = 0;
  }
  doing("MPI_Init", -1, rank, rank);
  atexit(on_exit_unasked);
  arm(opt.start);
  MPI_Init(&argc, &argv);
  /* The library installs its own handlers, and prints a stack trace where one line is wanted. */
  signal(SIGALRM, on_signal), signal(SIGTERM, on_signal);
  underway_n = 0;
  polled = now();
  arm(opt.life);
  if (opt.cuda) signal(SIGSEGV, on_signal), signal(SIGBUS, on_signal);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Get_library_version(version, &length);
  clean(version);
  nodes = size / opt.per_node;
  if (opt.hub < 0 || opt.hub >= size) opt.hub = 0;
  say("{\"t\":\"rank\",\"rank\":%d,\"size\":%d,\"host\":\"%s\",\"mpi\":\"%.120s\"}", rank, size, host, version);
  if (opt.cuda) say_cuda();
  take_slots();
  run();
  return 0;
}
