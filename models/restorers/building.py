"""From a state dict to a module that holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def built(make: Callable[[], M], tensors: Mapping[str, Tensor]) -> M:
    """The module that ``make`` makes, with these very tensors in it, in fp32 and evaluation mode.

    It is made without memory and without drawing first weights, so that the global generator stays as it is.

    Raises:
        RuntimeError: names or shapes differ from the module's.
    """
    with torch.device("meta"):
        module = make()
    module.load_state_dict(tensors, assign=True)
    return module.float().eval().requires_grad_(False)


def numbered(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many members a list of modules has, by the names ``prefix.0...``, ``prefix.1...`` and so on."""
    start = prefix + "."
    numbers = {name[len(start) :].split(".")[0] for name in tensors if name.startswith(start)}
    return len(numbers)
