"""GPEN 256, 512, 1024 and 2048, for restoration, colorization and the filling of hidden parts.

Nothing in their tensors tells the three apart, so here alone the name of the file counts, as the authors chose it:
one with "color" in it colours, one with "inpaint" fills.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ....faces.alignment import GPEN
from ...building import built, numbered
from ...weights import WeightsError
from ..network import Architecture, Kind, Network, Task
from ..options import RestoreOptions
from .architecture import Gpen

__all__ = ["KIND"]

_NAMES: dict[Task, str] = {"restore": "GPEN {}", "fill": "GPEN {} inpainting", "colour": "GPEN {} colorization"}


def _call(module: nn.Module, images: Tensor, options: RestoreOptions) -> Tensor:
    restored: Tensor = module(images)
    return restored


def _architecture(side: int, task: Task) -> Architecture:
    return Architecture(
        name=_NAMES[task].format(side),
        call=_call,
        signed=True,
        side=side,
        acts_on_fidelity=False,
        bytes_per_pixel=3700,
        bf16=True,
        task=task,
        template=GPEN,
    )


def _recognises(tensors: Mapping[str, Tensor]) -> bool:
    return tensors.keys() >= {"ecd0.0.0.weight", "generator.convs.0.conv.weight", "final_linear.0.weight"}


def _load(name: str, tensors: dict[str, Tensor]) -> Network:
    """Stages, their widths and the length of the style are read off the names and shapes of the tensors."""
    widths = [len(tensors["ecd0.0.0.weight"])]
    while (weight := f"ecd{len(widths)}.0.1.weight") in tensors:
        widths.append(len(tensors[weight]))
    style, depth = len(tensors["final_linear.0.weight"]), numbered(tensors, "generator.style")
    module = built(lambda: Gpen(widths[::-1], style, depth), tensors)
    return Network(name, module, _architecture(4 << (len(widths) - 1), _task(name)), scale=1)


def _task(name: str) -> Task:
    known = name.lower()
    if "seg2face" in known:
        raise WeightsError(f"{name} draws faces from maps of their parts: no restorer. Get GPEN-BFR-512.pth.")
    if "color" in known:
        return "colour"
    return "fill" if "inpaint" in known else "restore"


KIND = Kind(_recognises, _load)
