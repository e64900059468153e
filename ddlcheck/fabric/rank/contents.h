/* What messages hold, and whether it arrived. */
static uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = (a + 0x9e3779b97f4a7c15u) ^ (b * 0xbf58476d1ce4e5b9u);
  x = (x ^ (x >> 30)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
static uint64_t word_at(uint64_t seed, long i) { return seed + (uint64_t)(i / 8) * 0x9e3779b97f4a7c15u; }
static void fill(char *buffer, long bytes, uint64_t seed) {
  uint64_t *words = (uint64_t *)buffer, rest = word_at(seed, bytes);
  for (long i = 0; i < bytes / 8; i++) words[i] = word_at(seed, i * 8);
  memcpy(buffer + bytes / 8 * 8, &rest, bytes % 8);
}
static long first_wrong(const char *buffer, long bytes, uint64_t seed) {
  const uint64_t *words = (const uint64_t *)buffer;
  uint64_t wrong = 0, rest = word_at(seed, bytes);
  for (long i = 0; i < bytes / 8; i++) wrong |= words[i] ^ word_at(seed, i * 8);
  if (!wrong && !memcmp(buffer + bytes / 8 * 8, &rest, bytes % 8)) return -1;
  for (long i = 0; i < bytes / 8; i++)
    if (words[i] != word_at(seed, i * 8)) return i * 8;
  return bytes / 8 * 8;
}

static long bad, bad_first;

static void check(const char *buffer, long bytes, uint64_t seed) {
  long at = first_wrong(buffer, bytes, seed);
  if (at >= 0 && !bad++) bad_first = at;
}
