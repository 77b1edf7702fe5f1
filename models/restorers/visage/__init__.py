"""The built-in restorer of Visage, trained by ``visage.training.restorer``."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...building import built, numbered
from ..network import Architecture, Kind, Network
from ..options import RestoreOptions
from .architecture import SIDE, VisageRestorer
from .shades import CONTRAST, FACE, FACE_CONTRAST, areas_of, shades_of, share_of_face

__all__ = ["KIND", "SIDE", "VisageRestorer", "layout"]

# What of the gains that were learned is applied at fidelity 0 and at the usual 0.5; at 1 it is nothing.
_MOST, _USUAL = 1.2, 0.65


def _call(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    # At 0 and medium damage the texture of faces is about as strong as the true one; more of it would be noise.
    amount = _MOST * (1 - options.fidelity) ** math.log2(_MOST / _USUAL)
    areas = areas_of(images)
    whole, face = shades_of(areas, CONTRAST), shades_of(areas[FACE], FACE_CONTRAST)
    restored: Tensor = whole.brought_back(module(whole.stretched(images), amount=amount))
    share = share_of_face(face, whole, images, restored)
    # The device is waited for here, once a batch: to look at every crop a second time would take twice as long.
    paler = share.flatten().nonzero().flatten()
    if len(paler) == 0:
        return restored
    given, face = images[paler], face.take(paler)
    clipped, inside = face.clipped(given)
    closer = given + face.span * (module(clipped, amount=amount) - clipped)
    return restored.index_copy(0, paler, torch.lerp(restored[paler], closer, inside * share[paler]))


VISAGE = Architecture(
    name="Visage",
    call=_call,
    signed=False,
    side=SIDE,
    acts_on_fidelity=True,
    # Measured as the others (``..architectures``) on the larger of the networks that are trained: 333, raised by half;
    # the shipped one takes 242. A second look adds 28 to either.
    bytes_per_pixel=500,
    bf16=False,
)


def _recognises(tensors: Mapping[str, Tensor]) -> bool:
    return tensors.keys() >= {"head.weight", "place", "whole.weight", "change.weight", "gain.weight"}


def layout(tensors: Mapping[str, Tensor]) -> tuple[list[int], list[int], bool]:
    """Widths, numbers of blocks and whether it is normed: what :class:`VisageRestorer` takes, from its tensors."""
    widths = [len(tensors["head.weight"])]
    while (weight := f"shrink.{len(widths) - 1}.weight") in tensors:
        widths.append(len(tensors[weight]))
    blocks = [numbered(tensors, f"down.{stage}") for stage in range(len(widths) - 1)]
    return widths, [*blocks, numbered(tensors, "middle")], "grow_norm.0.weight" in tensors


def _load(name: str, tensors: dict[str, Tensor]) -> Network:
    shape = layout(tensors)
    # Kernels with the channels last run a third quicker on CPUs, whatever the input's layout.
    last = torch.channels_last
    tensors = {
        key: value.contiguous(memory_format=last) if value.ndim == 4 else value for key, value in tensors.items()
    }
    return Network(name, built(lambda: VisageRestorer(*shape), tensors), VISAGE, scale=1)


KIND = Kind(_recognises, _load)
