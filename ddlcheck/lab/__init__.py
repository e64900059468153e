"""The practice cluster: whole machines in containers on one host, to be made ready, broken and healed."""

from ddlcheck.lab.cluster import Lab
from ddlcheck.lab.nodes import Node

__all__ = ["Lab", "Node"]
