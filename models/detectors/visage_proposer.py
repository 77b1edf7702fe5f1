"""visage-detect: two small networks of Visage's own, in one file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..host import Host, Resident
from ..weights import WeightsError
from .candidates import Candidates, joined, most_likely
from .proposer import channels_last
from .visage import STRIDES, Predictions, VisageDetect, Widths, cells_of, decoded
from .visage_landmarks import LandmarkNetwork, seen, views_of

# Longer side in pixels of faces from which on the second look is the better one: the network has seen few larger ones.
_LARGEST = 180.0
# Peak of the working memory per pixel of a picture, and twice that for a reserve.
_BYTES_PER_PIXEL = 60
# What the first network finds less likely than this is not looked at again: there are hundreds of it in each picture.
_LEAST_FIRST = 0.05
# Of the least score: what is less likely after its first look by the second network is not looked at again.
_LEAST_KEPT = 0.8
# Faces that the second network sees at once, mirror images beside them, and the working memory for them: four layers of
# its finest features.
_VIEWS_AT_ONCE = 64
_BYTES_OF_VIEWS = 64 * 2**20


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

    try:
        second, third, fourth = (width(f"detect.stage{stride}.0") for stride in STRIDES)
        detect = VisageDetect(Widths(width("detect.stem"), second, third, fourth, width("detect.head")))
        points = None
        if any(key.startswith("points.") for key in tensors):
            points = LandmarkNetwork([width(f"points.{stage}.0") for stage in ("stage2", "stage4", "stage8")])
        cascade = VisageCascade(detect, points)
        cascade.load_state_dict(dict(tensors), strict=True)
    except (KeyError, IndexError, RuntimeError) as error:
        raise WeightsError(
            f"{name} looks like visage-detect, but tensors are missing or of the wrong shape. "
            "The one that is built in comes with Visage: reinstall Visage."
        ) from error
    cascade.eval().requires_grad_(False)
    channels_last(cascade)
    return cascade


class VisageProposer:
    """visage-detect: boxes and five landmarks.

    Pictures are looked at twice: as they are, for faces of the sizes that the network knows, and at half their size,
    for larger ones. The second look costs a quarter of the first.
    """

    labels = ("face",)
    stride = 2 * STRIDES[-1]

    def __init__(self, name: str, tensors: Mapping[str, Tensor], host: Host) -> None:
        """Builds the network and hands it to the host.

        Raises:
            WeightsError: as :func:`build_visage`.
        """
        self.name = name
        self.resident: Resident[VisageCascade] = host.adopt(build_visage(name, tensors), torch.float32)

    def working_bytes(self, height: int, width: int) -> int:
        return height * width * _BYTES_PER_PIXEL + _BYTES_OF_VIEWS

    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        points = self.resident.module.points
        if points is None:
            return self.find(pictures, min_score, overlap)
        # The score is the geometric mean of both networks': the first alone need not reach more than the square.
        found = self.find(pictures, max(min_score**2, min(min_score, _LEAST_FIRST)), overlap)
        better = judged(points, pictures.to(found[0].boxes), found, min_score)
        return [one.select((one.scores >= min_score).nonzero()[:, 0]) for one in better]

    @torch.inference_mode()
    def find(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        """What the first network says alone; as :meth:`propose`."""
        count, _, height, width = pictures.shape
        device = self.resident.bring(count * self.working_bytes(height, width))
        inputs = pictures.to(device, self.resident.dtype, memory_format=torch.channels_last)
        near, far = self._look(inputs), self._look(F.avg_pool2d(inputs, 2))
        found = []
        for index in range(count):
            usual = _candidates(near, index, min_score, 1, 0, _LARGEST)
            large = _candidates(far, index, min_score, 2, _LARGEST / 2, math.inf)
            candidates = joined([usual, large])
            found.append(candidates.select(candidates.surviving(overlap)))
        return found

    def _look(self, inputs: Tensor) -> Predictions:
        height, width = inputs.shape[2:]
        return decoded(self.resident.module.detect(inputs), cells_of(height, width, inputs.device))


def _candidates(
    predictions: Predictions, index: int, min_score: float, scale: int, smallest: float, largest: float
) -> Candidates:
    """What may be faces in one picture, those with a longer side of ``smallest`` to ``largest``.

    Args:
        scale: pixels of the picture in one of those that the network saw.
    """
    scores = predictions.logits[index].sigmoid()
    boxes = predictions.boxes[index] * scale
    sides = (boxes[:, 2:] - boxes[:, :2]).amax(1)
    scores = scores.where((sides >= smallest) & (sides <= largest), scores.new_zeros(()))
    likely = most_likely(scores, min_score)
    # Half a pixel from the edge of the picture to the centre of its first pixel.
    landmarks = predictions.landmarks[index, likely] * scale - 0.5
    return Candidates(boxes[likely] - 0.5, scores[likely], torch.zeros_like(likely), landmarks)


@torch.inference_mode()
def judged(
    network: LandmarkNetwork, pictures: Tensor, found: Sequence[Candidates], min_score: float
) -> list[Candidates]:
    """Candidates with the landmarks of the second network and with scores in which both have a say, best first.

    Args:
        pictures: ``[N, 3, h, w]``.
        found: in each of them, with landmarks.
        min_score: candidates far below it are left out.
    """
    owners = torch.cat([torch.full_like(one.labels, index) for index, one in enumerate(found)])
    together = joined(found)
    if together.landmarks is None or not len(together):
        return list(found)
    # From the centre of the first pixel to its edge.
    points, logits = _landmarks_and_logits(network.forward, pictures, owners, together.landmarks + 0.5)
    kept = (_joint_score(together.scores, logits) >= _LEAST_KEPT * min_score).nonzero()[:, 0]
    together, owners, points, logits = together.select(kept), owners[kept], points[kept], logits[kept]
    if len(kept):
        # Once more in the view that these landmarks give, and in its mirror image.
        points, logits = _landmarks_and_logits(network.seen_twice, pictures, owners, points)
    scores = _joint_score(together.scores, logits)
    order = scores.argsort(descending=True, stable=True)
    better = replace(together, landmarks=points - 0.5, scores=scores)
    return [better.select(order[owners[order] == index]) for index in range(len(found))]


def _joint_score(first: Tensor, logits: Tensor) -> Tensor:
    return (first * logits.sigmoid()).sqrt()


def _landmarks_and_logits(
    look: Callable[[Tensor], tuple[Tensor, Tensor]], pictures: Tensor, owners: Tensor, points: Tensor
) -> tuple[Tensor, Tensor]:
    """Landmarks ``[K, 5, 2]`` and logits ``[K]`` after one more look at faces with the landmarks ``points``."""
    told = []
    for some, there in zip(torch.split(owners, _VIEWS_AT_ONCE), torch.split(points, _VIEWS_AT_ONCE), strict=True):
        views = views_of(there)
        landmarks, logits = look(seen(pictures, some, views))
        told.append((views.to_picture(landmarks), logits))
    landmarks, logits = (torch.cat(parts) for parts in zip(*told, strict=True))
    return landmarks, logits
