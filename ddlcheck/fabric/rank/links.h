/* What the links of this node say of themselves, and its addresses. */
/* In its own words, what it can carry. A virtual interface (veth, bridge) invents its speed, and
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
