"""VQFR, versions 1 and 2 (Gu et al., 2022)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ...building import built
from ..network import Architecture, Kind, Network
from ..options import RestoreOptions
from .first import VQFRv1
from .second import VQFRv2

_FIRST_CODEBOOK = "quantizer.quantize_dict.Level_32.embedding.weight"
_FIRST = frozenset({_FIRST_CODEBOOK, "main_decoder.align_func_dict.Level_1.dcn.weight"})
_SECOND = frozenset({"quantizer.embedding.weight", "main_branch.align_func_dict.Level_1.dcn.weight"})


def _call_first(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    restored: Tensor = module(images)
    return restored


def _call_second(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    restored: Tensor = module(images, options.fidelity)
    return restored


VQFR_1 = Architecture(
    name="VQFR v1",
    call=_call_first,
    signed=True,
    side=512,
    acts_on_fidelity=False,
    bytes_per_pixel=14200,
    bf16=False,
)
VQFR_2 = Architecture(
    name="VQFR v2",
    call=_call_second,
    signed=True,
    side=512,
    acts_on_fidelity=True,
    bytes_per_pixel=8800,
    bf16=False,
)


def _recognises(tensors: Mapping[str, Tensor]) -> bool:
    return tensors.keys() >= _FIRST or tensors.keys() >= _SECOND


def _load(name: str, tensors: dict[str, Tensor]) -> Network:
    if tensors.keys() >= _FIRST:
        return Network(name, built(lambda: _first(tensors), tensors), VQFR_1, scale=1)
    return Network(name, built(lambda: _second(tensors), tensors), VQFR_2, scale=1)


def _first(tensors: Mapping[str, Tensor]) -> VQFRv1:
    entries, code_channels = tensors[_FIRST_CODEBOOK].shape
    return VQFRv1(
        channels=tensors["encoder.conv_in.weight"].shape[0],
        entries=entries,
        code_channels=code_channels,
        face_channels=tensors["inpfeat_extraction.conv.weight"].shape[0],
    )


def _second(tensors: Mapping[str, Tensor]) -> VQFRv2:
    entries, code_channels = tensors["quantizer.embedding.weight"].shape
    return VQFRv2(
        channels=tensors["encoder.conv_in.weight"].shape[0],
        entries=entries,
        code_channels=code_channels,
        face_channels=tensors["inpfeat_extraction.weight"].shape[0],
    )


KIND = Kind(_recognises, _load)
