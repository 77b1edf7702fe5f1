"""What the tests of nodes connect: tiny networks as they travel on sockets, and the values that widgets begin with."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from visage.tests.comfy_models import LEFT_FACE, detector_of, restorer_of
from visage.tests.parser_models import parser_of

DEFAULTS: dict[str, Any] = {
    "fidelity": 0.5,
    "strength": 1.0,
    "colour_match": 0.0,
    "mask_shape": "square",
    "feather": 0.015,
    "min_face": 0,
    "max_faces": 0,
    "only_center": False,
    "confidence": 0.5,
}
DETECTION: dict[str, Any] = {
    "confidence": 0.5,
    "min_size": 0,
    "tiles": "auto",
    "rotations": False,
    "preview": False,
}
PASTING = {name: DEFAULTS[name] for name in ("strength", "colour_match", "mask_shape", "feather")}


def loaded(network: Any, host: Any) -> Any:
    from visage.nodes.types import LoadedModel

    return LoadedModel(network, host)


def a_detector(boxes: tuple[Any, ...] = (LEFT_FACE,), most: int = 99) -> Any:
    from visage.nodes.host import ComfyHost

    host = ComfyHost()
    return loaded(detector_of(host, boxes, most), host)


def a_restorer(*function: Any) -> Any:
    from visage.nodes.host import ComfyHost

    host = ComfyHost()
    return loaded(restorer_of(host, *function)[0], host)


def a_parser() -> Any:
    """Takes what is brighter than middle grey for skin."""
    from visage.nodes.host import ComfyHost

    host = ComfyHost()
    return loaded(parser_of(host)[0], host)


def same(one: Tensor, two: Tensor) -> bool:
    return one.dtype == two.dtype and torch.equal(one, two)


def found(pack: ModuleType, image: Tensor, boxes: tuple[Any, ...] = (LEFT_FACE,)) -> Any:
    return pack.DetectFaces.execute(image, a_detector(boxes), **DETECTION).result[0]
