"""ELIR for blind face restoration."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ...building import built, numbered
from ...weights import WeightsError
from ..network import Architecture, Kind, Network
from ..options import RestoreOptions
from .architecture import ELIR

_SIGNS = frozenset({"fmir.first_proj.weight", "mmse.lrm.0.RDB1.conv1.block.0.weight", "enc.layers.0.weight"})

# Blocks at the smallest size in the configuration for faces of 512 pixels. Those of the other published networks,
# which do other jobs at 256 pixels and with other noise, have one.
_MIDDLE = 3


def _call(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    output: Tensor = module(images, options.steps, options.seed)
    return output


ARCHITECTURE = Architecture(
    name="ELIR",
    call=_call,
    signed=False,
    side=512,
    acts_on_fidelity=False,
    bytes_per_pixel=1800,
    bf16=True,
)


def _recognises(tensors: Mapping[str, Tensor]) -> bool:
    return tensors.keys() >= _SIGNS


def _load(name: str, tensors: dict[str, Tensor]) -> Network:
    width, latent = tensors["fmir.first_proj.weight"].shape[:2]
    middle = numbered(tensors, "fmir.mid_blocks")
    if middle != _MIDDLE:
        raise WeightsError(
            f"{name} is an ELIR for another job (super-resolution, denoising, inpainting, or no faces at all). "
            "Get elir_bfr.pth."
        )
    levels = range(numbered(tensors, "fmir.down_blocks"))
    # Levels without a convolution behind them keep their size.
    shrinking = [tensors.get(f"fmir.down_blocks.{level}.1.conv.weight") for level in levels]
    module = built(
        lambda: ELIR(
            latent=latent,
            width=width,
            multiples=[1 if weight is None else weight.shape[0] // weight.shape[1] for weight in shrinking],
            middle=middle,
            waves=tensors["fmir.time_mlp.linear1.weight"].shape[1],
            growth=tensors["mmse.lrm.0.RDB1.conv1.block.0.weight"].shape[0],
            groups=numbered(tensors, "mmse.lrm"),
        ),
        tensors,
    )
    return Network(name, module, ARCHITECTURE, scale=1)


KIND = Kind(_recognises, _load)
