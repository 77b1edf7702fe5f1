"""Who a face is, as a network of faces sees it, with gradients."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..faces.alignment import ARCFACE, FFHQ
from ..faces.geometry import fit_similarity
from ..models.embedders.onnx_graph import read_graph
from ..models.embedders.onnx_network import OnnxNetwork

_SIDE = ARCFACE.size


class Identity(nn.Module):
    """Embeddings of FFHQ-aligned faces by MobileFaceNet (Chen et al., 2018).

    Faces lie at the same place in every FFHQ crop, so one fixed similarity, the least-squares fit between the two
    templates, takes any of them to the 112 pixels that the network wants. It shrinks by 3.6: the crop is first
    averaged over squares of 2 pixels, then sampled linearly, which keeps aliasing low and is quick.
    """

    def __init__(self, path: Path) -> None:
        """Args: path of ``MobileFaceNet.onnx`` (RGB in -1..1, 128 numbers out)."""
        super().__init__()
        self.network = OnnxNetwork(read_graph(path))
        self.register_buffer("grid", _grid())
        self.grid: Tensor

    def forward(self, faces: Tensor) -> Tensor:
        """Embeddings ``[N, 128]`` of length 1 for crops ``[N, 3, 512, 512]``, RGB, 0..1."""
        halved = F.avg_pool2d(faces.float(), 2)
        grid = self.grid.expand(len(faces), -1, -1, -1)
        crops = F.grid_sample(halved, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return F.normalize(self.network(crops * 2 - 1), dim=1)


def _grid() -> Tensor:
    """Where each pixel of the ArcFace crop lies in the FFHQ crop, ``[1, 112, 112, 2]`` in -1..1."""
    source = torch.tensor(ARCFACE.points, dtype=torch.float64)
    target = torch.tensor(FFHQ.points, dtype=torch.float64)
    # Every landmark counts alike: the templates differ by proportion, and none of the points is an error.
    matrix, _ = fit_similarity(source[None], target, math.inf)
    places = torch.arange(_SIDE, dtype=torch.float64)
    y, x = torch.meshgrid(places, places, indexing="ij")
    points = torch.stack((x, y, torch.ones_like(x)), dim=-1) @ matrix[0][:2].T
    return ((points + 0.5) / FFHQ.size * 2 - 1).float()[None]
