"""Building a network after a stranger's plan without letting it take all of the memory.

How large a network gets shows only when it is built and, as ultralytics does it, run once on a small picture. So every
tensor that comes about is counted, and those that may be far larger than what they are made of are refused beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

_aten = torch.ops.aten


class TooLargeError(Exception):
    """A network takes more than it may."""


class AllocationLimit(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, no more than so many elements of tensors may come about, or :class:`TooLargeError` is raised."""

    def __init__(self, elements: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._left = elements

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        ahead = _AHEAD.get(operation)
        if ahead is not None and ahead(*args) > self._left:
            raise TooLargeError
        made = operation(*args, **(kwargs or {}))
        if not operation._schema.is_mutable:
            self._left -= sum(part.numel() for part in tree_flatten(made)[0] if isinstance(part, Tensor))
        if self._left < 0:
            raise TooLargeError
        return made


def _convolved(
    picture: Tensor, weight: Tensor, _: Any, step: Any, border: Any, __: Any, turned: bool, *more: Any
) -> int:
    groups: int = more[-1]
    made = len(picture) * (weight.shape[1] * groups if turned else weight.shape[0])
    for side, kernel, by, around in zip(picture.shape[2:], weight.shape[2:], step, border, strict=True):
        made *= side * by + kernel if turned else (side + 2 * around) // by
    return made


# Elements of what an operation makes, from what it is given.
_AHEAD: dict[Any, Callable[..., int]] = {
    _aten.empty.memory_format: lambda size, *_: math.prod(size),
    _aten.convolution.default: _convolved,
    _aten.upsample_nearest2d.default: lambda picture, size, *_: math.prod((*picture.shape[:2], *size)),
    _aten.upsample_bilinear2d.default: lambda picture, size, *_: math.prod((*picture.shape[:2], *size)),
    _aten.cat.default: lambda parts, *_: sum(part.numel() for part in parts),
    _aten.bmm.default: lambda one, other: len(one) * one.shape[1] * other.shape[2],
}
