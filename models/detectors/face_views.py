"""A face turned upright and brought to one size by its landmarks, for a network that looks at single faces.

Coordinates are from the upper left edge of pictures and views, not from the centre of their first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.alignment import FFHQ

# Views are no smaller than this share of a pixel of the picture for each of theirs: landmarks in one point, as of a
# network that is still wild, would make a view of no size.
_LEAST_TURN = 1e-3


@dataclass(frozen=True)
class Framing:
    """How large a face is shown, and how much around it.

    Attributes:
        side: of the view, in pixels.
        zoom: pixels of the view for one of an FFHQ crop, in which the eyes of an average face are 126 apart.
    """

    side: int
    zoom: float

    def mean_face(self, like: Tensor) -> Tensor:
        """``[5, 2]``: where the landmarks of an average face lie in the view, as a tensor like another one."""
        points = like.new_tensor(FFHQ.points)
        return (points - points.mean(0)) * self.zoom + self.side / 2


@dataclass(frozen=True)
class Views:
    """Upright squares around faces: a point ``v`` of a view is at ``turn(v) + shift``.

    Attributes:
        side: of the views, in their pixels.
        turn: ``[K, 2]``: cosine and sine of the angle, times pixels of the picture in one of the view.
        shift: ``[K, 2]``: where the upper left corner of the view lies in the picture.
    """

    side: int
    turn: Tensor
    shift: Tensor

    def to_picture(self, points: Tensor) -> Tensor:
        """``[K, P, 2]`` from pixels of the views."""
        return _turned(points, self.turn) + self.shift[:, None]

    def to_view(self, points: Tensor) -> Tensor:
        """``[K, P, 2]`` from pixels of the pictures."""
        back = self.turn * self.turn.new_tensor((1.0, -1.0)) / self.turn.square().sum(1, keepdim=True)
        return _turned(points - self.shift[:, None], back)


def _turned(points: Tensor, turn: Tensor) -> Tensor:
    cosine, sine = turn[:, None, 0], turn[:, None, 1]
    x, y = points.unbind(-1)
    return torch.stack((cosine * x - sine * y, sine * x + cosine * y), -1)


def views_of(landmarks: Tensor, framing: Framing) -> Views:
    """The views in which landmarks ``[K, 5, 2]`` come closest to those of the mean face: least squares in the view."""
    model = framing.mean_face(landmarks)
    centre, middle = model.mean(0), landmarks.mean(1)
    source, goal = model - centre, landmarks - middle[:, None]
    cosine = (source * goal).sum((1, 2))
    sine = (source[:, 0] * goal[..., 1] - source[:, 1] * goal[..., 0]).sum(1)
    turn = torch.stack((cosine, sine), 1) / source.square().sum()
    turn = turn + (turn.abs().amax(1, keepdim=True) < _LEAST_TURN) * turn.new_tensor((_LEAST_TURN, 0.0))
    return Views(framing.side, turn, middle - _turned(centre.expand(len(landmarks), 1, 2), turn)[:, 0])


def seen(pictures: Tensor, owners: Tensor, views: Views) -> Tensor:
    """What the views show, ``[K, 3, side, side]``.

    Pixels are read from copies of the pictures shrunk by powers of two, so that none is skipped in large faces.

    Args:
        pictures: ``[N, 3, h, w]``.
        owners: ``[K]`` int64: the picture of each view, in ascending order.
    """
    side = views.side
    places = torch.arange(side, device=pictures.device) + 0.5
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    points = views.to_picture(torch.stack((columns, rows), -1).view(1, -1, 2).expand(len(owners), -1, -1))
    shrinking = views.turn.norm(dim=1).clamp(min=1).log2().floor().long()
    found = pictures.new_empty(len(owners), pictures.shape[1], side, side)
    for picture, power in sorted(set(zip(owners.tolist(), shrinking.tolist(), strict=True))):
        chosen = ((owners == picture) & (shrinking == power)).nonzero()[:, 0]
        source = pictures[picture : picture + 1]
        step = 2 ** min(power, min(source.shape[2:]).bit_length() - 1)
        source = F.avg_pool2d(source, step) if step > 1 else source
        size = points.new_tensor((source.shape[3] * step, source.shape[2] * step))
        # All views of a picture below one another: the picture itself is never copied. Beyond its border it goes on
        # with its outermost pixels, which MPS does not do by itself before PyTorch 2.11.
        border = 1 - 1 / points.new_tensor((source.shape[3], source.shape[2]))
        grid = (points[chosen] * 2 / size - 1).clamp(-border, border).view(1, -1, side, 2)
        shown = F.grid_sample(source, grid.to(source.dtype), "bilinear", "zeros", align_corners=False)
        found[chosen] = shown.view(-1, len(chosen), side, side).transpose(0, 1)
    return found
