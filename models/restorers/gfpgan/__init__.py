"""GFPGAN 1.2, 1.3 and 1.4."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ...building import built, numbered
from ..network import Architecture, Kind, Network
from ..options import RestoreOptions
from .architecture import GFPGAN

# Parts that only act in training: the mapping from random numbers to styles, and pictures of the U-Net.
_TRAINING_ONLY = ("stylegan_decoder.style_mlp.", "toRGB.")
_SIGNS = frozenset({"conv_body_first.weight", "stylegan_decoder.style_convs.0.modulated_conv.weight"})


def _call(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    output: Tensor = module(images)
    return output


ARCHITECTURE = Architecture(
    name="GFPGAN",
    call=_call,
    signed=True,
    side=512,
    acts_on_fidelity=False,
    bytes_per_pixel=4000,
    bf16=True,
)


def _recognises(tensors: Mapping[str, Tensor]) -> bool:
    return tensors.keys() >= _SIGNS


def _load(name: str, tensors: dict[str, Tensor]) -> Network:
    kept = {key: value for key, value in tensors.items() if not key.startswith(_TRAINING_ONLY)}
    levels = numbered(kept, "conv_body_up")
    first = "stylegan_decoder.style_convs.{}.modulated_conv"
    widths = [
        kept["stylegan_decoder.constant_input.weight"].shape[1],
        *(kept[first.format(2 * level) + ".weight"].shape[1] for level in range(levels)),
    ]
    style = kept[first.format(0) + ".modulation.weight"].shape[1]
    return Network(name, built(lambda: GFPGAN(widths, style), kept), ARCHITECTURE, scale=1)


KIND = Kind(_recognises, _load)
