"""HiFaceGAN."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ...building import built
from ..network import Architecture, Kind, Network
from ..options import RestoreOptions
from .architecture import HiFaceGan
from .files import folded, unified, used

__all__ = ["KIND"]


def _call(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    restored: Tensor = module(images)
    return restored


HIFACEGAN = Architecture(
    name="HiFaceGAN",
    call=_call,
    # The last layer reaches from -1 to 1, yet the authors feed and show 0..1.
    signed=False,
    side=512,
    acts_on_fidelity=False,
    bytes_per_pixel=7700,
    bf16=False,
)


def _recognises(tensors: Mapping[str, Tensor]) -> bool:
    encoders = {"lip_encoder.model.0.weight", "encoder.head.0.weight"}
    return "G_middle_0.norm_0.mlp_shared.0.weight" in tensors and not encoders.isdisjoint(tensors)


def _load(name: str, tensors: dict[str, Tensor]) -> Network:
    plain = folded(unified(used(tensors)))
    width = len(plain["lip_encoder.model.0.weight"])
    module = built(lambda: HiFaceGan(width, "features" if "fc.weight" in plain else "picture"), plain)
    return Network(name, module, HIFACEGAN, scale=1)


KIND = Kind(_recognises, _load)
