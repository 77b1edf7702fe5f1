"""CodeFormer, its face inpainting and its face colorization."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from ...building import built, numbered
from ..network import Architecture, Kind, Network, Task
from ..options import RestoreOptions
from .architecture import CodeFormer

_SIZES = (16, 32, 64, 128, 256, 512)


def _restore(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    output: Tensor = module(images, options.fidelity, options.adain)
    return output


def _fill(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    # As the authors' inference_inpainting.py.
    output: Tensor = module(images, 1.0, False)
    return output


def _colour(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    # As the authors' inference_colorization.py: the fusing layers of this one were never trained.
    output: Tensor = module(images, 0.0, True)
    return output


def _architecture(
    name: str, call: Callable[[nn.Module, Tensor, RestoreOptions], Tensor], task: Task = "restore"
) -> Architecture:
    return Architecture(
        name=name,
        call=call,
        signed=True,
        side=512,
        acts_on_fidelity=task == "restore",
        bytes_per_pixel=3100,
        bf16=False,
        task=task,
    )


RESTORING = _architecture("CodeFormer", _restore)
FILLING = _architecture("CodeFormer inpainting", _fill, "fill")
COLOURING = _architecture("CodeFormer colorization", _colour, "colour")


def _recognises(tensors: Mapping[str, Tensor]) -> bool:
    return {"position_emb", "idx_pred_layer.1.weight", "quantize.embedding.weight"} <= tensors.keys()


def _load(name: str, tensors: dict[str, Tensor]) -> Network:
    tokens, embedding = tensors["position_emb"].shape
    entries, code = tensors["quantize.embedding.weight"].shape
    fused = [size for size in _SIZES if f"fuse_convs_dict.{size}.scale.0.weight" in tensors]
    module = built(
        lambda: CodeFormer(
            width=tensors["encoder.blocks.0.weight"].shape[0],
            code=code,
            entries=entries,
            tokens=tokens,
            embedding=embedding,
            layers=numbered(tensors, "ft_layers"),
            fused=fused,
        ),
        tensors,
    )
    return Network(name, module, _by_layout(entries, fused), scale=1)


def _by_layout(entries: int, fused: list[int]) -> Architecture:
    """The three published networks differ in their layout: the one that restores alone fuses at 256 pixels too, and
    the codebook of the one that fills has half as many entries as that of the one that colours."""
    if 256 in fused:
        return RESTORING
    return COLOURING if entries == 1024 else FILLING


KIND = Kind(_recognises, _load)
