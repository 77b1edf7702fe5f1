"""RestoreFormer and RestoreFormer++ (Wang et al., 2022 and 2023)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ...building import built
from ..network import Architecture, Kind, Network
from ..options import RestoreOptions
from .architecture import RestoreFormer

_SIGNS = frozenset(
    {
        "quantize.embedding.weight",
        "quant_conv.weight",
        "encoder.conv_in.weight",
        "encoder.down.0.block.0.norm1.weight",
        "decoder.mid.attn_1.norm2.weight",
    }
)
# The second resolution at which the decoder of the newer network attends.
_PLUS_PLUS = "decoder.up.4.attn.0.q.weight"


def _call(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    restored: Tensor = module(images)
    return restored


def _architecture(name: str) -> Architecture:
    return Architecture(
        name=name,
        call=_call,
        signed=True,
        side=512,
        acts_on_fidelity=False,
        bytes_per_pixel=3300,
        bf16=False,
    )


RESTOREFORMER = _architecture("RestoreFormer")
RESTOREFORMER_PLUS_PLUS = _architecture("RestoreFormer++")


def _recognises(tensors: Mapping[str, Tensor]) -> bool:
    return tensors.keys() >= _SIGNS


def _load(name: str, tensors: dict[str, Tensor]) -> Network:
    newer = _PLUS_PLUS in tensors
    entries, code_channels = tensors["quantize.embedding.weight"].shape

    def make() -> RestoreFormer:
        # The number of heads leaves no trace in the weights: it is that of the authors' configurations.
        return RestoreFormer(
            heads=4 if newer else 8,
            attended=(4, 5) if newer else (5,),
            channels=tensors["encoder.conv_in.weight"].shape[0],
            entries=entries,
            code_channels=code_channels,
        )

    return Network(name, built(make, tensors), RESTOREFORMER_PLUS_PLUS if newer else RESTOREFORMER, scale=1)


KIND = Kind(_recognises, _load)
