/* Loaded into a rank (LD_PRELOAD): damages one byte of one large message that leaves rank 1, on a copy of it. */
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

int MPI_Isend(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request *request) {
  static int large = 0;
  const char *rank = getenv("OMPI_COMM_WORLD_RANK");
  if (count > 65536 && rank && atoi(rank) == 1 && ++large == 7) {
    char *copy = malloc(count); /* never freed: it may be on its way for long */
    memcpy(copy, data, count);
    copy[54321] ^= 1;
    data = copy;
  }
  return PMPI_Isend(data, count, type, to, tag, comm, request);
}
