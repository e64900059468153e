"""Whether device buffers arrive as they were sent, where CUDA-aware MPI is promised."""

from __future__ import annotations

from ddlcheck.verdict import Status, Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_PROMISED = "device buffers that MPI takes as they are"
_NOT_BUILT = "this MPI was built without CUDA (so says MPIX_Query_cuda_support), and takes device memory for its own"
_LEFT_OUT = (
    "MPI took device memory for its own: CUDA support is switched off, UCX has no CUDA transports, "
    "or UCX_TLS leaves them out"
)


def judge(parts: Mapping[str, Mapping[str, Any]], declared: Mapping[str, bool]) -> Iterator[Verdict]:
    """Judge the nodes that promise it; ``parts`` is each node's measurement."""
    for node, part in parts.items():
        if declared.get(node):
            verdict = _one(part.get("device") or {})
            verdict.nodes, verdict.promised, verdict.declared = (node,), _PROMISED, {"openmpi_cuda": True}
            yield verdict


def _one(found: Mapping[str, Any]) -> Verdict:
    state, why = found.get("state", "unknown"), str(found.get("why", ""))
    evidence = {"device_buffers": dict(found)}
    if state == "exchanged" and not found.get("bad"):
        seen = (
            f"{found['n']} messages from and to device memory verified, with {found['peer']}: {found['rate']:.0f} MB/s"
        )
        return Verdict(Status.PASS, seen, evidence=evidence)
    if state == "exchanged":
        return Verdict(
            Status.FAIL, f"{found['bad']} device buffers arrived wrong, with {found['peer']}", evidence=evidence,
            cause="what came to device memory is not what was sent: UCX's memory type cache, GPUDirect, or the adapter",
            remedy="openmpi",
        )  # fmt: skip
    if state == "absent":
        return Verdict(
            Status.FAIL, f"no device buffer could be had: {why}", evidence=evidence, remedy="inspect",
            cause="CUDA does not work on the node: its driver (libcuda) is missing, or fails",
        )  # fmt: skip
    if state == "broken":
        cause = _NOT_BUILT if found.get("says") == 0 else _LEFT_OUT
        if "start of CUDA" in why:
            return Verdict(
                Status.FAIL, why, evidence=evidence, remedy="inspect", cause="the CUDA driver hangs on the node"
            )
        return Verdict(
            Status.FAIL, f"{why}, with {found.get('peer')}", evidence=evidence, remedy="openmpi", cause=cause
        )
    return Verdict(
        Status.UNKNOWN, f"no device buffer was exchanged: {why or 'it was not measured'}", evidence=evidence,
        cause="the exchange did not come about", remedy="inspect",
    )  # fmt: skip
