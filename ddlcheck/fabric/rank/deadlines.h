/* Nobody waits for ever, and whoever ends says what was under way. */
/* What is under way, ready to be written from a signal handler. */
static char underway[512];
static volatile sig_atomic_t underway_n = 0;

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
