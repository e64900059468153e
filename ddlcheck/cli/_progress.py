"""How far we are, on a terminal's stderr; nothing elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

    from ddlcheck.errors import NodeError


class Progress:
    """A bar that counts nodes and names those that could not be asked."""

    def __init__(self, nodes: int, *, quiet: bool) -> None:
        self._bar: Any = None
        self._nodes = nodes
        self._quiet = quiet

    def __enter__(self) -> Self:
        """Show it."""
        if not self._quiet:
            from rich.console import Console  # noqa: PLC0415 - 60 ms, only where somebody looks
            from rich.progress import Progress as Bar  # noqa: PLC0415

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("asking nodes", total=self._nodes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it away."""
        if self._bar is not None:
            self._bar.stop()

    def node(self, name: str, error: NodeError | None) -> None:
        """Count a node."""
        if self._bar is not None:
            self._bar.advance(self._task)
            if error is not None:
                self._bar.console.print(f"{name}: {error}", markup=False, highlight=False)

    def say(self, text: str) -> None:
        """Name what is being done."""
        if self._bar is not None:
            self._bar.update(self._task, description=text)
