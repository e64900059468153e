/* Who says that a rank was killed. */
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
