/* A window of messages: where they land, and that each is what was sent. */
#define CACHED (8 << 20)   /* bytes of a window at most */
#define BLOCK 4096         /* bytes that a stream's messages repeat */
#define STAMP 256          /* bytes: no packet is smaller (the least MTU of InfiniBand) */
static char *send_slots, *receive_slots; /* one message, and a window of them */
static long slot_bytes = 64;

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
