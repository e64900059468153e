/* Device counters: what the bytes really travelled on. */
#define MAX_DEVICES 128
enum { LATENCY, ONE_WAY, BOTH_WAYS, PHASES };
static const char *const phase_names[PHASES] = {"latency", "one_way", "both_ways"};
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
