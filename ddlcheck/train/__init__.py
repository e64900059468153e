"""The acceptance job: data-parallel training of a small network, as PowerAI DDL's own sample does it.

It needs numpy, mpi4py and, of ours, only `ddlcheck.errors`: this much has to reach the nodes.
"""
