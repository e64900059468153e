/* Latency and bandwidth by the method of the OSU benchmarks (osu_latency, osu_bw): one buffer, no checks. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64

int main(int argc, char **argv) {
  int rank, bytes = argc > 1 ? atoi(argv[1]) : 8, n = argc > 2 ? atoi(argv[2]) : 10000, window = argc > 3 ? atoi(argv[3]) : MOST;
  MPI_Request requests[MOST];
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  char *buffer = malloc(bytes), *other = malloc(bytes);
  memset(buffer, 1, bytes), memset(other, 2, bytes);
  double start = 0;
  if (bytes < 65536) {
    for (int i = -n / 10; i < n; i++) {
      if (i == 0) start = MPI_Wtime();
      if (!rank) MPI_Send(buffer, bytes, MPI_BYTE, 1, 1, MPI_COMM_WORLD);
      MPI_Recv(other, bytes, MPI_BYTE, !rank, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      if (rank) MPI_Send(buffer, bytes, MPI_BYTE, 0, 1, MPI_COMM_WORLD);
    }
    if (!rank) printf("%.4f\n", (MPI_Wtime() - start) * 1e6 / n / 2);
  } else {
    for (int i = -2; i < n; i++) {
      if (i == 0) start = MPI_Wtime();
      for (int k = 0; k < window; k++) {
        if (!rank) MPI_Isend(buffer, bytes, MPI_BYTE, 1, 2, MPI_COMM_WORLD, &requests[k]);
        else MPI_Irecv(buffer, bytes, MPI_BYTE, 0, 2, MPI_COMM_WORLD, &requests[k]);
      }
      MPI_Waitall(window, requests, MPI_STATUSES_IGNORE);
      if (!rank) MPI_Recv(other, 4, MPI_BYTE, 1, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      else MPI_Send(other, 4, MPI_BYTE, 0, 3, MPI_COMM_WORLD);
    }
    if (!rank) printf("%.2f\n", (double)bytes * window * n / (MPI_Wtime() - start) / 1e6);
  }
  MPI_Finalize();
  return 0;
}
