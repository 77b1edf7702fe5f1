"""An optimiser for kernels that mix channels: momentum whose directions all count the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Of a polynomial that brings singular values near to 1 when it is repeated (Jordan et al., "Muon", 2024).
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
_REPEATS = 5
# Root mean square of a step over the rate: about that of AdamW, whose rates then suit both (Liu et al., "Muon is
# scalable for LLM training", 2025).
_STRENGTH = 0.2
_FLOOR = 1e-7


class Muon(torch.optim.Optimizer):
    """Moves matrices along the nearest orthogonal one to their momentum.

    The gradient of a matrix has few strong directions and many weak ones, which Adam leaves weak. Kernels count as
    matrices from all they read to the channels they make. ``torch.optim.Muon`` takes no kernels, and computes in
    bfloat16, which most CPUs are slow in.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float,
        side_by_side: Callable[..., Iterable[Any]] = map,
        momentum: float = 0.95,
    ) -> None:
        """
        Args:
            side_by_side: as ``map``; that of an executor has threads work at different shapes of matrices.
        """
        super().__init__(parameters, {"lr": rate, "momentum": momentum})
        self._side_by_side = side_by_side

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step down the gradients that are there."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"]
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                # Nesterov's: where the momentum will be.
                ahead = parameter.grad.lerp(momentum, group["momentum"]).flatten(1)
                alike[ahead.shape].append((parameter, ahead))
            largest_first = sorted(alike.values(), key=lambda some: -sum(ahead.numel() for _, ahead in some))
            made = self._side_by_side(lambda some: orthogonal(torch.stack([ahead for _, ahead in some])), largest_first)
            for some, steps in zip(largest_first, made, strict=True):
                length = _STRENGTH * max(steps.shape[1:]) ** 0.5
                for (parameter, _), step in zip(some, steps, strict=True):
                    parameter.sub_(step.view_as(parameter), alpha=group["lr"] * length)


def orthogonal(matrices: Tensor) -> Tensor:
    """``[N, a, b]``: about the nearest matrices whose singular values are all 1, give or take a third."""
    first, second, third = _POLYNOMIAL
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    wide = wide / (torch.linalg.matrix_norm(wide, keepdim=True) + _FLOOR)
    for _ in range(_REPEATS):
        square = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(square, square, square, beta=second, alpha=third), wide, beta=first)
    made: Tensor = wide if matrices.shape[1] <= matrices.shape[2] else wide.mT
    return made
