"""From a state dict to a module that holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from .host import is_out_of_memory
from .weights import WeightsError, no_room

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


def built_as(
    what: str,
    file: str,
    make: Callable[[], M],
    tensors: Mapping[str, Tensor],
    advice: str = "Delete it and download it again.",
) -> M:
    """As :func:`built`, for a file that is taken for one of a kind by the names of some of its tensors.

    Args:
        what: the kind, for the message.
        file: name of the file, for the message.
        make: may look tensors up to see how wide the module is.
        advice: what to do where they do not fit.

    Raises:
        WeightsError: tensors are missing, too many or of the wrong shape, or memory is short.
    """
    try:
        return built(make, tensors)
    except (LookupError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise no_room(file) from error
        raise WeightsError(
            f"{file} looks like {what}, but tensors are missing or of the wrong shape. {advice}"
        ) from error


def numbered(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many members a list of modules has, by the names ``prefix.0...``, ``prefix.1...`` and so on."""
    start = prefix + "."
    numbers = {name[len(start) :].split(".")[0] for name in tensors if name.startswith(start)}
    return len(numbers)
