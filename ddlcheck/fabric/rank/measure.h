/* Latency and bandwidth of two ranks, every byte compared. */
typedef struct { int go, messages; uint64_t seed; double rate; } control;
typedef struct { double rate[MAX_SIZES]; long bad, first; char via[64]; } summary;
static MPI_Request requests[2 * 256];
static double *samples;

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
