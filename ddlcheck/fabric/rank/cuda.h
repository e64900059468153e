/* Device buffers. */
/* The driver's interface, found at run time: the node that compiles needs no CUDA, and a node without it says so.
 * A pointer to device memory is handed to MPI; what arrives is copied back and compared. Nothing falls back to host
 * memory: a rank without CUDA takes part in no exchange. */
static struct {
  int (*init)(unsigned), (*count)(int *), (*get)(int *, int), (*retain)(void **, int), (*current)(void *);
  int (*alloc)(uint64_t *, size_t), (*to_device)(uint64_t, const void *, size_t), (*to_host)(void *, uint64_t, size_t);
  int (*wait)(void), (*name)(char *, int, int);
} cu;
static int has_cuda;
static uint64_t device_out, device_in;
static char cuda_why[200] = "", cuda_name[100] = "";
static const long device_sizes[] = {8, 8192, 1 << 20}; /* inline, eager and rendezvous of most transports */
enum { DEVICE_MOST = 1 << 20, DEVICE_REPEATS = 3, DEVICE_TIMED = 20 };

static int cu_failed(const char *what, int code) {
  if (code) snprintf(cuda_why, sizeof cuda_why, "%s: CUDA error %d", what, code);
  return code;
}
static void cuda_open(int local) {
  static const char *const names[] = {"cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDevicePrimaryCtxRetain",
    "cuCtxSetCurrent", "cuMemAlloc_v2", "cuMemcpyHtoD_v2", "cuMemcpyDtoH_v2", "cuCtxSynchronize", "cuDeviceGetName"};
  void **slots = (void **)&cu, *context;
  int count = 0, device = 0;
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  if (!library) { snprintf(cuda_why, sizeof cuda_why, "%s", dlerror()), clean(cuda_why); return; }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!(slots[i] = dlsym(library, names[i]))) { snprintf(cuda_why, sizeof cuda_why, "libcuda.so.1 has no %s", names[i]); return; }
  if (cu_failed("cuInit", cu.init(0)) || cu_failed("cuDeviceGetCount", cu.count(&count))) return;
  if (count < 1) { snprintf(cuda_why, sizeof cuda_why, "no CUDA device"); return; }
  if (cu_failed("cuDeviceGet", cu.get(&device, local > 0 ? local % count : 0)) ||
      cu_failed("cuDevicePrimaryCtxRetain", cu.retain(&context, device)) || cu_failed("cuCtxSetCurrent", cu.current(context)) ||
      cu_failed("cuMemAlloc", cu.alloc(&device_out, DEVICE_MOST)) || cu_failed("cuMemAlloc", cu.alloc(&device_in, DEVICE_MOST)))
    return;
  if (cu.name(cuda_name, sizeof cuda_name - 1, device)) cuda_name[0] = 0;
  clean(cuda_name);
  has_cuda = 1;
}
static void say_cuda(void) {
  int says = -1; /* what the library says of itself: no proof, but evidence */
#if defined(MPIX_CUDA_AWARE_SUPPORT)
  says = MPIX_Query_cuda_support();
#endif
  say("{\"t\":\"cuda\",\"rank\":%d,\"has\":%d,\"device\":\"%s\",\"says\":%d,\"why\":\"%s\"}", rank, has_cuda, cuda_name, says, cuda_why);
}
static int cuda_broken(int code, const char *what) { /* in the middle of an exchange: nothing can be said of it */
  if (!cu_failed(what, code)) return 0;
  clean(cuda_why);
  say_cuda();
  _exit(78);
}
static void device_send(int peer, long bytes, uint64_t seed) {
  fill(send_slots, bytes, seed);
  cuda_broken(cu.to_device(device_out, send_slots, bytes), "cuMemcpyHtoD");
  cuda_broken(cu.wait(), "cuCtxSynchronize"); /* MPI may read by another engine than the one that copied */
  MPI_Send((void *)(uintptr_t)device_out, bytes, MPI_BYTE, peer, TAG_DATA, MPI_COMM_WORLD);
}
static void device_receive(int peer, long bytes, uint64_t seed) {
  fill(receive_slots, bytes, ~seed); /* what was there before is not what is to come */
  cuda_broken(cu.to_device(device_in, receive_slots, bytes), "cuMemcpyHtoD");
  cuda_broken(cu.wait(), "cuCtxSynchronize");
  MPI_Recv((void *)(uintptr_t)device_in, bytes, MPI_BYTE, peer, TAG_DATA, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  memset(receive_slots, 0, bytes);
  cuda_broken(cu.to_host(receive_slots, device_in, bytes), "cuMemcpyDtoH");
  check(receive_slots, bytes, seed);
}
/* Both ways, verified; then timed as a ping-pong, whose bandwidth tells a direct path from one through host memory. */
static void device_pair(int peer, int first, uint64_t seed, char *text, size_t room) {
  summary mine = {{0}, 0, 0, ""}, theirs = {{0}, 0, 0, ""};
  int n = 0;
  double best = 0;
  for (size_t s = 0; s < sizeof device_sizes / sizeof *device_sizes; s++)
    for (int i = 0; i < DEVICE_REPEATS; i++, n += 2) {
      arm(opt.patience);
      if (first) device_send(peer, device_sizes[s], seed + n), device_receive(peer, device_sizes[s], seed + n + 1);
      else device_receive(peer, device_sizes[s], seed + n), device_send(peer, device_sizes[s], seed + n + 1);
    }
  for (int i = 0; i < DEVICE_TIMED; i++) {
    arm(opt.patience);
    double t = now();
    if (first) MPI_Send((void *)(uintptr_t)device_out, DEVICE_MOST, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD);
    MPI_Recv((void *)(uintptr_t)device_in, DEVICE_MOST, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (!first) MPI_Send((void *)(uintptr_t)device_out, DEVICE_MOST, MPI_BYTE, peer, TAG_PING, MPI_COMM_WORLD);
    t = now() - t;
    if (t > 0 && 2e-6 * DEVICE_MOST / t > best) best = 2e-6 * DEVICE_MOST / t;
  }
  mine.bad = bad, mine.first = bad_first;
  MPI_Sendrecv(&mine, sizeof mine, MPI_BYTE, peer, TAG_SUM, &theirs, sizeof theirs, MPI_BYTE, peer, TAG_SUM,
               MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  if (first)
    snprintf(text, room, "\"lat\":[],\"bw\":[],\"bad\":%ld,\"at\":%ld,\"via\":[\"\",\"\"],\"dev\":{\"n\":%d,\"size\":%d,\"rate\":%.3f}",
             mine.bad + theirs.bad, mine.bad ? mine.first : theirs.first, n, DEVICE_MOST, best);
}
