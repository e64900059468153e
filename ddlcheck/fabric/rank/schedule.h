/* Who talks to whom, and when. */
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
