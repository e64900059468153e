/* What every part needs: the options, clocks, and how a rank speaks. */
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
#define MAX_SIZES 8
#define BIG 65536          /* bytes: from here on a size is a bandwidth, below it is a latency */
enum { TAG_HUB = 1, TAG_ARRIVE, TAG_HELLO, TAG_PING, TAG_CONTROL, TAG_READY, TAG_DATA, TAG_ACK, TAG_SUM };
enum { OK = 0, HUNG, IDLE };

static struct {
  const char *rounds, *pairs, *skip, *rails;
  long sizes[MAX_SIZES];
  int n_sizes, iterations, ms, window, windows, per_node, hub, cuda;
  double patience, life, start; /* seconds; start: until everybody is through MPI_Init */
} opt = {"all", "", "", "", {8, 1 << 20}, 2, 1000, 100, 16, 0, 1, 0, 0, 10.0, 600.0, 600.0};

static int rank = -1, size = 0, nodes = 0, dirty = 0;
static char host[256];
static double born;

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

static void read_line(const char *path, char *out, size_t room) {
  FILE *f = fopen(path, "r");
  out[0] = 0;
  if (f && !fgets(out, room, f)) out[0] = 0;
  if (f) fclose(f);
  clean(out);
}
