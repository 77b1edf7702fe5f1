"""What a network proposes in one picture, as tensors: boxes, scores, labels, landmarks, outlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

# More than this in one picture are noise; the best are kept.
MOST_CANDIDATES = 3000
# A box that lies inside a larger one by this share of its own area is a part of that face, not another face.
_PART = 0.8


@dataclass(frozen=True)
class Candidates:
    """Possible faces of one picture, in its pixel coordinates (pixel centres at integers).

    Attributes:
        boxes: ``[N, 4]`` left, top, right, bottom.
        scores: ``[N]``, 0..1.
        labels: ``[N]`` int64, indices into the labels of the network.
        landmarks: ``[N, 5, 2]``, or ``None`` from a network that gives none.
        outlines: N polygons ``[P, 2]`` on the CPU, or ``None`` from a network that gives none.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    landmarks: Tensor | None = None
    outlines: tuple[Tensor, ...] | None = None

    def __len__(self) -> int:
        return self.boxes.shape[0]

    def sizes(self) -> Tensor:
        """``[N]``: longer side of each box."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]).amax(1)

    def with_area(self) -> Candidates:
        """Those whose box has an area: networks that move the sides of boxes may turn one inside out."""
        return self.select(((self.boxes[:, 2:] - self.boxes[:, :2]).amin(1) > 0).nonzero()[:, 0])

    def larger_than(self, size: float) -> Candidates:
        """Those whose box has a side longer than ``size``."""
        return self.select((self.sizes() > size).nonzero()[:, 0])

    def select(self, chosen: Tensor) -> Candidates:
        """Those with the given indices (``[M]`` int64), in that order."""
        return Candidates(
            self.boxes[chosen],
            self.scores[chosen],
            self.labels[chosen],
            None if self.landmarks is None else self.landmarks[chosen],
            None if self.outlines is None else tuple(self.outlines[index] for index in chosen.tolist()),
        )

    def to(self, device: torch.device | str) -> Candidates:
        return Candidates(
            self.boxes.to(device),
            self.scores.to(device),
            self.labels.to(device),
            None if self.landmarks is None else self.landmarks.to(device),
            self.outlines,
        )

    def scaled(self, scale: tuple[float, float], offset: tuple[float, float]) -> Candidates:
        """The same candidates in coordinates ``x * scale + offset``, each given as (x, y)."""

        def move(points: Tensor) -> Tensor:
            return points * points.new_tensor(scale) + points.new_tensor(offset)

        return self._moved(move)

    def turned_back(self, turns: int, width: int, height: int) -> Candidates:
        """From a picture turned by ``torch.rot90(picture, turns, (-2, -1))`` to the picture before that.

        Args:
            turns: quarter turns, counter-clockwise as seen.
            width: pixels of the picture before it was turned.
            height: likewise.
        """
        turns %= 4
        if turns == 0:
            return self

        def move(points: Tensor) -> Tensor:
            x, y = points.unbind(-1)
            if turns == 1:
                return torch.stack((width - 1 - y, x), -1)
            if turns == 2:
                return torch.stack((width - 1 - x, height - 1 - y), -1)
            return torch.stack((y, height - 1 - x), -1)

        return self._moved(move)

    def surviving(self, overlap: float, rank: Tensor | None = None) -> Tensor:
        """Non-maximum suppression among candidates of one label.

        Args:
            overlap: intersection over union above which the worse of two boxes goes.
            rank: ``[N]``, what "worse" is judged by; the scores where it is not given.

        Returns:
            Indices of those that stay, best first.
        """
        # batched_nms keeps labels apart by moving their boxes apart, which needs boxes without negative coordinates.
        boxes = self.boxes - self.boxes.amin() if len(self) else self.boxes
        kept: Tensor = batched_nms(boxes, self.scores if rank is None else rank, self.labels, overlap)
        return kept

    def outside(self, larger: Candidates) -> Candidates:
        """Those that are not part of a larger candidate of the same label: a nose is no second face."""
        areas = (self.boxes[:, 2:] - self.boxes[:, :2]).clamp(min=0).prod(1)
        corner = torch.maximum(self.boxes[:, None, :2], larger.boxes[None, :, :2])
        opposite = torch.minimum(self.boxes[:, None, 2:], larger.boxes[None, :, 2:])
        shared = (opposite - corner).clamp(min=0).prod(2)
        parts = (shared > _PART * areas[:, None]) & (self.labels[:, None] == larger.labels[None])
        return self.select((~parts.any(1)).nonzero()[:, 0])

    def _moved(self, move: Callable[[Tensor], Tensor]) -> Candidates:
        corners = move(self.boxes.view(-1, 2, 2))
        return Candidates(
            torch.cat((corners.amin(1), corners.amax(1)), 1),
            self.scores,
            self.labels,
            None if self.landmarks is None else move(self.landmarks),
            None if self.outlines is None else tuple(move(outline) for outline in self.outlines),
        )


def most_likely(scores: Tensor, min_score: float) -> Tensor:
    """Indices of the scores ``[A]`` that reach ``min_score``, best first, at most :data:`MOST_CANDIDATES`."""
    likely = (scores >= min_score).nonzero()[:, 0]
    return likely[scores[likely].argsort(descending=True, stable=True)[:MOST_CANDIDATES]]


def joined(parts: Sequence[Candidates]) -> Candidates:
    """Candidates of several passes of one network over one picture, in one table."""
    landmarks = [part.landmarks for part in parts if part.landmarks is not None]
    outlines = [part.outlines for part in parts if part.outlines is not None]
    return Candidates(
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat(landmarks) if landmarks else None,
        tuple(outline for group in outlines for outline in group) if outlines else None,
    )
