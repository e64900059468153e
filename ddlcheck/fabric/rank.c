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
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <mpi.h>
#include <net/if.h>
#if defined(OPEN_MPI) && defined(__has_include)
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h> /* MPIX_Query_cuda_support */
#endif
#endif
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MARK "@ddlcheck@ "
#define LINE 3500          /* bytes: under PIPE_BUF, so that one write is one piece */
#define TEXT 1800          /* bytes of a pair's result on its way to the hub */
#define MAX_SIZES 8
#define MAX_DEVICES 128
#define STAMP 256          /* bytes: no packet is smaller (the least MTU of InfiniBand) */
#define CACHED (8 << 20)   /* bytes of a window at most */
#define BLOCK 4096         /* bytes that a stream's messages repeat */
#define BIG 65536          /* bytes: from here on a size is a bandwidth, below it is a latency */
enum { TAG_HUB = 1, TAG_ARRIVE, TAG_HELLO, TAG_PING, TAG_CONTROL, TAG_READY, TAG_DATA, TAG_ACK, TAG_SUM };
enum { GO = 1, COLLECT, STOP };
enum { OK = 0, HUNG, IDLE };
enum { LATENCY, ONE_WAY, BOTH_WAYS, PHASES };
static const char *const phase_names[PHASES] = {"latency", "one_way", "both_ways"};

static struct {
  const char *rounds, *pairs, *skip, *rails;
  long sizes[MAX_SIZES];
  int n_sizes, iterations, ms, window, windows, per_node, hub, cuda;
  double patience, life, start; /* seconds; start: until everybody is through MPI_Init */
} opt = {"all", "", "", "", {8, 1 << 20}, 2, 1000, 100, 16, 0, 1, 0, 0, 10.0, 600.0, 600.0};

static int rank = -1, size = 0, nodes = 0, dirty = 0;
static char host[256];
static double born;
/* What is under way, ready to be written from a signal handler. */
static char underway[512];
static volatile sig_atomic_t underway_n = 0;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

/* A clock of a few nanoseconds, calibrated against CLOCK_MONOTONIC over each loop. */
static inline uint64_t ticks(void) {
#if defined(__x86_64__)
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
  uint64_t t;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
#elif defined(__powerpc64__)
  return __builtin_ppc_get_timebase();
#else
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
#endif
}

static void say(const char *format, ...) {
  char line[LINE];
  int n = sizeof MARK - 1, more;
  va_list args;
  memcpy(line, MARK, n);
  va_start(args, format);
  more = vsnprintf(line + n, sizeof line - n - 1, format, args);
  va_end(args);
  if (more < 0) return;
  n += more < (int)sizeof line - n - 1 ? more : (int)sizeof line - n - 2;
  line[n++] = '\n';
  for (char *at = line; n > 0;) {
    ssize_t wrote = write(1, at, n);
    if (wrote < 0 && errno != EINTR) return;
    if (wrote > 0) at += wrote, n -= wrote;
  }
}

static void clean(char *text) { /* what a file holds may end up in JSON */
  for (; *text; text++)
    if (*text < ' ' || *text == '"' || *text == '\\' || *text > '~') *text = *text == '\n' ? 0 : '?';
}

/* ---- a witness ---- */
/* A rank that is killed has no last word, and its partner's, whose connection broke, may end the job before the
 * launcher says who died first. So a child of it waits for its end, and speaks where the rank did not see it come.
 * It waits for a robust mutex: the kernel lets go of it before it takes the process apart, so that there is time to
 * read how it ended. (The end of a pipe comes after that, and the launcher had often taken the process away by then.) */
static struct ending { pthread_mutex_t held; volatile sig_atomic_t seen; } *ending;
/* The signal that ends a process: the 52nd field of its stat, exit_code (proc(5)); 0 where nothing can be read. */
static int signal_of(int stat) {
  char text[2048], *at;
  ssize_t n = pread(stat, text, sizeof text - 1, 0);
  if (n <= 0) return 0;
  text[n] = 0;
  return (at = strrchr(text, ' ')) ? atoi(at) & 0x7f : 0;
}
static void take_witness(void) {
  pthread_mutexattr_t shared;
  char path[40];
  void *page = mmap(NULL, sizeof *ending, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return;
  ending = page;
  if (pthread_mutexattr_init(&shared) || pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED) ||
      pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST) || pthread_mutex_init(&ending->held, &shared) ||
      pthread_mutex_lock(&ending->held))
    return;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)getpid());
  int stat = open(path, O_RDONLY | O_CLOEXEC); /* now: its number may be another's later */
  if (!fork()) {
    prctl(PR_SET_NAME, "ddl-witness"); /* whoever looks for ranks looks for none here */
    int died = pthread_mutex_lock(&ending->held) == EOWNERDEAD, number = signal_of(stat);
    if (died && !ending->seen) say("{\"t\":\"died\",\"rank\":%d,\"signal\":%d}", rank, number);
    syscall(SYS_exit_group, 0);
  }
  close(stat);
}
static void own_end(void) { /* it ends, and knows it: async-signal-safe */
  if (ending) ending->seen = 1;
}

/* ---- deadlines ---- */
/* What was under way, once. `how`: "late" after our own alarm, "quit" when the MPI library ended the process,
 * "crash" when it touched memory that is not the processor's (device buffers), "told" on SIGTERM, which names
 * nobody: somebody else's pair broke the run; "held" on SIGTERM when a rank that polls had not done so for long:
 * it was stopped, and its daemon let it go on to end it. */
static void last_word(const char *how, size_t n) {
  own_end();
  if (underway_n) {
    /* At once: between two writes the launcher could forward another rank's last word. */
    struct iovec line[2] = {{underway, underway_n}, {(char *)how, n}};
    (void)!writev(1, line, 2);
  }
  underway_n = 0;
}
static double cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
static double armed_cpu = 0;
/* When this rank was last seen to turn in a loop that waits without blocking, 0 while a pair is timed; and when it
 * went on after it had stood still. A daemon that ends a stopped rank lets it go on first: by then it turns again. */
static volatile double polled = 0, went_on = 0;
static double turn(void) {
  double t = now();
  if (polled > 0 && t - polled > opt.patience / 2) went_on = t;
  if (polled > 0) polled = t;
  return t;
}
static int was_held(void) {
  double t = turn();
  return went_on > 0 && t - went_on < opt.patience;
}
static void on_signal(int signal) {
  if (signal == SIGALRM) { /* and how much of a processor it had meanwhile: who polls has some, who was stopped none */
    char text[40] = "late\",\"cpu\":";
    size_t n = 12, k = 0;
    char digits[20];
    for (long ms = (long)((cpu() - armed_cpu) * 1e3); !k || (ms && k < sizeof digits); ms /= 10) digits[k++] = '0' + ms % 10;
    while (k) text[n++] = digits[--k];
    text[n++] = '}', text[n++] = '\n';
    last_word(text, n);
  }
  else if (signal == SIGSEGV || signal == SIGBUS) {
    last_word("crash\"}\n", 8);
    usleep(500000); /* to be heard: the launcher ends the job at once, and may forward nothing more */
  }
  else if (was_held()) last_word("held\"}\n", 7);
  else last_word("told\"}\n", 7);
  syscall(SYS_exit_group, signal == SIGALRM ? 75 : 128 + signal);
}
static void on_exit_unasked(void) { last_word("quit\"}\n", 7); }
/* Open MPI gives up by _exit when a connection fails, past atexit: this one is found before the C library's. */
void _exit(int status) {
  last_word("quit\"}\n", 7);
  for (;;) syscall(SYS_exit_group, status);
}
static void arm(double seconds) {
  double left = born + opt.life - now();
  if (seconds > left) seconds = left;
  if (seconds < 0.01) seconds = 0.01;
  struct itimerval t = {{0, 0}, {(time_t)seconds, (suseconds_t)((seconds - (time_t)seconds) * 1e6)}};
  armed_cpu = cpu();
  setitimer(ITIMER_REAL, &t, NULL);
}
static void doing(const char *what, int round, int a, int b) {
  underway_n = 0;
  int n = snprintf(underway, sizeof underway,
                   MARK "{\"t\":\"stuck\",\"rank\":%d,\"r\":%d,\"a\":%d,\"b\":%d,\"during\":\"%s\",\"how\":\"",
                   rank, round, a, b, what);
  underway_n = n < (int)sizeof underway ? n : 0;
}
/* Wait for requests without blocking; 0 when late. Sleeps after a while: others may share the core. */
static int wait_for(int n, MPI_Request *requests, double seconds) {
  double start = turn();
  for (long spin = 0;; spin++) {
    int done = 0;
    MPI_Testall(n, requests, &done, MPI_STATUSES_IGNORE);
    if (done) return turn(), 1;
    if (spin % 64 == 63) {
      double waited = turn() - start;
      if (waited > seconds) return 0;
      if (waited > 0.002) usleep(waited > 0.1 ? 500 : 50);
      else sched_yield();
    }
  }
}

/* ---- device counters: what the bytes really travelled on ---- */
typedef struct { char name[64]; uint64_t tx, rx; } device;
typedef struct { int n; device d[MAX_DEVICES]; } devices;
static devices total[PHASES];
static uint64_t payload[PHASES];

static int read_number(const char *path, uint64_t *out) {
  FILE *f = fopen(path, "r");
  if (!f) return 0;
  unsigned long long value;
  int ok = fscanf(f, "%llu", &value) == 1;
  fclose(f);
  *out = ok ? value : 0;
  return ok;
}
static void add_device(devices *out, const char *name, uint64_t tx, uint64_t rx) {
  if (out->n == MAX_DEVICES) return;
  device *d = &out->d[out->n++];
  snprintf(d->name, sizeof d->name, "%s", name);
  clean(d->name);
  d->tx = tx, d->rx = rx;
}
static void counter_pair(devices *out, const char *port, const char *name, const char *unit,
                         const char *sent, const char *received, int factor) {
  char path[600], label[64];
  uint64_t tx, rx;
  snprintf(path, sizeof path, "%s/%s", port, sent);
  if (!read_number(path, &tx)) return;
  snprintf(path, sizeof path, "%s/%s", port, received);
  if (!read_number(path, &rx)) rx = 0;
  snprintf(label, sizeof label, "ib:%s:%s", name, unit);
  add_device(out, label, tx * factor, rx * factor);
}
static void read_line(const char *path, char *out, size_t room) {
  FILE *f = fopen(path, "r");
  out[0] = 0;
  if (f && !fgets(out, room, f)) out[0] = 0;
  if (f) fclose(f);
  clean(out);
}
/* What each link says it can carry, in its own words. A virtual interface (veth, bridge) invents its speed, and
 * Soft-RoCE its rate: neither is a cable, so they are left out. */
/* And which addresses there are to be offered: a bridge of containers has the same one on every node. */
static size_t add_link(char *text, size_t n, size_t room, const char *name, const char *path, const char *unit) {
  char value[64];
  read_line(path, value, sizeof value);
  if (!(value[0] >= '0' && value[0] <= '9') || n + 200 > room) return n; /* down, or not known: -1 */
  return n + snprintf(text + n, room - n, "%s\"%.60s\":\"%.60s%s\"", n ? "," : "", name, value, unit);
}
static void say_links(void) {
  char text[LINE / 2] = "", path[700], label[64];
  size_t n = 0;
  DIR *all = opendir("/sys/class/net");
  for (struct dirent *d; all && (d = readdir(all));) {
    if (d->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/sys/class/net/%s/device", d->d_name);
    int real = !access(path, F_OK);
    snprintf(path, sizeof path, "/sys/class/net/%s/bonding", d->d_name);
    if (!real && access(path, F_OK)) continue;
    snprintf(label, sizeof label, "net:%.50s", d->d_name), clean(label);
    snprintf(path, sizeof path, "/sys/class/net/%s/speed", d->d_name);
    n = add_link(text, n, sizeof text, label, path, " Mb/s");
  }
  if (all) closedir(all);
  all = opendir("/sys/class/infiniband");
  for (struct dirent *d; all && (d = readdir(all));) {
    snprintf(path, sizeof path, "/sys/class/infiniband/%s/parent", d->d_name); /* of Soft-RoCE only */
    if (d->d_name[0] == '.' || !access(path, F_OK) || !strncmp(d->d_name, "rxe", 3) || !strncmp(d->d_name, "siw", 3)) continue;
    snprintf(path, sizeof path, "/sys/class/infiniband/%s/ports", d->d_name);
    DIR *list = opendir(path);
    for (struct dirent *p; list && (p = readdir(list));) {
      if (p->d_name[0] == '.') continue;
      snprintf(label, sizeof label, "ib:%.36s/%.4s", d->d_name, p->d_name), clean(label);
      snprintf(path, sizeof path, "/sys/class/infiniband/%.200s/ports/%.8s/rate", d->d_name, p->d_name);
      n = add_link(text, n, sizeof text, label, path, "");
    }
    if (list) closedir(list);
  }
  if (all) closedir(all);
  char addresses[LINE / 3] = "", address[INET_ADDRSTRLEN];
  struct ifaddrs *list = NULL;
  size_t m = 0;
  if (!getifaddrs(&list))
    for (struct ifaddrs *i = list; i && m < sizeof addresses - 100; i = i->ifa_next) {
      if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP) || i->ifa_flags & IFF_LOOPBACK) continue;
      snprintf(label, sizeof label, "%.50s", i->ifa_name), clean(label);
      inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, address, sizeof address);
      m += snprintf(addresses + m, sizeof addresses - m, "%s\"%s\":\"%s\"", m ? "," : "", label, address);
    }
  freeifaddrs(list);
  say("{\"t\":\"links\",\"rank\":%d,\"links\":{%s},\"addresses\":{%s}}", rank, text, addresses);
}
static void look(devices *out) {
  static int no_ib = 0;
  char line[512], name[64];
  unsigned long long rx, tx;
  out->n = 0;
  /* /proc/net/dev shows this network namespace; /sys/class/net may show another one's. */
  FILE *f = fopen("/proc/net/dev", "r");
  while (f && fgets(line, sizeof line, f)) {
    char label[64];
    if (sscanf(line, " %50[^: ]: %llu %*u %*u %*u %*u %*u %*u %*u %llu", name, &rx, &tx) != 3) continue;
    snprintf(label, sizeof label, "net:%.50s", name);
    add_device(out, label, tx, rx);
  }
  if (f) fclose(f);
  if (no_ib) return;
  DIR *all = opendir("/sys/class/infiniband");
  if (!all) { no_ib = 1; return; }
  for (struct dirent *hca; (hca = readdir(all));) {
    char ports[300];
    if (hca->d_name[0] == '.') continue;
    snprintf(ports, sizeof ports, "/sys/class/infiniband/%.40s/ports", hca->d_name);
    DIR *list = opendir(ports);
    for (struct dirent *p; list && (p = readdir(list));) {
      char port[360], label[48];
      if (p->d_name[0] == '.') continue;
      snprintf(port, sizeof port, "%s/%.8s", ports, p->d_name);
      snprintf(label, sizeof label, "%.36s/%.4s", hca->d_name, p->d_name);
      /* The standard's data counters count 4-byte words (IBTA, PortCounters). */
      counter_pair(out, port, label, "bytes", "counters/port_xmit_data", "counters/port_rcv_data", 4);
      counter_pair(out, port, label, "packets", "hw_counters/sent_pkts", "hw_counters/rcvd_pkts", 1);
      counter_pair(out, port, label, "hwbytes", "hw_counters/tx_bytes", "hw_counters/rx_bytes", 1);
    }
    if (list) closedir(list);
  }
  closedir(all);
}
static void add_moved(devices *sum, const devices *before, const devices *after) {
  for (int i = 0; i < after->n; i++) {
    const device *a = &after->d[i], *b = NULL;
    device *s = NULL;
    for (int k = 0; k < before->n && !b; k++)
      if (!strcmp(before->d[k].name, a->name)) b = &before->d[k];
    if (!b || a->tx < b->tx || a->rx < b->rx || (a->tx == b->tx && a->rx == b->rx)) continue;
    for (int k = 0; k < sum->n && !s; k++)
      if (!strcmp(sum->d[k].name, a->name)) s = &sum->d[k];
    if (!s) {
      if (sum->n == MAX_DEVICES) continue;
      s = &sum->d[sum->n++];
      *s = *a, s->tx = s->rx = 0;
    }
    s->tx += a->tx - b->tx, s->rx += a->rx - b->rx;
  }
}
static void say_counters(void) {
  for (int phase = 0; phase < PHASES; phase++) {
    char text[LINE - 300];
    size_t n = 0;
    text[0] = 0;
    for (int i = 0; i < total[phase].n && n < sizeof text - 160; i++) {
      const device *d = &total[phase].d[i];
      n += snprintf(text + n, sizeof text - n, "%s\"%s\":[%llu,%llu]", n ? "," : "", d->name,
                    (unsigned long long)d->tx, (unsigned long long)d->rx);
    }
    say("{\"t\":\"count\",\"rank\":%d,\"phase\":\"%s\",\"payload\":%llu,\"moved\":{%s}}", rank,
        phase_names[phase], (unsigned long long)payload[phase], text);
  }
}

/* ---- contents ---- */
static uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = (a + 0x9e3779b97f4a7c15u) ^ (b * 0xbf58476d1ce4e5b9u);
  x = (x ^ (x >> 30)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
static uint64_t word_at(uint64_t seed, long i) { return seed + (uint64_t)(i / 8) * 0x9e3779b97f4a7c15u; }
static void fill(char *buffer, long bytes, uint64_t seed) {
  uint64_t *words = (uint64_t *)buffer, rest = word_at(seed, bytes);
  for (long i = 0; i < bytes / 8; i++) words[i] = word_at(seed, i * 8);
  memcpy(buffer + bytes / 8 * 8, &rest, bytes % 8);
}
static long first_wrong(const char *buffer, long bytes, uint64_t seed) {
  const uint64_t *words = (const uint64_t *)buffer;
  uint64_t wrong = 0, rest = word_at(seed, bytes);
  for (long i = 0; i < bytes / 8; i++) wrong |= words[i] ^ word_at(seed, i * 8);
  if (!wrong && !memcmp(buffer + bytes / 8 * 8, &rest, bytes % 8)) return -1;
  for (long i = 0; i < bytes / 8; i++)
    if (words[i] != word_at(seed, i * 8)) return i * 8;
  return bytes / 8 * 8;
}

/* ---- one pair ---- */
typedef struct { int go, messages; uint64_t seed; double rate; } control;
typedef struct { double rate[MAX_SIZES]; long bad, first; char via[64]; } summary;
static char *send_slots, *receive_slots; /* one message, and a window of them */
static long slot_bytes = 64;
static MPI_Request requests[2 * 256];
static double *samples;
static long bad, bad_first;

static void check(const char *buffer, long bytes, uint64_t seed) {
  long at = first_wrong(buffer, bytes, seed);
  if (at >= 0 && !bad++) bad_first = at;
}
/* Messages in a window. Each has a buffer of its own, for each is compared; where all of them are more than the
 * processor's cache, they are slower than the link. 8 MiB take 340 us at 200 Gb/s: the answer costs under 1 %. */
static long cached = CACHED, cached_by_both = CACHED;
static int window_of(long bytes, long room) {
  long most = room / bytes < 2 ? 2 : room / bytes;
  return opt.window < most ? opt.window : (int)most;
}
/* Half of this rank's share of the node's last caches; the other half is for what it sends. */
static void share_cache(int ranks) {
  long long all = 0;
  char path[80], text[32];
  for (int cpu = 0;; cpu++) { /* each cache once: by the first of those that share it */
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index3/shared_cpu_list", cpu);
    read_line(path, text, sizeof text);
    if (!text[0]) break;
    if (atoi(text) != cpu) continue;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index3/size", cpu);
    read_line(path, text, sizeof text);
    all += atoll(text) * (strchr(text, 'K') ? 1024 : 1);
  }
  if (all && all / ranks / 2 < cached) cached = all / ranks / 2;
}
static long apart(long bytes) { return (bytes + 4095) / 4096 * 4096; }
/* A stream's messages repeat a block of BLOCK bytes, whose first word tells the place and the window: filling all of a
 * window's bytes anew would take longer than to send them, whole messages to compare with would drive the window out of
 * the cache, and a sender that writes to all of its lines makes the receiver fetch them from another core's cache.
 * What is not overwritten must show as well, so the receiver spoils a word of every STAMP bytes before they come. */
static char block[BLOCK] __attribute__((aligned(BLOCK))); /* what comes in repeats this */
static void stamp(char *to, long at, long bytes, uint64_t seed) {
  uint64_t word = word_at(seed, at);
  memcpy(to, &word, bytes - at < 8 ? bytes - at : 8);
}
static void stamp_all(char *buffer, long bytes, uint64_t seed) {
  for (long at = 0; at < bytes; at += BLOCK) stamp(buffer + at, at, bytes, seed);
}
static void lay(char *buffer, long bytes, uint64_t seed) { /* but the stamps */
  for (long at = 0; at < bytes; at += BLOCK) fill(buffer + at, bytes - at < BLOCK ? bytes - at : BLOCK, seed);
}
static void spoil(char *got, long n) {
  for (long i = 0; i + 8 <= n; i += STAMP) *(uint64_t *)(got + i) = ~*(uint64_t *)(block + i);
}
static void spoil_slots(int n, long bytes) {
  for (int k = 0; k < n; k++)
    for (long at = 0; at < bytes; at += BLOCK)
      spoil(receive_slots + k * apart(bytes) + at, bytes - at < BLOCK ? bytes - at : BLOCK);
}
static void check_slot(char *got, long bytes, uint64_t seed) {
  int right = 1;
  for (long at = 0; at < bytes; at += BLOCK) {
    long n = bytes - at < BLOCK ? bytes - at : BLOCK, i = 0;
    stamp(block, at, bytes, seed);
    if (right && memcmp(got + at, block, n)) {
      while (got[at + i] == block[i]) i++;
      if (!bad++) bad_first = at + i;
      right = 0;
    }
    spoil(got + at, n); /* for the next one, while it is in the cache */
  }
}
static void check_slots(int n, long bytes, uint64_t seed) {
  for (int k = 0; k < n; k++) check_slot(receive_slots + k * apart(bytes), bytes, seed);
}
static void take_slots(void) { /* anew after a hang: a late message may still land in the old ones */
  long room = slot_bytes;
  send_slots = receive_slots = NULL;
  for (int i = 0; i < opt.n_sizes; i++) {
    long window = window_of(opt.sizes[i], cached) * apart(opt.sizes[i]);
    if (window > room) room = window;
  }
  if (posix_memalign((void **)&send_slots, 4096, (size_t)slot_bytes) ||
      posix_memalign((void **)&receive_slots, 4096, (size_t)room)) {
    say("{\"t\":\"error\",\"rank\":%d,\"why\":\"no memory for a window of %ld bytes\"}", rank, room);
    _exit(74);
  }
  memset(send_slots, 0, (size_t)slot_bytes);
  memset(receive_slots, 0, (size_t)room);
}
static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}
/* A message's first word is its own. Between the answer and the next message there is nothing but the store of that
 * word: the clock is read, and the former answer looked at, while a message is on its way. */
static inline void put_word(char *to, uint64_t word, long bytes) {
  if (bytes >= 8) *(uint64_t *)to = word; /* slots begin on a page */
  else memcpy(to, &word, bytes);
}
static inline void check_word(const char *from, uint64_t word, long bytes) {
  if (memcmp(from, &word, bytes < 8 ? bytes : 8) && !bad++) bad_first = 0;
}
static void ping_pong(int peer, int first, long bytes, int n, uint64_t seed, double *out) {
  char *to = send_slots, *from = receive_slots;
  fill(to, bytes, seed);
  uint64_t next = mix(seed, 0), word = next, t;
  double start = now();
  uint64_t begin = ticks(), last = begin;
  for (int i = 0; i < n; i++) {
    if (!first) MPI_Recv(from, bytes, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    put_word(to, next, bytes);
    MPI_Send(to, bytes, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD);
    if (first) {
      t = ticks();
      if (i) {
        check_word(from, word, bytes);
        if (out) out[i - 1] = (double)(t - last);
      }
      word = next, next = mix(seed, i + 1), last = t;
      MPI_Recv(from, bytes, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
      check_word(from, next, bytes);
      next = mix(seed, i + 1);
    }
  }
  t = ticks();
  double spent = (double)(t - begin), took = now() - start;
  if (first) check_word(from, word, bytes);
  if (bytes > 8 && first_wrong(from + 8, bytes - 8, seed + 0x9e3779b97f4a7c15u) >= 0 && !bad++) bad_first = 8;
  if (out) { /* ticks of a round trip to microseconds of half of one */
    double scale = spent > 0 ? took * 1e6 / spent / 2 : 0;
    out[n - 1] = (double)(t - last);
    for (int i = 0; i < n; i++) out[i] *= scale;
  }
}
static size_t latency(int peer, int first, long bytes, uint64_t seed, char *text, size_t room) {
  control c = {1, 0, 0, 0};
  arm(opt.patience);
  double start = now();
  ping_pong(peer, first, bytes, 20, seed, NULL);
  if (first) { /* as many as fit a fifth of a bandwidth phase, between 50 and `iterations` */
    double each = (now() - start) / 20, fit = opt.ms * 0.2e-3 / (each > 1e-9 ? each : 1e-9);
    c.messages = fit > opt.iterations ? opt.iterations : fit < 50 ? 50 : (int)fit;
    MPI_Send(&c, sizeof c, MPI_BYTE, peer, TAG_CONTROL, MPI_COMM_WORLD);
  } else {
    MPI_Recv(&c, sizeof c, MPI_BYTE, peer, TAG_CONTROL, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
  arm(opt.patience);
  ping_pong(peer, first, bytes, c.messages / 10 + 1, seed + 1, NULL);
  ping_pong(peer, first, bytes, c.messages, seed + 2, first ? samples : NULL);
  payload[LATENCY] += (uint64_t)bytes * (c.messages + c.messages / 10 + 21);
  if (!first) return 0;
  qsort(samples, c.messages, sizeof *samples, by_value);
  return snprintf(text, room, "{\"size\":%ld,\"n\":%d,\"median\":%.4f,\"p99\":%.4f,\"min\":%.4f},", bytes,
                  c.messages, samples[c.messages / 2], samples[c.messages * 99 / 100], samples[0]);
}
/* The sender's side; as osu_bw: a window of sends, then one short answer. Median rate of the windows. */
static double stream_out(int peer, long bytes, uint64_t seed, int both) {
  int n = 0, w = 1, windows = 0, full = window_of(bytes, cached_by_both);
  double start = now(), spent = 0;
  lay(send_slots, bytes, seed);
  if (both) lay(block, BLOCK, ~seed), spoil_slots(full, bytes);
  for (int i = 0;; i++) {
    /* The first message tells how many fit; the second window only warms up. */
    int more = opt.windows ? i < opt.windows + 2 : i < 3 || (now() - start < opt.ms * 1e-3 && windows < opt.iterations);
    control c = {more, w, seed + i * 1000, 0};
    arm(opt.patience);
    stamp_all(send_slots, bytes, c.seed);
    MPI_Send(&c, sizeof c, MPI_BYTE, peer, TAG_CONTROL, MPI_COMM_WORLD);
    if (!c.go) break;
    if (both)
      for (int k = 0; k < w; k++)
        MPI_Irecv(receive_slots + k * apart(bytes), bytes, MPI_BYTE, peer, TAG_DATA, MPI_COMM_WORLD, &requests[n++]);
    MPI_Recv(NULL, 0, MPI_BYTE, peer, TAG_READY, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    double t = now();
    if (both) MPI_Send(NULL, 0, MPI_BYTE, peer, TAG_READY, MPI_COMM_WORLD);
    for (int k = 0; k < w; k++)
      MPI_Isend(send_slots, bytes, MPI_BYTE, peer, TAG_DATA, MPI_COMM_WORLD, &requests[n++]);
    MPI_Waitall(n, requests, MPI_STATUSES_IGNORE);
    n = 0;
    MPI_Recv(NULL, 0, MPI_BYTE, peer, TAG_ACK, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    t = now() - t;
    payload[both ? BOTH_WAYS : ONE_WAY] += (uint64_t)bytes * w;
    if (both) check_slots(w, bytes, ~c.seed);
    if (i == 0) w = opt.windows || t * full * 4 < opt.ms * 1e-3 ? full : (int)(opt.ms * 0.25e-3 / t), w = w < 1 ? 1 : w;
    else if (i > 1 && windows < opt.iterations) samples[windows++] = bytes * 1e-6 * w * (both + 1) / t, spent += t;
    else if (t > opt.ms * 1e-3 && !windows) samples[windows++] = bytes * 1e-6 * w * (both + 1) / t;
  }
  qsort(samples, windows, sizeof *samples, by_value);
  return windows ? samples[windows / 2] : 0;
}
static void stream_in(int peer, long bytes, uint64_t seed, int both) {
  int full = window_of(bytes, cached_by_both);
  lay(block, BLOCK, seed), spoil_slots(full, bytes);
  if (both) lay(send_slots, bytes, ~seed);
  for (;;) {
    control c;
    int n = 0;
    arm(opt.patience);
    MPI_Recv(&c, sizeof c, MPI_BYTE, peer, TAG_CONTROL, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (!c.go) return;
    int w = c.messages < 1 ? 1 : c.messages > full ? full : c.messages;
    for (int k = 0; k < w; k++)
      MPI_Irecv(receive_slots + k * apart(bytes), bytes, MPI_BYTE, peer, TAG_DATA, MPI_COMM_WORLD, &requests[n++]);
    if (both) stamp_all(send_slots, bytes, ~c.seed);
    MPI_Send(NULL, 0, MPI_BYTE, peer, TAG_READY, MPI_COMM_WORLD);
    if (both) {
      MPI_Recv(NULL, 0, MPI_BYTE, peer, TAG_READY, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      for (int k = 0; k < w; k++)
        MPI_Isend(send_slots, bytes, MPI_BYTE, peer, TAG_DATA, MPI_COMM_WORLD, &requests[n++]);
      payload[BOTH_WAYS] += (uint64_t)bytes * w;
    }
    MPI_Waitall(n, requests, MPI_STATUSES_IGNORE);
    MPI_Send(NULL, 0, MPI_BYTE, peer, TAG_ACK, MPI_COMM_WORLD);
    check_slots(w, bytes, c.seed);
  }
}
static void busiest(const devices *moved, char *out, size_t room) {
  const device *best = NULL; /* of equals an HCA: its packets may be counted by its interface as well */
  for (int i = 0; i < moved->n; i++) {
    const device *d = &moved->d[i];
    uint64_t mine = (d->tx + d->rx) * (strstr(d->name, ":packets") ? 1024 : 1);
    uint64_t top = best ? (best->tx + best->rx) * (strstr(best->name, ":packets") ? 1024 : 1) : 0;
    int better = best && (d->name[0] == 'i') != (best->name[0] == 'i') ? (d->name[0] == 'i' ? mine * 2 > top : mine > top * 2) : mine > top;
    if (mine && better) best = d;
  }
  snprintf(out, room, "%s", best ? best->name : "");
}
static void device_pair(int peer, int first, uint64_t seed, char *text, size_t room);
static int has_cuda;
/* Measure one pair; writes the result for the hub into text (only the first of the two has one). */
static int pair(int round, int peer, char *text, size_t room) {
  int a = rank < peer ? rank : peer, b = rank < peer ? peer : rank, first = rank == a;
  uint64_t seed = mix(mix(a, b), round + 1);
  static uint64_t hello[3], answer[3];
  static devices before, after, pair_moved;
  MPI_Request both[2];
  summary mine = {{0}, 0, 0, ""}, theirs = {{0}, 0, 0, ""};
  double both_ways[MAX_SIZES] = {0};
  text[0] = 0;
  bad = bad_first = 0;
  pair_moved.n = 0;
  doing("handshake", round, a, b);
  arm(opt.patience + 5);
  hello[0] = mix(seed, 1), hello[1] = has_cuda, hello[2] = cached;
  MPI_Irecv(answer, 3, MPI_UINT64_T, peer, TAG_HELLO + 16 * (round + 1), MPI_COMM_WORLD, &both[0]);
  MPI_Isend(hello, 3, MPI_UINT64_T, peer, TAG_HELLO + 16 * (round + 1), MPI_COMM_WORLD, &both[1]);
  if (!wait_for(2, both, opt.patience)) {
    say("{\"t\":\"hang\",\"rank\":%d,\"r\":%d,\"a\":%d,\"b\":%d,\"during\":\"handshake\"}", rank, round, a, b);
    underway_n = 0;
    arm(opt.life);
    return HUNG;
  }
  if (answer[0] != hello[0] && !bad++) bad_first = 0;
  cached_by_both = (long)answer[2] < cached ? (long)answer[2] : cached;
  if (opt.cuda) {
    doing("device buffers", round, a, b);
    if (has_cuda && answer[1]) device_pair(peer, first, mix(seed, 500), text, room);
    underway_n = 0;
    arm(opt.life);
    return OK;
  }
  size_t n = snprintf(text, room, "\"lat\":[");
  look(&before);
  for (int s = 0; s < opt.n_sizes; s++) {
    if (opt.sizes[s] >= BIG) continue;
    doing("latency", round, a, b);
    n += latency(peer, first, opt.sizes[s], mix(seed, 100 + s), text + n, room - n);
  }
  look(&after), add_moved(&total[LATENCY], &before, &after);
  for (int s = 0; s < opt.n_sizes; s++) {
    long bytes = opt.sizes[s];
    if (bytes < BIG) continue;
    doing("one way", round, a, b);
    look(&before);
    if (first) mine.rate[s] = stream_out(peer, bytes, mix(seed, 200 + s), 0);
    else stream_in(peer, bytes, mix(seed, 200 + s), 0);
    if (first) stream_in(peer, bytes, mix(seed, 300 + s), 0);
    else mine.rate[s] = stream_out(peer, bytes, mix(seed, 300 + s), 0);
    look(&after), add_moved(&total[ONE_WAY], &before, &after), add_moved(&pair_moved, &before, &after);
    doing("both ways", round, a, b);
    if (first) both_ways[s] = stream_out(peer, bytes, mix(seed, 400 + s), 1);
    else stream_in(peer, bytes, mix(seed, 400 + s), 1);
    look(&before), add_moved(&total[BOTH_WAYS], &after, &before);
  }
  arm(opt.patience);
  mine.bad = bad, mine.first = bad_first;
  busiest(&pair_moved, mine.via, sizeof mine.via);
  MPI_Sendrecv(&mine, sizeof mine, MPI_BYTE, peer, TAG_SUM, &theirs, sizeof theirs, MPI_BYTE, peer, TAG_SUM,
               MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  underway_n = 0;
  arm(opt.life);
  if (!first) { text[0] = 0; return OK; }
  if (text[n - 1] == ',') n--;
  n += snprintf(text + n, room - n, "],\"bw\":[");
  for (int s = 0, some = 0; s < opt.n_sizes; s++)
    if (opt.sizes[s] >= BIG)
      n += snprintf(text + n, room - n, "%s{\"size\":%ld,\"ab\":%.3f,\"ba\":%.3f,\"both\":%.3f}", some++ ? "," : "",
                    opt.sizes[s], mine.rate[s], theirs.rate[s], both_ways[s]);
  snprintf(text + n, room - n, "],\"bad\":%ld,\"at\":%ld,\"via\":[\"%s\",\"%.60s\"]", mine.bad + theirs.bad,
           mine.bad ? mine.first : theirs.first, mine.via, theirs.via);
  return OK;
}

/* ---- device buffers ---- */
/* The driver's interface, found at run time: the node that compiles needs no CUDA, and a node without it says so.
 * A pointer to device memory is handed to MPI; what arrives is copied back and compared. Nothing falls back to host
 * memory: a rank without CUDA takes part in no exchange. */
static struct {
  int (*init)(unsigned), (*count)(int *), (*get)(int *, int), (*retain)(void **, int), (*current)(void *);
  int (*alloc)(uint64_t *, size_t), (*to_device)(uint64_t, const void *, size_t), (*to_host)(void *, uint64_t, size_t);
  int (*wait)(void), (*name)(char *, int, int);
} cu;
static int has_cuda;
static uint64_t device_out, device_in;
static char cuda_why[200] = "", cuda_name[100] = "";
static const long device_sizes[] = {8, 8192, 1 << 20}; /* inline, eager and rendezvous of most transports */
enum { DEVICE_MOST = 1 << 20, DEVICE_REPEATS = 3, DEVICE_TIMED = 20 };

static int cu_failed(const char *what, int code) {
  if (code) snprintf(cuda_why, sizeof cuda_why, "%s: CUDA error %d", what, code);
  return code;
}
static void cuda_open(int local) {
  static const char *const names[] = {"cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDevicePrimaryCtxRetain",
    "cuCtxSetCurrent", "cuMemAlloc_v2", "cuMemcpyHtoD_v2", "cuMemcpyDtoH_v2", "cuCtxSynchronize", "cuDeviceGetName"};
  void **slots = (void **)&cu, *context;
  int count = 0, device = 0;
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  if (!library) { snprintf(cuda_why, sizeof cuda_why, "%s", dlerror()), clean(cuda_why); return; }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!(slots[i] = dlsym(library, names[i]))) { snprintf(cuda_why, sizeof cuda_why, "libcuda.so.1 has no %s", names[i]); return; }
  if (cu_failed("cuInit", cu.init(0)) || cu_failed("cuDeviceGetCount", cu.count(&count))) return;
  if (count < 1) { snprintf(cuda_why, sizeof cuda_why, "no CUDA device"); return; }
  if (cu_failed("cuDeviceGet", cu.get(&device, local > 0 ? local % count : 0)) ||
      cu_failed("cuDevicePrimaryCtxRetain", cu.retain(&context, device)) || cu_failed("cuCtxSetCurrent", cu.current(context)) ||
      cu_failed("cuMemAlloc", cu.alloc(&device_out, DEVICE_MOST)) || cu_failed("cuMemAlloc", cu.alloc(&device_in, DEVICE_MOST)))
    return;
  if (cu.name(cuda_name, sizeof cuda_name - 1, device)) cuda_name[0] = 0;
  clean(cuda_name);
  has_cuda = 1;
}
static void say_cuda(void) {
  int says = -1; /* what the library says of itself: no proof, but evidence */
#if defined(MPIX_CUDA_AWARE_SUPPORT)
  says = MPIX_Query_cuda_support();
#endif
  say("{\"t\":\"cuda\",\"rank\":%d,\"has\":%d,\"device\":\"%s\",\"says\":%d,\"why\":\"%s\"}", rank, has_cuda, cuda_name, says, cuda_why);
}
static int cuda_broken(int code, const char *what) { /* in the middle of an exchange: nothing can be said of it */
  if (!cu_failed(what, code)) return 0;
  clean(cuda_why);
  say_cuda();
  _exit(78);
}
static void device_send(int peer, long bytes, uint64_t seed) {
  fill(send_slots, bytes, seed);
  cuda_broken(cu.to_device(device_out, send_slots, bytes), "cuMemcpyHtoD");
  cuda_broken(cu.wait(), "cuCtxSynchronize"); /* MPI may read by another engine than the one that copied */
  MPI_Send((void *)(uintptr_t)device_out, bytes, MPI_BYTE, peer, TAG_DATA, MPI_COMM_WORLD);
}
static void device_receive(int peer, long bytes, uint64_t seed) {
  fill(receive_slots, bytes, ~seed); /* what was there before is not what is to come */
  cuda_broken(cu.to_device(device_in, receive_slots, bytes), "cuMemcpyHtoD");
  cuda_broken(cu.wait(), "cuCtxSynchronize");
  MPI_Recv((void *)(uintptr_t)device_in, bytes, MPI_BYTE, peer, TAG_DATA, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  memset(receive_slots, 0, bytes);
  cuda_broken(cu.to_host(receive_slots, device_in, bytes), "cuMemcpyDtoH");
  check(receive_slots, bytes, seed);
}
/* Both ways, verified; then timed as a ping-pong, whose bandwidth tells a direct path from one through host memory. */
static void device_pair(int peer, int first, uint64_t seed, char *text, size_t room) {
  summary mine = {{0}, 0, 0, ""}, theirs = {{0}, 0, 0, ""};
  int n = 0;
  double best = 0;
  for (size_t s = 0; s < sizeof device_sizes / sizeof *device_sizes; s++)
    for (int i = 0; i < DEVICE_REPEATS; i++, n += 2) {
      arm(opt.patience);
      if (first) device_send(peer, device_sizes[s], seed + n), device_receive(peer, device_sizes[s], seed + n + 1);
      else device_receive(peer, device_sizes[s], seed + n), device_send(peer, device_sizes[s], seed + n + 1);
    }
  for (int i = 0; i < DEVICE_TIMED; i++) {
    arm(opt.patience);
    double t = now();
    if (first) MPI_Send((void *)(uintptr_t)device_out, DEVICE_MOST, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD);
    MPI_Recv((void *)(uintptr_t)device_in, DEVICE_MOST, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (!first) MPI_Send((void *)(uintptr_t)device_out, DEVICE_MOST, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD);
    t = now() - t;
    if (t > 0 && 2e-6 * DEVICE_MOST / t > best) best = 2e-6 * DEVICE_MOST / t;
  }
  mine.bad = bad, mine.first = bad_first;
  MPI_Sendrecv(&mine, sizeof mine, MPI_BYTE, peer, TAG_SUM, &theirs, sizeof theirs, MPI_BYTE, peer, TAG_SUM,
               MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  if (first)
    snprintf(text, room, "\"lat\":[],\"bw\":[],\"bad\":%ld,\"at\":%ld,\"via\":[\"\",\"\"],\"dev\":{\"n\":%d,\"size\":%d,\"rate\":%.3f}",
             mine.bad + theirs.bad, mine.bad ? mine.first : theirs.first, n, DEVICE_MOST, best);
}

/* ---- who talks to whom ---- */
/* The circle method, as ddlcheck/fabric/rounds.py has it: i and j meet in round (i + j) mod (m - 1). */
static int partner(int me, int round) {
  int m = nodes + nodes % 2, last = m - 1, other;
  if (me == last) other = (int)((long)round * (m / 2) % last);
  else if ((other = ((round - me) % last + last) % last) == me) other = last;
  return other < nodes ? other : -1;
}
static int listed(const char *list, int a, int b) {
  for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',') {
    int x, y;
    if (sscanf(at, "%d-%d", &x, &y) == 2 && ((x == a && y == b) || (x == b && y == a))) return 1;
  }
  return 0;
}
/* The schedule's step k: the round's number in *round, and this node's partner or -1; -2 at the end. */
static int step(int k, int me, int *round) {
  if (*opt.pairs) {
    const char *at = opt.pairs;
    for (int i = 0; i < k && at; i++) at = strchr(at, ';'), at += at != NULL;
    if (!at || !*at) return -2;
    *round = k;
    for (size_t end = strcspn(at, ";"); end && *at && *at != ';';) {
      int x, y;
      if (sscanf(at, "%d-%d", &x, &y) == 2 && (x == me || y == me)) return x == me ? y : x;
      at += strcspn(at, ",;");
      if (*at == ',') at++;
    }
    return -1;
  }
  int rounds = nodes + nodes % 2 - 1;
  *round = k;
  if (strcmp(opt.rounds, "all")) {
    const char *at = opt.rounds;
    for (int i = 0; i < k && at; i++) at = strchr(at, ','), at += at != NULL;
    if (!at || !*at) return -2;
    *round = atoi(at);
  }
  if (*round >= rounds || *round < 0) return -2;
  int other = partner(me, *round);
  return other >= 0 && listed(opt.skip, me, other) ? -1 : other;
}

/* ---- the hub ---- */
typedef struct { int what, step, dirty; unsigned char dead[]; } order;
typedef struct { int step, status, partner; char text[TEXT]; } report;
static order *orders;
static size_t order_bytes;
static report *reports;
static MPI_Request *arrivals, *outgoing;
static unsigned char *dead;

static int is_dead(int r) { return dead[r / 8] >> (r % 8) & 1; }
static void tell(int what, int k) {
  static int turn = 0;
  /* Two buffers in turn: an order to a rank that does not listen may never be done with. */
  order *o = (order *)((char *)orders + order_bytes * (turn++ % 2));
  int n = 0;
  o->what = what, o->step = k, o->dirty = dirty;
  memcpy(o->dead, dead, (size + 7) / 8);
  for (int r = 0; r < size; r++)
    if (r != rank && !is_dead(r)) MPI_Isend(o, order_bytes, MPI_BYTE, r, TAG_HUB, MPI_COMM_WORLD, &outgoing[n++]);
  doing("hub", k, rank, rank);
  wait_for(n, outgoing, opt.patience);
  underway_n = 0;
}
static void expect(int r) {
  MPI_Irecv(&reports[r], sizeof(report), MPI_BYTE, r, TAG_ARRIVE, MPI_COMM_WORLD, &arrivals[r]);
}
static void print_report(const report *p, int r) {
  if (p->status != OK || !p->text[0]) return;
  say("{\"t\":\"pair\",\"r\":%d,\"a\":%d,\"b\":%d,%s}", p->step, r, p->partner, p->text);
}
/* Everybody's report of a round. A rank whose partner is done, or that rests, has no reason to be late. */
static void collect(const report *own, int k) {
  double start = now();
  int missing = 0, round;
  double *due = calloc(size, sizeof *due);
  for (int r = 0; r < size; r++) {
    int rests = k < 0 || step(k, r / opt.per_node, &round) < 0;
    due[r] = start + opt.patience * (rests ? 1 : 12);
    missing += r != rank && !is_dead(r);
  }
  print_report(own, rank);
  if (own->status != IDLE) due[own->partner] = now() + (own->status == HUNG ? 3 : opt.patience);
  if (own->status == HUNG) dirty = 1;
  doing("hub", k, rank, rank); /* told to end, the hub says that it was there: it is not it that hangs */
  while (missing) {
    int moved = 0;
    for (int r = 0; r < size; r++) {
      int done = 0;
      if (r == rank || is_dead(r) || arrivals[r] == MPI_REQUEST_NULL) continue;
      MPI_Test(&arrivals[r], &done, MPI_STATUS_IGNORE);
      if (!done) continue;
      const report *p = &reports[r];
      moved = 1, missing--;
      print_report(p, r);
      if (p->status == HUNG) dirty = 1;
      if (p->status != IDLE && p->partner >= 0 && p->partner < size)
        due[p->partner] = now() + (p->status == HUNG ? 3 : opt.patience);
    }
    if (moved || !missing) continue;
    double t = turn();
    for (int r = 0; r < size; r++) {
      if (r == rank || is_dead(r) || arrivals[r] == MPI_REQUEST_NULL || t < due[r]) continue;
      dead[r / 8] |= 1 << (r % 8), missing--, dirty = 1;
      say("{\"t\":\"silent\",\"rank\":%d,\"hub\":%d,\"r\":%d}", r, rank, own->step);
    }
    if (t - start > 0.002) usleep(100);
    else sched_yield();
  }
  underway_n = 0;
  free(due);
  for (int r = 0; r < size; r++)
    if (r != rank && !is_dead(r)) expect(r);
}
static int hear(order *o, double seconds) {
  MPI_Request request;
  doing("hub", -1, rank, opt.hub);
  arm(seconds + 5);
  MPI_Irecv(o, order_bytes, MPI_BYTE, opt.hub, TAG_HUB, MPI_COMM_WORLD, &request);
  int ok = wait_for(1, &request, seconds);
  if (ok) underway_n = 0, arm(opt.life);
  return ok;
}
static void leave(int status) {
  underway_n = 0;
  say_counters();
  say("{\"t\":\"bye\",\"rank\":%d}", rank);
  if (!dirty && !status) {
    arm(opt.patience);
    MPI_Finalize();
    _exit(0);
  }
  usleep(500000); /* the others' last words first: the launcher kills everybody when one leaves early */
  _exit(status ? status : 76);
}
static void run(void) {
  order_bytes = (sizeof(order) + (size + 7) / 8 + 7) / 8 * 8;
  orders = calloc(2, order_bytes), dead = calloc((size + 7) / 8, 1);
  outgoing = calloc(size, sizeof *outgoing), arrivals = calloc(size, sizeof *arrivals);
  int hub = rank == opt.hub, me = rank / opt.per_node, rail = rank % opt.per_node;
  static report own;
  if (hub) {
    reports = calloc(size, sizeof *reports);
    for (int r = 0; r < size; r++) arrivals[r] = MPI_REQUEST_NULL;
    for (int r = 0; r < size; r++)
      if (r != rank) expect(r);
  }
  /* Step -1: is everybody there, and can the hub be reached? Nothing is measured in it. */
  for (int k = -1;; k++) {
    int round = -1, other = k < 0 ? -1 : step(k, me, &round);
    order *o = orders;
    own.status = IDLE, own.text[0] = 0, own.step = round, own.partner = 0;
    if (hub) tell(other == -2 ? STOP : GO, k);
    else {
      if (!hear(o, k < 0 ? opt.patience : opt.patience * 13)) {
        say("{\"t\":\"hang\",\"rank\":%d,\"r\":%d,\"a\":%d,\"b\":%d,\"during\":\"hub\"}", rank, round,
            rank < opt.hub ? rank : opt.hub, rank < opt.hub ? opt.hub : rank);
        dirty = 1;
        leave(77);
      }
      memcpy(dead, o->dead, (size + 7) / 8), dirty |= o->dirty;
      if (o->what == STOP) leave(0);
    }
    if (other == -2) leave(0);
    if (other >= 0) {
      int peer = other * opt.per_node + rail;
      own.partner = peer;
      polled = 0;
      if (!is_dead(peer)) own.status = pair(round, peer, own.text, sizeof own.text);
      polled = now();
      if (own.status == HUNG) dirty = 1, take_slots();
    }
    if (hub) {
      tell(COLLECT, k);
      collect(&own, k);
    } else {
      if (!hear(o, opt.patience * 13)) dirty = 1, leave(77);
      MPI_Request sent;
      doing("hub", round, rank, opt.hub);
      arm(opt.patience + 5);
      MPI_Isend(&own, offsetof(report, text) + strlen(own.text) + 1, MPI_BYTE, opt.hub, TAG_ARRIVE, MPI_COMM_WORLD, &sent);
      if (!wait_for(1, &sent, opt.patience)) dirty = 1, leave(77);
      underway_n = 0;
      arm(opt.life);
    }
    /* Sums, so that one that is lost on a launcher's way does no harm; the last words are lost most easily. */
    if (k < 4 || k % 32 == 31) say_counters();
  }
}

/* ---- start ---- */
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
