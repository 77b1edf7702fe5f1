"""MTCNN: three small networks, each of which judges what the one before it let through.

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016, with the
weights of facenet-pytorch and its rules: rounding, thresholds, the overlaps of each stage. They were carried over from
Matlab, so a box counts its pixels from 1 and names its last pixel, and is moved to Visage's coordinates at the end.

One rule is not kept. A network sees whole pixels within the picture, but facenet-pytorch takes its answer for one about
the box before it was cut down to these, which moves boxes and landmarks by up to a pixel, half a pixel on average, and
by more at the border of the picture. Here the answer is about what was seen.

All pictures of a batch go through each network together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ..host import Host, Resident
from ..inference import check_numbers
from .area_sums import parts_of, shrunk, sums_of
from .candidates import MOST_CANDIDATES, Candidates
from .mtcnn_boxes import Boxes, joined, uncontained
from .mtcnn_networks import Cascade, ProposalNetwork, build_mtcnn

# The smallest face that is looked for, in pixels; one size to the next (facenet-pytorch's defaults).
_SMALLEST = 20.0
_STEP = 0.709
# Field of view and stride of the first network, and the sides that the others take.
_FIELD, _STRIDE, _SECOND_SIDE, _THIRD_SIDE = 12, 2, 24, 48
# What the first two networks let through.
_FIRST_SCORE, _SECOND_SCORE = 0.6, 0.7
# Overlaps above which the worse of two boxes goes: within one size, between sizes, after the second network; and in the
# end as a share of the smaller box.
_SAME_SIZE, _BETWEEN_SIZES, _CONTAINED = 0.5, 0.7, 0.7
# Parts of pictures that the second and third network see at once.
_PARTS_AT_ONCE = 256
# Peak of the working memory: for each pixel of a picture, and for the parts that are seen at once.
_BYTES_PER_PIXEL, _BYTES_OF_PARTS = 150, 256 * 2**20


class MtcnnProposer:
    """MTCNN: boxes and five landmarks, for pictures of any size."""

    labels = ("face",)
    stride = 1
    retry_shrinks = ()

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
        sums = sums_of(pictures)
        found = joined([boxes.surviving(_SAME_SIZE) for boxes in _first_looks(cascade.pnet, sums)], device)
        found = found.surviving(_BETWEEN_SIZES).best(MOST_CANDIDATES, count).moved(0).square().seen(height, width)

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


def _first_looks(network: ProposalNetwork, sums: Tensor) -> Iterator[Boxes]:
    """What the first network takes for faces, size by size."""
    height, width = sums.shape[1] - 1, sums.shape[2] - 1
    scale = _FIELD / _SMALLEST
    while min(height, width) * scale >= _FIELD:
        scores, offsets = network(_signed(shrunk(sums, int(height * scale + 1), int(width * scale + 1))))
        check_numbers("MTCNN", "a picture", (scores, offsets))
        index, y, x = (scores >= _FIRST_SCORE).nonzero().unbind(1)
        first = torch.stack((x, y), 1) * _STRIDE
        corners = torch.cat((((first + 1) / scale).floor(), ((first + _FIELD) / scale).floor()), 1)
        yield Boxes(index, corners, scores[index, y, x], offsets[index, :, y, x])
        scale *= _STEP


def _signed(pictures: Tensor) -> Tensor:
    """0..1 as the networks take it: levels of 255, less their middle, through 128."""
    return (pictures * 255 - 127.5) / 128


def _judged(network: nn.Module, sums: Tensor, boxes: Boxes, side: int) -> tuple[Tensor, ...]:
    """What a network says of the parts of pictures in boxes, shrunk or enlarged to ``side`` x ``side`` pixels."""
    first, last = boxes.corners[:, :2].long() - 1, boxes.corners[:, 2:].long()
    # No parts are a batch of none, which the networks take too.
    starts = range(0, max(len(first), 1), _PARTS_AT_ONCE)
    chunks = [slice(start, start + _PARTS_AT_ONCE) for start in starts]
    said = [network(_signed(parts_of(sums, boxes.pictures[some], first[some], last[some], side))) for some in chunks]
    told = tuple(torch.cat(parts) for parts in zip(*said, strict=True))
    check_numbers("MTCNN", "a face", told)
    return told


def _candidates(boxes: Boxes, landmarks: Tensor, overlap: float) -> Candidates:
    """The faces of one picture, each once, with pixel centres at integers."""
    best_first = boxes.scores.argsort(descending=True, stable=True)
    boxes, landmarks = boxes.select(best_first), landmarks[best_first]
    # From first and last pixel, counted from 1, to the outer edges of these.
    corners = boxes.corners - boxes.corners.new_tensor((1.5, 1.5, 0.5, 0.5))
    found = Candidates(corners, boxes.scores, torch.zeros_like(boxes.pictures), landmarks - 0.5)
    found = found.select(uncontained(boxes.corners, _CONTAINED))
    return found.select(found.surviving(overlap))
