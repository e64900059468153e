"""Is this cluster ready for an MPI training job, and if not, which role mends it?"""

__version__ = "0.1.0"
