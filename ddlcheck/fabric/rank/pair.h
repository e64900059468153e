/* One pair: all that is measured of it. */
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
