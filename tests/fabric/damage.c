/* Loaded into a rank (LD_PRELOAD): damages one large message that leaves rank 1, on a copy of it. DAMAGE says how:
 * "flip" one bit; "short": its last packet never comes; "shift": the bytes of another place; "stale": those of the
 * window before. */
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

enum { TURN = 30, PLACE = 54321, PACKET = 256, PAGE = 4096 };

static void spoil(const char *how, char *copy, const char *data, int *count, const char *before) {
  if (!strcmp(how, "flip")) copy[PLACE] ^= 1;
  if (!strcmp(how, "short")) *count -= PACKET;
  if (!strcmp(how, "shift")) memcpy(copy, data + PAGE, *count - PAGE);
  if (!strcmp(how, "stale")) memcpy(copy, before, *count);
}
int MPI_Isend(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request *request) {
  static int large = 0;
  static char *before = NULL, *last = NULL; /* of the last two windows, each known by its first bytes */
  const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *how = getenv("DAMAGE");
  if (count > 65536 && rank && atoi(rank) == 1 && how && large < TURN) {
    if (!last || memcmp(last, data, 8)) {
      before = last;
      memcpy(last = malloc(count), data, count);
    }
    if (++large == TURN) {
      char *copy = malloc(count); /* never freed: it may be on its way for long */
      memcpy(copy, data, count);
      spoil(how, copy, data, &count, before);
      data = copy;
    }
  }
  return PMPI_Isend(data, count, type, to, tag, comm, request);
}
