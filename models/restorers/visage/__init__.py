"""The built-in restorer of Visage, trained by ``visage.training.restorer``."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...building import built, numbered
from ..network import Architecture, Kind, Network
from ..options import RestoreOptions
from .architecture import SIDE, VisageRestorer

__all__ = ["KIND", "SIDE", "VisageRestorer", "layout"]

# What of the gains that were learned is applied at fidelity 0 and at the usual 0.5; at 1 it is nothing.
_MOST, _USUAL = 1.2, 0.65


# A crop of less contrast is stretched to this: between the shades that 1 % of it is darker and brighter than.
_CONTRAST = 0.85
_LEAST_STRETCHED = 0.05
# Shades are those of areas, of 8 x 8 pixels in a crop of 512, so that noise is no contrast.
_AREAS = 64


def _call(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    # At 0 and medium damage the texture of faces is about as strong as the true one; more of it would be noise.
    amount = _MOST * (1 - options.fidelity) ** math.log2(_MOST / _USUAL)
    low, span = _shades(images)
    restored: Tensor = module((images - low) / span, amount=amount)
    return restored * span + low


def _shades(images: Tensor) -> tuple[Tensor, Tensor]:
    """Its darkest shade, and how far it is from there to the brightest, as ``[N, 1, 1, 1]`` of ``[N, 3, H, W]``.

    The network takes what is pale for blurred: faces in haze, in the dark and in faded prints got outlines and halos.
    Pictures of full contrast stay as they are, with 0 and 1.
    """
    areas = F.interpolate(images.mean(1, keepdim=True), (_AREAS, _AREAS), mode="area").flatten(1)
    ranked = areas.sort(1).values
    rank = round(0.01 * ranked.shape[1])
    darkest, brightest = ranked[:, rank], ranked[:, -1 - rank]
    span = ((brightest - darkest) / _CONTRAST).clamp(_LEAST_STRETCHED, 1)
    # The same room is left below as above, as far as there is any.
    low = ((darkest + brightest - span) / 2).clamp(min=0).minimum(1 - span)
    return low[:, None, None, None], span[:, None, None, None]


VISAGE = Architecture(
    name="Visage",
    call=_call,
    signed=False,
    side=SIDE,
    acts_on_fidelity=True,
    # Measured as the others (``..architectures``) on the larger of the networks that are trained: 333, raised by half;
    # the shipped one takes 242.
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
