"""The same network in PyTorch, on a GPU where the node has one: forward and backward there, sums by MPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ddlcheck.train.network import Network


class TorchNetwork:
    """A `Network` whose gradients PyTorch finds; gradients pass through the host's memory to MPI."""

    def __init__(self, network: Network, local_rank: int) -> None:
        self._network = network
        torch.set_num_threads(1)
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        # As in the original: each learner takes the GPU that its place on the host says.
        self.device = torch.device("cuda", local_rank % gpus) if gpus else torch.device("cpu")

    @property
    def parameters(self) -> int:
        """Return how many parameters there are."""
        return self._network.parameters

    def draw(self, seed: int) -> NDArray[np.float64]:
        """Return the initial parameters that numpy draws, so that both can be compared."""
        return self._network.draw(seed)

    def _there(self, array: NDArray[Any]) -> Any:  # noqa: ANN401 - a tensor, where PyTorch is not installed
        return torch.as_tensor(array, device=self.device)

    def _forward(self, parts: list[Any], images: NDArray[np.float64]) -> Any:  # noqa: ANN401
        first, first_bias, second, second_bias = parts
        return torch.relu(self._there(images) @ first + first_bias) @ second + second_bias

    def loss_and_gradient(
        self, theta: NDArray[np.float64], images: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the mean loss of a batch, and its gradient by the parameters."""
        parts = [self._there(part).clone().requires_grad_() for part in self._network.split(theta)]
        loss = torch.nn.functional.cross_entropy(self._forward(parts, images), self._there(labels))
        loss.backward()
        gradient = np.concatenate([part.grad.cpu().numpy().ravel() for part in parts])
        return loss.item(), gradient

    def right(self, theta: NDArray[np.float64], images: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        """Return the share of images that are told right."""
        with torch.no_grad():
            out = self._forward([self._there(part) for part in self._network.split(theta)], images)
        return float((out.argmax(1).cpu().numpy() == labels).mean())
