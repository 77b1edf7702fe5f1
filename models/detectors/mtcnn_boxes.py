"""Boxes on their way through the networks of MTCNN, by the rules of facenet-pytorch: see :mod:`.mtcnn`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms


@dataclass(frozen=True)
class Boxes:
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

    def select(self, chosen: Tensor) -> Boxes:
        return Boxes(self.pictures[chosen], self.corners[chosen], self.scores[chosen], self.offsets[chosen])

    def judged(self, scores: Tensor, offsets: Tensor) -> Boxes:
        return replace(self, scores=scores, offsets=offsets)

    def surviving(self, overlap: float) -> Boxes:
        """Without those that overlap with a better one of the same picture by more than that; best first."""
        # batched_nms keeps pictures apart by moving their boxes apart, which needs boxes without negative coordinates.
        corners = self.corners - self.corners.amin().clamp(max=0) if len(self.corners) else self.corners
        return self.select(batched_nms(corners, self.scores, self.pictures, overlap))

    def best(self, most: int, count: int) -> Boxes:
        """The first ``most`` of each of ``count`` pictures."""
        own = F.one_hot(self.pictures, count)
        return self.select((own * own.cumsum(0)).sum(1) <= most)

    def moved(self, more: int) -> Boxes:
        """With their corners where the network saw them; ``more`` is what it adds to the sides."""
        sides = (self.sides + more).repeat(1, 2)
        return replace(self, corners=self.corners + self.offsets * sides)

    def square(self) -> Boxes:
        """Grown to squares around the same middles."""
        longest = self.sides.amax(1, keepdim=True)
        first = self.corners[:, :2] + self.sides * 0.5 - longest * 0.5
        return replace(self, corners=torch.cat((first, first + longest), 1))

    def seen(self, height: int, width: int) -> Boxes:
        """Cut down to whole pixels of their picture, which is what the next network sees; without those outside."""
        whole = self.corners.trunc()
        first = whole[:, :2].clamp_min(1)
        last = torch.minimum(whole[:, 2:], whole.new_tensor((width, height)))
        return replace(self, corners=torch.cat((first, last), 1)).select((last >= first).all(1))


def joined(boxes: Sequence[Boxes], device: torch.device) -> Boxes:
    """Those of several tables, of which there may be none, in one on a device."""
    nothing = torch.empty(0, device=device)
    none = Boxes(nothing.long(), nothing.view(0, 4), nothing, nothing.view(0, 4))
    tables = [none, *boxes]
    return Boxes(
        torch.cat([table.pictures for table in tables]),
        torch.cat([table.corners for table in tables]),
        torch.cat([table.scores for table in tables]),
        torch.cat([table.offsets for table in tables]),
    )


def uncontained(corners: Tensor, share: float) -> Tensor:
    """Indices of the boxes ``[K, 4]``, best first, less those of which a better one has more in common than that share
    of the smaller of the two."""
    first = torch.maximum(corners[:, None, :2], corners[None, :, :2])
    last = torch.minimum(corners[:, None, 2:], corners[None, :, 2:])
    shared = (last - first + 1).clamp(min=0).prod(2)
    areas = (corners[:, 2:] - corners[:, :2] + 1).prod(1)
    contained = (shared / torch.minimum(areas[:, None], areas[None]) > share).cpu()
    kept: list[int] = []
    for index in range(len(corners)):
        if not bool(contained[index, kept].any()):
            kept.append(index)
    return torch.tensor(kept, dtype=torch.int64, device=corners.device)
