"""The shades of a crop and of the face in it, stretched before the network and brought back after it.

The network takes what is pale for blurred: faces in haze, in the dark, in faded prints and before bright windows got
outlines and halos. Crops are stretched to full contrast first. Where the face is paler than the rest of its crop, it is
looked at a second time, stretched by its own shades.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

# Shades are those of areas, of 8 x 8 pixels in a crop of 512, so that noise is no contrast.
_AREAS = 64
FACE = (slice(None), slice(22, 50), slice(21, 43))
"""From brows to mouth and from cheek to cheek, in areas: what of an upright FFHQ crop is surely face."""

CONTRAST = 0.85
"""A crop of less contrast is stretched to this: between the shades that 1 % of it is darker and brighter than."""
FACE_CONTRAST = 0.6
"""A face in a crop of that contrast has about as much, hair and surroundings left out."""
_LEAST_STRETCHED = 0.05

# The face's own shades count where they span less than this of the crop's, and alone where they span less than that.
# Of the 193 faces of the card none comes below the first, sharp or damaged.
_COUNTED_BELOW, _ALONE_BELOW = 0.6, 0.4
# Damage grows with the stretching. Up to the first the network knows it, beyond the second it paints faults: the root
# mean square, in spans of the face, of what the first look changed there.
_KNOWN_DAMAGE, _MOST_DAMAGE = 0.05, 0.08
# What is brighter or darker than the face becomes white or black, with as much noise and fine detail as it had, up to
# this many spans: the network takes crops with flat parts for undamaged ones, and left the noise in the face. The
# detail is what differs from the mean of so many pixels across, and comes in over so many spans beyond the face.
_DETAIL = 0.2
_DETAIL_ACROSS = 9
_DETAIL_FROM = 0.25
# A pixel that is this far beyond the shades of the face, in spans, is none of it.
_FAR = 0.3


@dataclass(frozen=True)
class Shades:
    """A range of shades, for each crop of a batch.

    Attributes:
        low: its darkest, ``[N, 1, 1, 1]``.
        span: how far it is from there to the brightest, likewise; at most 1, and then ``low`` is 0.
    """

    low: Tensor
    span: Tensor

    def take(self, indices: Tensor) -> Shades:
        """Those of the crops at these indices."""
        return Shades(self.low[indices], self.span[indices])

    def stretched(self, images: Tensor) -> Tensor:
        """Crops ``[N, 3, H, W]`` with this range at 0..1."""
        return (images - self.low) / self.span

    def brought_back(self, images: Tensor) -> Tensor:
        """What :meth:`stretched` gave, with its range where it was."""
        return images * self.span + self.low

    def clipped(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Crops stretched, with white and black in place of what lies beyond the range, but for its fine detail.

        Returns:
            ``[N, 3, H, W]``, and how much of each place lies within the range, ``[N, 1, H, W]``, 0..1. That is smooth:
            a change on the very edge between a face and a bright background would show.
        """
        stretched = self.stretched(images)
        within = stretched.clamp(0, 1)
        beyond = (stretched - within).abs()
        inside = 1 - (beyond.amax(1, keepdim=True) / _FAR).clamp(max=1)
        inside = F.interpolate(inside, (_AREAS, _AREAS), mode="area")
        inside = _mean_around(inside, 3)
        inside = F.interpolate(inside, images.shape[2:], mode="bilinear", align_corners=False)
        detail = (stretched - _mean_around(stretched, _DETAIL_ACROSS)).clamp(-_DETAIL, _DETAIL)
        return within + detail * (beyond / _DETAIL_FROM).clamp(max=1), inside


def areas_of(images: Tensor) -> Tensor:
    """How bright the areas of crops ``[N, 3, H, W]`` are, ``[N, areas, areas]``."""
    return F.interpolate(images.mean(1, keepdim=True), (_AREAS, _AREAS), mode="area")[:, 0]


def shades_of(areas: Tensor, contrast: float) -> Shades:
    """The range that brings areas ``[N, h, w]`` to a contrast; 0..1 where they have it, so that nothing is changed."""
    ranked = areas.flatten(1).sort(1).values
    rank = round(0.01 * ranked.shape[1])
    darkest, brightest = ranked[:, rank], ranked[:, -1 - rank]
    span = ((brightest - darkest) / contrast).clamp(_LEAST_STRETCHED, 1)
    # The same room is left below as above, as far as there is any.
    low = ((darkest + brightest - span) / 2).clamp(min=0).minimum(1 - span)
    return Shades(low[:, None, None, None], span[:, None, None, None])


def share_of_face(face: Shades, whole: Shades, images: Tensor, restored: Tensor) -> Tensor:
    """How much the shades of a face count beside those of its whole crop, ``[N, 1, 1, 1]``, 0..1.

    It grows evenly, so that the frames of a video do not jump from one to the other.

    Args:
        images, restored: the crops, and what came of them by the shades of the whole, ``[N, 3, H, W]``.
    """
    pale = (_COUNTED_BELOW - face.span / whole.span) / (_COUNTED_BELOW - _ALONE_BELOW)
    change = areas_of((restored - images).square())[FACE].mean((1, 2)).sqrt()[:, None, None, None]
    known = (_MOST_DAMAGE - change / face.span) / (_MOST_DAMAGE - _KNOWN_DAMAGE)
    return pale.clamp(0, 1) * known.clamp(0, 1)


def _mean_around(images: Tensor, across: int) -> Tensor:
    return F.avg_pool2d(images, across, stride=1, padding=across // 2, count_include_pad=False)
