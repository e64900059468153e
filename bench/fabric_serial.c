/* All ordered pairs, one at a time, as matrices of ping-pong are usually made: 10,010 messages of 8 bytes there and
 * back, and 12 of 4 MiB each way, while all other ranks wait. Prints the seconds between the first pair and the last. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void exchange(int me, int from, int to, char *buffer, int bytes, int n) {
  for (int i = 0; i < n; i++) {
    if (me == from) MPI_Send(buffer, bytes, MPI_BYTE, to, 1, MPI_COMM_WORLD);
    if (me != to) MPI_Recv(buffer, bytes, MPI_BYTE, to, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    else {
      MPI_Recv(buffer, bytes, MPI_BYTE, from, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      MPI_Send(buffer, bytes, MPI_BYTE, from, 1, MPI_COMM_WORLD);
    }
  }
}

int main(int argc, char **argv) {
  int me, size, large = 4 << 20;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &me);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  char *buffer = malloc(large);
  memset(buffer, 1, large);
  MPI_Barrier(MPI_COMM_WORLD);
  double start = MPI_Wtime();
  for (int from = 0; from < size; from++)
    for (int to = 0; to < size; to++) {
      if (from != to && (me == from || me == to)) {
        exchange(me, from, to, buffer, 8, 10010);
        exchange(me, from, to, buffer, large, 12);
      }
      MPI_Barrier(MPI_COMM_WORLD);
    }
  if (!me) printf("%.3f\n", MPI_Wtime() - start);
  MPI_Finalize();
  return 0;
}
