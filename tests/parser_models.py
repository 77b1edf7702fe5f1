"""Parsers without trained weights: one that reads regions off the colours of the picture, and one in a real layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from visage.faces.regions import REGIONS
from visage.models.parsers import Parser
from visage.models.parsers.loading import ARCHITECTURES, Architecture, Network


def bright_is_skin(images: Tensor) -> Tensor:
    """``[N, R, S, S]``: skin where the picture is brighter than middle grey, background elsewhere."""
    bright = images.mean(1) > 0.5
    logits = torch.full((len(images), len(REGIONS), *images.shape[2:]), -20.0)
    logits[:, REGIONS.index("skin")] = torch.where(bright, 20.0, -20.0)
    logits[:, REGIONS.index("background")] = torch.where(bright, -20.0, 20.0)
    return logits


class Reader(nn.Module):
    """Calls a function, keeps what it was called with, and runs out of memory beyond ``most`` pictures at once."""

    def __init__(self, function: Callable[[Tensor], Tensor], most: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.function, self.most = function, most
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("out of memory, pretended")
        return self.function(images)


def parser_of(
    host: Any, function: Callable[[Tensor], Tensor] = bright_is_skin, most: int = 99, **architecture: Any
) -> tuple[Parser, Reader]:
    """The parser and its network. The network gets pictures of 0..1 and gives regions in the order of ``REGIONS``."""
    module = Reader(function, most)
    given: dict[str, Any] = {
        "name": "pretended",
        "build": nn.Identity,
        "names": frozenset(),
        "mean": (0.0, 0.0, 0.0),
        "spread": (1.0, 1.0, 1.0),
        "call": lambda network, images: network(images),
        "regions": REGIONS,
        "bytes_per_pixel": 300,
        "bf16": True,
    }
    return Parser(Network("pretended", module, Architecture(**given | architecture)), host), module


def write_bisenet(file: Path, picture: Tensor) -> None:
    """A file in BiSeNet's official layout with random weights.

    Its last layer is such that about half of ``picture``, ``[3, 512, 512]`` 0..1, is glasses to it, and the rest skin.
    """
    (kind,) = (kind for kind in ARCHITECTURES if kind.name == "BiSeNet")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(7)
        network: Any = kind.build().eval()
        fine, fused, _ = network.cp(picture[None] * 2 - 1)
        features = network.conv_out.conv(network.ffm(fine, fused))[0].flatten(1)
        mean = features.mean(1)
        direction = torch.linalg.svd(features - mean[:, None], full_matrices=False)[0][:, 0]
        direction -= direction @ mean / (mean @ mean) * mean
        last = network.conv_out.conv_out.weight
        last.zero_()
        for region, sign in (("glasses", 1), ("skin", -1)):
            last[kind.regions.index(region), :, 0, 0] = sign * 20 * direction / (direction @ features).std()
    torch.save(network.state_dict(), file)
