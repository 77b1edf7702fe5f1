"""Learning rates over a run, and averaged weights."""

from __future__ import annotations

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


# Factor of the learning rate at the end of a run.
_FLOOR = 0.02


def cosine(step: int, total: int, warm_up: int) -> float:
    """Factor of the learning rate: rises linearly over ``warm_up`` steps, then falls along half a cosine to
    :data:`_FLOOR` at ``total`` (Loshchilov and Hutter, "SGDR", 2017, without restarts).
    """
    if step < warm_up:
        return (step + 1) / warm_up
    share = min(1.0, (step - warm_up) / max(1, total - warm_up))
    return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * share))


class Average(Generic[M]):
    """The running mean of a network's weights, which is steadier than the weights themselves.

    The decay grows with the steps, ``(1 + n) / (10 + n)`` up to ``decay``, so that the first weights are forgotten
    (as TensorFlow's ``ExponentialMovingAverage`` does).
    """

    def __init__(self, module: M, decay: float) -> None:
        self.module: M = copy.deepcopy(module).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, module: M, step: int) -> None:
        """Takes in the weights of ``module`` as they are after ``step`` steps."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        averaged: list[Tensor] = list(self.module.parameters())
        current: list[Tensor] = list(module.parameters())
        torch._foreach_lerp_(averaged, current, weight)
        for target, source in zip(self.module.buffers(), module.buffers(), strict=True):
            target.copy_(source)
