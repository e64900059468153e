/* The hub opens and closes each round. */
#define TEXT 1800          /* bytes of a pair's result on its way to the hub */
enum { GO = 1, COLLECT, STOP };
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
