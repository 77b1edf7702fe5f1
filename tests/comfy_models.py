"""Tiny networks in the place of a detector and a restorer, to see what the nodes do around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from visage.models.detectors import Detector
from visage.models.detectors.candidates import Candidates
from visage.models.restorers.network import Architecture, Network
from visage.models.restorers.restorer import Restorer

# Where the detector sees its faces: left, top, right, bottom as shares of the picture.
LEFT_FACE = (0.1, 0.3, 0.4, 0.7)
RIGHT_FACE = (0.55, 0.35, 0.8, 0.7)


class _Anything(nn.Module):
    """Calls a function; one weight so that there is something to move."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.function = function
        self.batches: list[int] = []

    @property
    def calls(self) -> int:
        return len(self.batches)

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return self.function(images) * self.weight


class _Proposer:
    labels = ("face",)
    stride = 32
    retry_shrinks = ()
    name = "pretended.pt"

    def __init__(self, boxes: tuple[tuple[float, float, float, float], ...], host: Any, most: int) -> None:
        self.resident = host.adopt(_Anything(torch.clone), torch.float32)
        self.boxes, self.most = boxes, most

    def working_bytes(self, height: int, width: int) -> int:
        return height * width

    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        self.resident.bring(1)
        self.resident.module(pictures)
        if len(pictures) > self.most:
            raise torch.OutOfMemoryError("out of memory, pretended")
        height, width = pictures.shape[-2:]
        boxes = torch.tensor(self.boxes).reshape(-1, 4) * torch.tensor([width, height, width, height])
        scores = torch.linspace(0.9, 0.8, len(boxes))
        return [Candidates(boxes, scores, torch.zeros(len(boxes), dtype=torch.int64), None) for _ in pictures]


def detector_of(
    host: Any, boxes: tuple[tuple[float, float, float, float], ...] = (LEFT_FACE,), most: int = 99
) -> Detector:
    """Sees a face in every box of every picture, and runs out of memory beyond ``most`` pictures at once."""
    return Detector(_Proposer(boxes, host, most), host)


def restorer_of(
    host: Any, function: Callable[[Tensor], Tensor] = lambda images: 1 - images
) -> tuple[Restorer, _Anything]:
    """Gives the negative of a face, or what ``function`` makes of the crops, and the network that does it."""
    module = _Anything(function)
    architecture = Architecture("pretended", lambda net, images, options: net(images), False, None, False, 100, False)
    return Restorer(Network("pretended", module, architecture, 1), host), module
