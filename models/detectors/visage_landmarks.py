"""The second network of visage-detect: where exactly the landmarks of a face are, and whether it is one at all.

The first one looks at whole pictures and sees landmarks in steps of 8 pixels and more. This one sees a single face,
turned upright and brought to one size by the landmarks so far, as the last network of MTCNN does with boxes (Zhang et
al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...faces.alignment import FFHQ, MIRRORED
from .visage import Block, Convolution, fused_into

SIDE = 64
"""Side in pixels of what the network sees."""

# Pixels of the view for one of an FFHQ crop: the eyes are 22 apart, and as much again is seen around the five points.
_ZOOM = 0.175
_POOLED = 24
_HIDDEN = 96
# Views are no smaller than this share of a pixel of the picture for each of theirs: landmarks in one point, as of a
# network that is still wild, would make a view of no size.
_LEAST_TURN = 1e-3


def mean_face(like: Tensor) -> Tensor:
    """``[5, 2]``: where the landmarks of an average face lie in the view, in pixels from its upper left edge."""
    points = like.new_tensor(FFHQ.points)
    return (points - points.mean(0)) * _ZOOM + SIDE / 2


class LandmarkNetwork(nn.Module):
    """``[K, 3, 64, 64]``, 0..1, to points ``[K, 5, 2]`` in pixels of the view and logits ``[K]`` of its being a face.

    Args:
        widths: channels at a half, a quarter and an eighth of the resolution.
        normalised: with batch normalisation, as it is trained; without, as it is shipped.
    """

    def __init__(self, widths: Sequence[int] = (24, 48, 72), *, normalised: bool = False) -> None:
        super().__init__()
        self.widths = tuple(widths)
        first, second, third = widths

        def convolution(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Module:
            return Convolution(channels, out, kernel, stride, normalised=normalised)

        def block(width: int) -> nn.Module:
            return Block(width, normalised=normalised)

        self.stage2 = nn.Sequential(convolution(3, first, 5, 2), block(first))
        self.stage4 = nn.Sequential(convolution(first, second, 3, 2), block(second), block(second))
        self.stage8 = nn.Sequential(convolution(second, third, 3, 2), block(third), block(third))
        self.pool = convolution(third, _POOLED, 1)
        # By place: where in the view something is seen decides.
        self.gather = nn.Linear(_POOLED * (SIDE // 8) ** 2, _HIDDEN)
        self.tell = nn.Linear(_HIDDEN, 11)
        nn.init.zeros_(self.tell.weight)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        features = self.pool(self.stage8(self.stage4(self.stage2(views - 0.5))))
        told = self.tell(F.relu(self.gather(features.flatten(1)))).float()
        eyes = mean_face(told)[:2, 0]
        return mean_face(told) + told[:, 1:].reshape(-1, 5, 2) * (eyes[1] - eyes[0]), told[:, 0]

    def seen_twice(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Means of what is told of the views and of their mirror images, in which left is right."""
        count = len(views)
        landmarks, logits = self(torch.cat([views, views.flip(-1)]))
        mirrored = landmarks[count:, list(MIRRORED)] * landmarks.new_tensor((-1, 1)) + landmarks.new_tensor((SIDE, 0))
        return (landmarks[:count] + mirrored) / 2, (logits[:count] + logits[count:]) / 2

    def fused(self) -> LandmarkNetwork:
        """A copy in evaluation mode without batch normalisation: the same function."""
        return fused_into(LandmarkNetwork(self.widths), self)


@dataclass(frozen=True)
class Views:
    """Upright squares of :data:`SIDE` pixels around faces: a point ``v`` of a view is at ``turn(v) + shift``.

    Attributes:
        turn: ``[K, 2]``: cosine and sine of the angle, times pixels of the picture in one of the view.
        shift: ``[K, 2]``: where the upper left corner of the view lies in the picture.
    """

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


def views_of(landmarks: Tensor) -> Views:
    """The views in which landmarks ``[K, 5, 2]`` come closest to those of the mean face, by least squares.

    Closest in the view; coordinates from the upper left edge of the picture.
    """
    model = mean_face(landmarks)
    centre, middle = model.mean(0), landmarks.mean(1)
    source, goal = model - centre, landmarks - middle[:, None]
    cosine = (source * goal).sum((1, 2))
    sine = (source[:, 0] * goal[..., 1] - source[:, 1] * goal[..., 0]).sum(1)
    turn = torch.stack((cosine, sine), 1) / source.square().sum()
    turn = turn + (turn.abs().amax(1, keepdim=True) < _LEAST_TURN) * turn.new_tensor((_LEAST_TURN, 0.0))
    return Views(turn, middle - _turned(centre.expand(len(landmarks), 1, 2), turn)[:, 0])


def seen(pictures: Tensor, owners: Tensor, views: Views) -> Tensor:
    """What the views show, ``[K, 3, 64, 64]``.

    Pixels are read from copies of the pictures shrunk by powers of two, so that none is skipped in large faces.

    Args:
        pictures: ``[N, 3, h, w]``.
        owners: ``[K]`` int64: the picture of each view, in ascending order.
    """
    places = torch.arange(SIDE, device=pictures.device) + 0.5
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    points = views.to_picture(torch.stack((columns, rows), -1).view(1, -1, 2).expand(len(owners), -1, -1))
    shrinking = views.turn.norm(dim=1).clamp(min=1).log2().floor().long()
    found = pictures.new_empty(len(owners), pictures.shape[1], SIDE, SIDE)
    for picture, power in sorted(set(zip(owners.tolist(), shrinking.tolist(), strict=True))):
        chosen = ((owners == picture) & (shrinking == power)).nonzero()[:, 0]
        source = pictures[picture : picture + 1]
        step = 2 ** min(power, min(source.shape[2:]).bit_length() - 1)
        source = F.avg_pool2d(source, step) if step > 1 else source
        size = points.new_tensor((source.shape[3] * step, source.shape[2] * step))
        # All views of a picture below one another: the picture itself is never copied. Beyond its border it goes on
        # with its outermost pixels, which MPS does not do by itself before PyTorch 2.11.
        border = 1 - 1 / points.new_tensor((source.shape[3], source.shape[2]))
        grid = (points[chosen] * 2 / size - 1).clamp(-border, border).view(1, -1, SIDE, 2)
        shown = F.grid_sample(source, grid.to(source.dtype), "bilinear", "zeros", align_corners=False)
        found[chosen] = shown.view(-1, len(chosen), SIDE, SIDE).transpose(0, 1)
    return found
