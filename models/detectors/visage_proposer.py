"""visage-detect: two small networks of Visage's own, in one file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..building import built_as
from ..host import Host, Resident, layout_on
from ..inference import check_numbers
from . import visage_judge
from .candidates import Candidates, joined, most_likely
from .proposer import PADDING, channels_last
from .visage_finder import STRIDES, Predictions, VisageDetect, Widths, cells_of, decoded
from .visage_landmarks import LandmarkNetwork


@dataclass(frozen=True)
class _PyramidLevel:
    """Pictures at one size of an image pyramid, each level half as large as the one before.

    Attributes:
        shrunk: so many times, by which faces become smaller, and so does what blurs them.
        smallest: longer side of the faces taken from it, in pixels of the whole picture as it is given.
        largest: likewise. The network has seen few faces of more than 180 pixels.
    """

    shrunk: int
    smallest: float
    largest: float = math.inf


# All levels but the first together cost a third of it. They find sharp faces from 180 pixels on; blurred ones, of which
# shrinking leaves a face as sharp as others, from 45.
_PYRAMID = (_PyramidLevel(1, 0.0, 180.0), _PyramidLevel(2, 45.0), _PyramidLevel(4, 90.0), _PyramidLevel(8, 180.0))
# Peak of the working memory per pixel of a picture, and twice that for a reserve.
_BYTES_PER_PIXEL = 60
# What the first network finds less likely than this is not looked at again: there are hundreds of it in each picture.
_LEAST_FIRST = 0.05


class VisageCascade(nn.Module):
    """Both networks.

    Attributes:
        detect: finds faces in whole pictures.
        points: judges each of them, and says where its landmarks are; ``None`` while it is not yet trained.
    """

    def __init__(self, detect: VisageDetect, points: LandmarkNetwork | None) -> None:
        super().__init__()
        self.detect, self.points = detect, points


def is_visage(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is that of :class:`VisageCascade` as it is shipped, by its keys."""
    return {"detect.stem.0.weight", "detect.stage32.0.0.weight", "detect.predict.weight"} <= tensors.keys()


def build_visage(name: str, tensors: Mapping[str, Tensor]) -> VisageCascade:
    """The networks with these weights, as wide as they are, in evaluation mode and float32.

    Raises:
        WeightsError: tensors are missing or of the wrong shape.
    """

    def width(key: str) -> int:
        return tensors[f"{key}.0.weight"].shape[0]

    def make() -> VisageCascade:
        second, third, fourth = (width(f"detect.stage{stride}.0") for stride in STRIDES)
        detect = VisageDetect(Widths(width("detect.stem"), second, third, fourth, width("detect.head")))
        points = None
        if any(key.startswith("points.") for key in tensors):
            points = LandmarkNetwork([width(f"points.{stage}.0") for stage in ("stage2", "stage4", "stage8")])
        return VisageCascade(detect, points)

    advice = "The one that is built in comes with Visage: reinstall Visage."
    cascade = built_as("visage-detect", name, make, tensors, advice)
    channels_last(cascade)
    return cascade


class VisageProposer:
    """visage-detect: boxes and five landmarks.

    The first network looks at pictures as they are, for faces of the sizes that it knows, and at a half, a quarter and
    an eighth of their size, for larger and for blurred ones.
    """

    labels = ("face",)
    stride = STRIDES[-1]
    retry_shrinks = (2,)

    def __init__(self, name: str, tensors: Mapping[str, Tensor], host: Host) -> None:
        """Builds the network and hands it to the host.

        Raises:
            WeightsError: as :func:`build_visage`.
        """
        self.name = name
        self.resident: Resident[VisageCascade] = host.adopt(build_visage(name, tensors), torch.float32)

    def working_bytes(self, height: int, width: int) -> int:
        return height * width * _BYTES_PER_PIXEL + visage_judge.BYTES

    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        networks = self.resident.module
        if networks.points is None:
            return self.find(pictures, min_score, overlap)
        # The score is the geometric mean of both networks': the first alone need not reach more than the square.
        found = self.find(pictures, max(min_score**2, min(min_score, _LEAST_FIRST)), overlap)
        there = pictures.to(found[0].boxes)
        better = visage_judge.judged(networks.detect, networks.points, there, found, min_score)
        return [one.select((one.scores >= min_score).nonzero()[:, 0]) for one in better]

    @torch.inference_mode()
    def find(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        """What the first network says alone; as :meth:`propose`."""
        count, _, height, width = pictures.shape
        device = self.resident.bring(count * self.working_bytes(height, width))
        inputs = pictures.to(device, self.resident.dtype, memory_format=layout_on(device, torch.channels_last))
        seen, predictions = [], []
        for level in _PYRAMID:
            inputs = _halved(inputs) if level.shrunk > 1 else inputs
            height, width = inputs.shape[2:]
            maps = self.resident.module.detect(inputs)
            seen += maps
            predictions.append(decoded(maps, cells_of(height, width, inputs.device)))
        check_numbers(self.name, "a picture", seen)
        found = []
        for index in range(count):
            levels = zip(predictions, _PYRAMID, strict=True)
            candidates = joined([_candidates(at_level, index, min_score, level) for at_level, level in levels])
            found.append(candidates.select(candidates.surviving(overlap)))
        return found


def _halved(pictures: Tensor) -> Tensor:
    """Pictures ``[N, 3, h, w]`` at half their size, in which every pixel is the mean of four, in whole strides."""
    side = 2 * STRIDES[-1]
    below, beside = -pictures.shape[2] % side, -pictures.shape[3] % side
    # Between two pixels, "bilinear" is their mean, and with channels last a sixth of the time of a pooling.
    return F.interpolate(F.pad(pictures, (0, beside, 0, below), value=PADDING), scale_factor=0.5, mode="bilinear")


def _candidates(predictions: Predictions, index: int, min_score: float, level: _PyramidLevel) -> Candidates:
    """What may be faces in one picture, of the sizes that a level is for."""
    scores = predictions.logits[index].sigmoid()
    boxes = predictions.boxes[index] * level.shrunk
    sides = (boxes[:, 2:] - boxes[:, :2]).amax(1)
    scores = scores.where((sides >= level.smallest) & (sides <= level.largest), scores.new_zeros(()))
    likely = most_likely(scores, min_score)
    # Half a pixel from the edge of the picture to the centre of its first pixel.
    landmarks = predictions.landmarks[index, likely] * level.shrunk - 0.5
    return Candidates(boxes[likely] - 0.5, scores[likely], torch.zeros_like(likely), landmarks)
