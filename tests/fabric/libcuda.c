/* Stands where a CUDA driver stands, on machines without one: device memory that is the host's.
 *
 * STANDIN_CUDA says how it behaves: "" all is well, "device" memory that no processor can read (as that of a card, so
 * that a library which is not CUDA-aware fails on it), "none" no card, "fails" cuInit fails, "hangs" cuInit does not
 * return, "damages" what is copied back has one wrong byte.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int is(const char *word) {
  const char *how = getenv("STANDIN_CUDA");
  return how && !strcmp(how, word);
}
int cuInit(unsigned flags) {
  (void)flags;
  if (is("hangs")) sleep(600);
  return is("fails") ? 999 : 0;
}
int cuDeviceGetCount(int *n) { return *n = is("none") ? 0 : 2, 0; }
int cuDeviceGet(int *out, int n) { return *out = n, 0; }
int cuDeviceGetName(char *name, int room, int device) {
  (void)device;
  return strncpy(name, "stand-in", room), 0;
}
int cuDevicePrimaryCtxRetain(void **out, int device) {
  static int context;
  (void)device;
  return *out = &context, 0;
}
int cuCtxSetCurrent(void *context) { return context ? 0 : 201; }
int cuCtxSynchronize(void) { return 0; }
int cuMemAlloc_v2(uint64_t *out, size_t bytes) {
  void *at = mmap(NULL, bytes, is("device") ? PROT_NONE : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return 2;
  return *out = (uintptr_t)at, 0;
}
static int copy(void *to, const void *from, size_t bytes, void *device) {
  size_t pages = (bytes + 4095) / 4096 * 4096;
  if (is("device")) mprotect(device, pages, PROT_READ | PROT_WRITE);
  memcpy(to, from, bytes);
  if (is("device")) mprotect(device, pages, PROT_NONE);
  return 0;
}
int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
  return copy((void *)(uintptr_t)to, from, bytes, (void *)(uintptr_t)to);
}
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) {
  copy(to, (void *)(uintptr_t)from, bytes, (void *)(uintptr_t)from);
  if (is("damages") && bytes > 100) ((char *)to)[99] ^= 1;
  return 0;
}
