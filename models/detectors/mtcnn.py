"""MTCNN: three small networks, each of which judges what the one before it let through.

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016, with the
weights of facenet-pytorch and its rules: rounding, thresholds, the overlaps of each stage. They were carried over from
Matlab, so a box counts its pixels from 1 and names its last pixel, and is moved to Visage's coordinates at the end.

One rule is not kept. A network sees whole pixels within the picture, but facenet-pytorch takes its answer for one about
the box before it was cut down to these, which moves boxes and landmarks by up to a pixel, half a pixel on average, and
by more at the border of the picture. Here the answer is about what was seen.

All pictures of a batch go through each network together. What a network sees of a picture is averaged down from a table
of sums, which takes the same few steps for one part or thousands, large or small, and is exact on every device; MPS has
no averaging to a size that is no divisor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from ..building import built_as
from ..host import Host, Resident
from .candidates import MOST_CANDIDATES, Candidates

# The smallest face that is looked for, in pixels; one size to the next (facenet-pytorch's defaults).
_SMALLEST = 20.0
_STEP = 0.709
# Field of view, stride and position of the first network, and what the others take.
_FIELD, _STRIDE, _SECOND_SIDE, _THIRD_SIDE = 12, 2, 24, 48
# What the first two networks let through.
_FIRST_SCORE, _SECOND_SCORE = 0.6, 0.7
# Overlaps above which the worse of two boxes goes: within one size, between sizes, after the second network; and in the
# end as a share of the smaller box.
_SAME_SIZE, _BETWEEN_SIZES, _CONTAINED = 0.5, 0.7, 0.7
# Parts of pictures that the second and third network see at once.
_PARTS_AT_ONCE = 256
# Sums of pixels are kept in whole numbers of this fraction, so that they are exact on every device.
_ONE = 2**24
# Peak of the working memory: see `working_bytes`.
_BYTES_PER_PIXEL, _BYTES_OF_PARTS = 150, 256 * 2**20


class ProposalNetwork(nn.Module):
    """P-Net: for every 12 x 12 pixels, two apart, whether they are a face and how its box lies in them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, 3, h, w]`` in -1..1 to scores ``[N, y, x]`` and box offsets ``[N, 4, y, x]``."""
        x = _halved(self.prelu1(self.conv1(pictures)), 2)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x).softmax(1)[:, 1], self.conv4_2(x)


class RefinementNetwork(nn.Module):
    """R-Net: whether 24 x 24 pixels are a face, and a better box."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, parts: Tensor) -> tuple[Tensor, Tensor]:
        """``[K, 3, 24, 24]`` in -1..1 to scores ``[K]`` and box offsets ``[K, 4]``."""
        x = _halved(self.prelu1(self.conv1(parts)), 3)
        x = _halved(self.prelu2(self.conv2(x)), 3)
        x = self.prelu4(self.dense4(_column_by_column(self.prelu3(self.conv3(x)))))
        return self.dense5_1(x).softmax(1)[:, 1], self.dense5_2(x)


class OutputNetwork(nn.Module):
    """O-Net: whether 48 x 48 pixels are a face, its box and its landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``[K, 3, 48, 48]`` in -1..1 to scores ``[K]``, box offsets ``[K, 4]`` and landmarks ``[K, 5, 2]``, these as
        shares of the part."""
        x = _halved(self.prelu1(self.conv1(parts)), 3)
        x = _halved(self.prelu2(self.conv2(x)), 3)
        x = _halved(self.prelu3(self.conv3(x)), 2)
        x = self.prelu5(self.dense5(_column_by_column(self.prelu4(self.conv4(x)))))
        # The network gives five x, then five y.
        points = self.dense6_3(x).view(-1, 2, 5).transpose(1, 2)
        return self.dense6_1(x).softmax(1)[:, 1], self.dense6_2(x), points


class Cascade(nn.Module):
    """The three networks under the names that facenet-pytorch gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.pnet, self.rnet, self.onet = ProposalNetwork(), RefinementNetwork(), OutputNetwork()


def _halved(x: Tensor, window: int) -> Tensor:
    return F.max_pool2d(x, window, stride=2, ceil_mode=True)


def _column_by_column(x: Tensor) -> Tensor:
    """``[K, C, H, W]`` as rows, in the order of Matlab, where the networks come from."""
    return x.permute(0, 3, 2, 1).flatten(1)


def build_mtcnn(name: str, tensors: Mapping[str, Tensor]) -> Cascade:
    """The networks with these weights, in evaluation mode.

    Args:
        tensors: by the names of facenet-pytorch: those of each network behind ``pnet.``, ``rnet.`` and ``onet.``.

    Raises:
        WeightsError: tensors are missing or of the wrong shape.
    """
    return built_as("MTCNN", name, Cascade, tensors, "Get the files again.")


class MtcnnProposer:
    """MTCNN: boxes and five landmarks, for pictures of any size."""

    labels = ("face",)
    stride = 1
    second_looks = ()

    def __init__(self, name: str, tensors: Mapping[str, Tensor], host: Host) -> None:
        """Builds the networks and hands them to the host.

        Raises:
            WeightsError: as :func:`build_mtcnn`.
        """
        self.name = name
        self.resident: Resident[Cascade] = host.adopt(build_mtcnn(name, tensors), torch.float32)

    def working_bytes(self, height: int, width: int) -> int:
        return height * width * _BYTES_PER_PIXEL + _BYTES_OF_PARTS

    @torch.inference_mode()
    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        count, _, height, width = pictures.shape
        device = self.resident.bring(count * self.working_bytes(height, width))
        pictures = pictures.to(device, self.resident.dtype)
        cascade = self.resident.module
        sums = _sums(pictures)
        found = _joined([boxes.surviving(_SAME_SIZE) for boxes in _first_looks(cascade.pnet, sums)], device)
        found = found.surviving(_BETWEEN_SIZES).best(count).moved(0).square().seen(height, width)

        scores, offsets = _judged(cascade.rnet, sums, found, _SECOND_SIDE)
        found = found.judged(scores, offsets).select(scores > _SECOND_SCORE).surviving(_BETWEEN_SIZES)
        found = found.moved(1).square().seen(height, width)

        scores, offsets, points = _judged(cascade.onet, sums, found, _THIRD_SIDE)
        landmarks = found.corners[:, None, :2] - 1 + points * (found.sides + 1)[:, None]
        found = found.judged(scores, offsets).moved(1)
        likely = found.scores >= min_score
        return [
            _candidates(found.select(own), landmarks[own], overlap)
            for own in (likely & (found.pictures == index) for index in range(count))
        ]


@dataclass(frozen=True)
class _Boxes:
    """Possible faces of a batch of pictures, between two networks.

    Attributes:
        pictures: ``[K]`` int64, the picture of each.
        corners: ``[K, 4]`` left, top, right, bottom: its first and its last pixel, counted from 1.
        scores: ``[K]`` 0..1.
        offsets: ``[K, 4]``: where the last network saw the corners, in shares of the sides.
    """

    pictures: Tensor
    corners: Tensor
    scores: Tensor
    offsets: Tensor

    @property
    def sides(self) -> Tensor:
        """``[K, 2]``: how far the corners are apart, one less than the pixels they enclose."""
        return self.corners[:, 2:] - self.corners[:, :2]

    def select(self, chosen: Tensor) -> _Boxes:
        return _Boxes(self.pictures[chosen], self.corners[chosen], self.scores[chosen], self.offsets[chosen])

    def judged(self, scores: Tensor, offsets: Tensor) -> _Boxes:
        return replace(self, scores=scores, offsets=offsets)

    def surviving(self, overlap: float) -> _Boxes:
        """Without those that overlap with a better one of the same picture by more than that; best first."""
        # batched_nms keeps pictures apart by moving their boxes apart, which needs boxes without negative coordinates.
        corners = self.corners - self.corners.amin().clamp(max=0) if len(self.corners) else self.corners
        return self.select(batched_nms(corners, self.scores, self.pictures, overlap))

    def best(self, count: int) -> _Boxes:
        """The first :data:`MOST_CANDIDATES` of each of ``count`` pictures."""
        own = F.one_hot(self.pictures, count)
        return self.select((own * own.cumsum(0)).sum(1) <= MOST_CANDIDATES)

    def moved(self, more: int) -> _Boxes:
        """With their corners where the network saw them; ``more`` is what it adds to the sides."""
        sides = (self.sides + more).repeat(1, 2)
        return replace(self, corners=self.corners + self.offsets * sides)

    def square(self) -> _Boxes:
        """Grown to squares around the same middles."""
        longest = self.sides.amax(1, keepdim=True)
        first = self.corners[:, :2] + self.sides * 0.5 - longest * 0.5
        return replace(self, corners=torch.cat((first, first + longest), 1))

    def seen(self, height: int, width: int) -> _Boxes:
        """Cut down to whole pixels of their picture, which is what the next network sees; without those outside."""
        whole = self.corners.trunc()
        first = whole[:, :2].clamp_min(1)
        last = torch.minimum(whole[:, 2:], whole.new_tensor((width, height)))
        return replace(self, corners=torch.cat((first, last), 1)).select((last >= first).all(1))


def _joined(boxes: Sequence[_Boxes], device: torch.device) -> _Boxes:
    nothing = torch.empty(0, device=device)
    none = _Boxes(nothing.long(), nothing.view(0, 4), nothing, nothing.view(0, 4))
    tables = [none, *boxes]
    return _Boxes(
        torch.cat([table.pictures for table in tables]),
        torch.cat([table.corners for table in tables]),
        torch.cat([table.scores for table in tables]),
        torch.cat([table.offsets for table in tables]),
    )


def _first_looks(network: ProposalNetwork, sums: Tensor) -> Iterator[_Boxes]:
    """What the first network takes for faces, size by size."""
    height, width = sums.shape[1] - 1, sums.shape[2] - 1
    scale = _FIELD / _SMALLEST
    while min(height, width) * scale >= _FIELD:
        scores, offsets = network(_signed(_shrunk(sums, int(height * scale + 1), int(width * scale + 1))))
        index, y, x = (scores >= _FIRST_SCORE).nonzero().unbind(1)
        first = torch.stack((x, y), 1) * _STRIDE
        corners = torch.cat((((first + 1) / scale).floor(), ((first + _FIELD) / scale).floor()), 1)
        yield _Boxes(index, corners, scores[index, y, x], offsets[index, :, y, x])
        scale *= _STEP


def _signed(pictures: Tensor) -> Tensor:
    """0..1 as the networks take it: levels of 255, less their middle, through 128."""
    return (pictures * 255 - 127.5) / 128


def _sums(pictures: Tensor) -> Tensor:
    """``[N, h + 1, w + 1, 3]`` int64: at (y, x) the sum of the pixels above and to the left, in units of 1 / 2^24."""
    levels = (pictures.movedim(1, -1) * _ONE).round().long()
    return F.pad(levels.cumsum(1).cumsum(2), (0, 0, 1, 0, 1, 0))


def _shrunk(sums: Tensor, height: int, width: int) -> Tensor:
    """``[N, 3, height, width]`` 0..1: every pixel the mean over all that it touches (``interpolate(mode="area")``)."""
    (top, bottom), (left, right) = (
        (place[:-1] * old // new, -(-place[1:] * old // new))
        for old, new in ((sums.shape[1] - 1, height), (sums.shape[2] - 1, width))
        for place in [torch.arange(new + 1, device=sums.device)]
    )
    rows = sums.index_select(1, bottom) - sums.index_select(1, top)
    inside = rows.index_select(2, right) - rows.index_select(2, left)
    return _means(inside, (bottom - top)[:, None] * (right - left))


def _judged(network: nn.Module, sums: Tensor, boxes: _Boxes, side: int) -> tuple[Tensor, ...]:
    """What a network says of the parts of pictures in boxes, shrunk or enlarged to ``side`` x ``side`` pixels."""
    first, last = boxes.corners[:, :2].long() - 1, boxes.corners[:, 2:].long()
    # No parts are a batch of none, which the networks take too.
    starts = range(0, max(len(first), 1), _PARTS_AT_ONCE)
    chunks = [slice(start, start + _PARTS_AT_ONCE) for start in starts]
    said = [network(_signed(_parts(sums, boxes.pictures[some], first[some], last[some], side))) for some in chunks]
    return tuple(torch.cat(parts) for parts in zip(*said, strict=True))


def _parts(sums: Tensor, pictures: Tensor, first: Tensor, last: Tensor, side: int) -> Tensor:
    """``[K, 3, side, side]`` 0..1: as :func:`_shrunk`, of parts of the pictures."""
    place = torch.arange(side, device=sums.device)
    length = (last - first)[:, :, None]
    low = first[:, :, None] + place * length // side
    high = first[:, :, None] - (-(place + 1) * length // side)
    (left, top), (right, bottom) = (edges.unbind(1) for edges in (low, high))

    def sums_to(x: Tensor, y: Tensor) -> Tensor:
        return sums[pictures[:, None, None], y[:, :, None], x[:, None, :]]

    inside = sums_to(right, bottom) - sums_to(left, bottom) - sums_to(right, top) + sums_to(left, top)
    return _means(inside, (bottom - top)[:, :, None] * (right - left)[:, None, :])


def _means(sums: Tensor, areas: Tensor) -> Tensor:
    """``[N, 3, h, w]`` from sums ``[N, h, w, 3]`` over areas ``[..., h, w]`` of pixels."""
    return (sums.float() / (areas * _ONE)[..., None]).movedim(-1, 1)


def _candidates(boxes: _Boxes, landmarks: Tensor, overlap: float) -> Candidates:
    """The faces of one picture, each once, with pixel centres at integers."""
    best_first = boxes.scores.argsort(descending=True, stable=True)
    boxes, landmarks = boxes.select(best_first), landmarks[best_first]
    # From first and last pixel, counted from 1, to the outer edges of these.
    corners = boxes.corners - boxes.corners.new_tensor((1.5, 1.5, 0.5, 0.5))
    found = Candidates(corners, boxes.scores, torch.zeros_like(boxes.pictures), landmarks - 0.5)
    found = found.select(_uncontained(boxes.corners))
    return found.select(found.surviving(overlap))


def _uncontained(corners: Tensor) -> Tensor:
    """Indices of the boxes ``[K, 4]``, best first, that neither lie in a better one for the most part nor hold one."""
    first = torch.maximum(corners[:, None, :2], corners[None, :, :2])
    last = torch.minimum(corners[:, None, 2:], corners[None, :, 2:])
    shared = (last - first + 1).clamp(min=0).prod(2)
    areas = (corners[:, 2:] - corners[:, :2] + 1).prod(1)
    contained = (shared / torch.minimum(areas[:, None], areas[None]) > _CONTAINED).cpu()
    kept: list[int] = []
    for index in range(len(corners)):
        if not bool(contained[index, kept].any()):
            kept.append(index)
    return torch.tensor(kept, dtype=torch.int64, device=corners.device)
