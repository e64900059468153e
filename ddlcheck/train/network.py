"""A network of one hidden layer, its gradients by hand, and Adam: numpy alone, in double precision.

All parameters are one flat vector, which is what is broadcast and what is averaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Model(Protocol):
    """What computes a loss and its gradient; numpy here, PyTorch in `torch_network`."""

    @property
    def parameters(self) -> int:
        """Return how many parameters there are."""

    def draw(self, seed: int) -> NDArray[np.float64]:
        """Return initial parameters."""

    def loss_and_gradient(
        self, theta: NDArray[np.float64], images: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the mean loss of a batch, and its gradient by the parameters."""

    def right(self, theta: NDArray[np.float64], images: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        """Return the share of images that are told right."""


class Network(NamedTuple):
    """``inputs`` pixels, ``hidden`` rectified units, ``classes`` by softmax and cross entropy."""

    inputs: int
    hidden: int
    classes: int

    @property
    def parameters(self) -> int:
        """Return how many parameters there are."""
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Return the matrices in the flat vector; a bias is one row."""
        return (self.inputs, self.hidden), (1, self.hidden), (self.hidden, self.classes), (1, self.classes)

    def draw(self, seed: int) -> NDArray[np.float64]:
        """Return initial parameters: normal, as wide as keeps the signal's size (He et al. 2015)."""
        random = np.random.default_rng(seed)
        parts = [
            random.normal(0.0, np.sqrt(2.0 / rows), rows * columns) if rows > 1 else np.zeros(columns)
            for rows, columns in self.shapes
        ]
        return np.concatenate(parts)

    def split(self, theta: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return views of the matrices in a flat vector."""
        ends = np.cumsum([rows * columns for rows, columns in self.shapes])
        return [part.reshape(shape) for part, shape in zip(np.split(theta, ends[:-1]), self.shapes, strict=True)]

    def loss_and_gradient(
        self, theta: NDArray[np.float64], images: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the mean loss of a batch, and its gradient by the parameters."""
        first, first_bias, second, second_bias = self.split(theta)
        hidden = np.maximum(images @ first + first_bias, 0.0)
        logs = _log_softmax(hidden @ second + second_bias)
        rows = np.arange(len(labels))
        loss = -float(logs[rows, labels].mean())
        error = np.exp(logs)
        error[rows, labels] -= 1.0
        error /= len(labels)
        back = (error @ second.T) * (hidden > 0.0)
        parts = (images.T @ back, back.sum(0), hidden.T @ error, error.sum(0))
        return loss, np.concatenate([part.ravel() for part in parts])

    def right(self, theta: NDArray[np.float64], images: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        """Return the share of images that are told right."""
        first, first_bias, second, second_bias = self.split(theta)
        out = np.maximum(images @ first + first_bias, 0.0) @ second + second_bias
        return float((out.argmax(1) == labels).mean())


def _log_softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = values - values.max(1, keepdims=True)
    logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return logs


class Adam:
    """The optimiser of the original's sample, with its authors' constants (Kingma and Ba 2015)."""

    def __init__(self, parameters: int, rate: float) -> None:
        self._mean = np.zeros(parameters)
        self._square = np.zeros(parameters)
        self._steps = 0
        self._rate = rate

    def step(self, theta: NDArray[np.float64], gradient: NDArray[np.float64]) -> None:
        """Move the parameters, in place."""
        self._steps += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.001 * (gradient * gradient - self._square)
        mean = self._mean / (1.0 - 0.9**self._steps)
        square = self._square / (1.0 - 0.999**self._steps)
        theta -= self._rate * mean / (np.sqrt(square) + 1e-8)
