"""RetinaFace as facexlib trains and ships it (mobilenet0.25 and ResNet-50), with batched tensor code around it.

Deng et al., "RetinaFace: Single-stage Dense Face Localisation in the Wild", 2019.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..building import built_as
from ..host import Host, Resident, layout_on
from ..inference import check_numbers
from ..packages import needed_by
from .candidates import Candidates, most_likely
from .proposer import RETRY_SHRINKS, channels_last

# Of the training, as in facexlib's `generate_config`: sides of the two square anchors at each step of the three
# feature maps, in pixels, and the factors that its box and landmark offsets were divided by.
_ANCHORS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
_CENTRE_FACTOR, _SIZE_FACTOR = 0.1, 0.2
_MEAN_BGR = (104.0, 117.0, 123.0)
# Peak of the working memory per pixel of a picture: 40 and 209 bytes by torch's profiler at 640 px, twice that here.
_BYTES_PER_PIXEL = {"mobile0.25": 80, "resnet50": 420}


def retinaface_backbone(tensors: Mapping[str, Tensor]) -> str | None:
    """Which RetinaFace a state dict belongs to, by its keys: ``mobile0.25``, ``resnet50``, or ``None`` for neither."""
    if (
        not {"BboxHead.0.conv1x1.weight", "ClassHead.0.conv1x1.weight", "LandmarkHead.0.conv1x1.weight"}
        <= tensors.keys()
    ):
        return None
    if "body.layer1.0.conv1.weight" in tensors:
        return "resnet50"
    return "mobile0.25" if "body.stage1.0.0.weight" in tensors else None


def build_retinaface(name: str, backbone: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """facexlib's network with these weights, in evaluation mode.

    Raises:
        WeightsError: tensors are missing or of the wrong shape, or facexlib is missing.
    """
    with needed_by(name, "facexlib"):
        from facexlib.detection.retinaface import RetinaFace

    def make() -> nn.Module:
        with warnings.catch_warnings():
            # facexlib asks torchvision for its backbone in a way that torchvision has renamed.
            warnings.simplefilter("ignore", UserWarning)
            network: nn.Module = RetinaFace(backbone, device="meta")
        return network

    return channels_last(built_as(f"RetinaFace ({backbone})", name, make, tensors))


class RetinaFaceProposer:
    """RetinaFace: boxes and five landmarks, for pictures of any size."""

    labels = ("face",)
    stride = 1
    retry_shrinks = RETRY_SHRINKS

    def __init__(self, name: str, backbone: str, tensors: Mapping[str, Tensor], host: Host) -> None:
        """Builds the network and hands it to the host.

        Raises:
            WeightsError: as :func:`build_retinaface`.
        """
        self.name = name
        self._bytes_per_pixel = _BYTES_PER_PIXEL[backbone]
        self.resident: Resident[nn.Module] = host.adopt(build_retinaface(name, backbone, tensors), torch.float32)

    def working_bytes(self, height: int, width: int) -> int:
        return height * width * self._bytes_per_pixel

    @torch.inference_mode()
    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        count, _, height, width = pictures.shape
        device = self.resident.bring(count * self.working_bytes(height, width))
        mean = torch.tensor(_MEAN_BGR, device=device)[:, None, None]
        inputs = pictures.to(device).flip(1) * 255 - mean
        inputs = inputs.to(self.resident.dtype, memory_format=layout_on(device, torch.channels_last))
        offsets, classes, points = self.resident.module(inputs)
        anchors = anchors_for(height, width).to(device)
        check_numbers(self.name, "a picture", (offsets, classes, points))
        tables = zip(offsets.float(), classes[..., 1].float(), points.float(), strict=True)
        found = (_decoded(*table, anchors, min_score) for table in tables)
        return [candidates.select(candidates.surviving(overlap)) for candidates in found]


def anchors_for(height: int, width: int) -> Tensor:
    """``[A, 3]``: centre x, centre y and side of every anchor of a picture, in pixels from its edge."""
    tables = []
    for step, sides in _ANCHORS:
        y = (torch.arange(math.ceil(height / step)) + 0.5) * step
        x = (torch.arange(math.ceil(width / step)) + 0.5) * step
        side = torch.tensor(sides, dtype=torch.float32)
        tables.append(torch.stack(torch.meshgrid(y, x, side, indexing="ij"), -1).view(-1, 3))
    return torch.cat(tables)[:, [1, 0, 2]]


def _decoded(offsets: Tensor, scores: Tensor, points: Tensor, anchors: Tensor, min_score: float) -> Candidates:
    """One picture: offsets ``[A, 4]``, scores ``[A]``, points ``[A, 10]``, all relative to their anchors."""
    likely = most_likely(scores, min_score)
    offsets, scores, points = offsets[likely], scores[likely], points[likely].view(-1, 5, 2)
    centre, side = anchors[likely, :2], anchors[likely, 2:]
    middle = centre + offsets[:, :2] * _CENTRE_FACTOR * side
    half = side * torch.exp(offsets[:, 2:] * _SIZE_FACTOR) / 2
    landmarks = centre[:, None] + points * _CENTRE_FACTOR * side[:, None]
    # Half a pixel from the edge of the picture to the centre of its first pixel.
    boxes = torch.cat((middle - half, middle + half), 1) - 0.5
    return Candidates(boxes, scores, torch.zeros_like(likely), landmarks - 0.5)
