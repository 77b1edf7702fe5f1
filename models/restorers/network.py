"""One network that turns pictures into better ones, and the one way in which it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...faces.alignment import FFHQ, Template
from .options import DEFAULT_OPTIONS, RestoreOptions

Task = Literal["restore", "fill", "colour"]


@dataclass(frozen=True)
class Architecture:
    """What the code around a network must know of its kind.

    Attributes:
        name: as its authors call it.
        call: runs it: module, input ``[N, 3, H, W]``, the user's options. Gives ``[N, 3, H * scale, W * scale]``.
        signed: pictures go in and come out in -1..1 instead of 0..1.
        side: side of the square crop in pixels, for networks trained on aligned faces of one size; ``None`` for
            networks that take any picture.
        acts_on_fidelity: the fidelity changes the result.
        bytes_per_pixel: working memory of a call in fp32 per pixel of the input.
        bf16: bfloat16 was measured to be close enough to fp32.
        task: what the network was trained for: to restore faces, to fill hidden parts of them, or to colour grey ones.
        template: how the faces lay that the network was trained on.
    """

    name: str
    call: Callable[[nn.Module, Tensor, RestoreOptions], Tensor]
    signed: bool
    side: int | None
    acts_on_fidelity: bool
    bytes_per_pixel: int
    bf16: bool
    task: Task = "restore"
    template: Template = FFHQ

    def working_bytes(self, batch: int, height: int, width: int, dtype: torch.dtype) -> int:
        """Memory that one call of the network takes for its working tensors."""
        return batch * height * width * self.bytes_per_pixel * dtype.itemsize // 4


@dataclass(frozen=True)
class Network:
    """A network as read from a file.

    Attributes:
        name: the file's name without its ending.
        scale: sides of the output over sides of the input.
        padding: columns and rows that an input of a given width and height lacks for the network to take it.
    """

    name: str
    module: nn.Module
    architecture: Architecture
    scale: int
    padding: Callable[[int, int], tuple[int, int]] = lambda width, height: (0, 0)


@dataclass(frozen=True)
class Kind:
    """A kind of network that is written here, and how its files are told from all others.

    Attributes:
        recognises: whether a state dict, free of wrappers and prefixes, is of this kind. Looks at names and shapes.
        load: the network of such a state dict, on the CPU in fp32 and in evaluation mode. First argument: its name.
    """

    recognises: Callable[[Mapping[str, Tensor]], bool]
    load: Callable[[str, dict[str, Tensor]], Network]


def forward(
    network: Network, module: nn.Module, images: Tensor, dtype: torch.dtype, options: RestoreOptions = DEFAULT_OPTIONS
) -> Tensor:
    """Runs a network over pictures that lie where its weights are.

    Args:
        network: says how its ``module`` wants to be called.
        module: the network's module as the host has it now.
        images: float32 ``[N, 3, H, W]``, RGB, 0..1. Sizes that the network does not take are filled up by repeating
            the last column and row, and the result is cut back.
        dtype: of the weights.
        options: of which the architecture takes what acts in it.

    Returns:
        Float32 ``[N, 3, H * scale, W * scale]``, about 0..1 but neither clamped nor checked.
    """
    height, width = images.shape[-2:]
    right, bottom = network.padding(width, height)
    if right or bottom:
        images = F.pad(images, (0, right, 0, bottom), mode="replicate")
    signed = network.architecture.signed
    with torch.no_grad():
        given = (images * 2 - 1 if signed else images).to(dtype)
        output = network.architecture.call(module, given, options).float()
    output = output[..., : height * network.scale, : width * network.scale]
    return output / 2 + 0.5 if signed else output
