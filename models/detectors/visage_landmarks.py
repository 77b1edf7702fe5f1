"""The second network of visage-detect: where exactly the landmarks of a face are, and whether it is one at all.

The first one looks at whole pictures and sees landmarks in steps of 8 pixels and more. This one sees a single face,
turned upright and brought to one size by the landmarks so far, as the last network of MTCNN does with boxes (Zhang et
al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...faces.alignment import MIRRORED
from .face_views import Framing
from .visage_finder import Block, Convolution, fused_into

FRAMING = Framing(side=64, zoom=0.175)
"""What the network sees: the eyes are 22 pixels apart, and as much again is seen around the five points."""

_POOLED = 24
_HIDDEN = 96


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
        self.gather = nn.Linear(_POOLED * (FRAMING.side // 8) ** 2, _HIDDEN)
        self.tell = nn.Linear(_HIDDEN, 11)
        nn.init.zeros_(self.tell.weight)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        features = self.pool(self.stage8(self.stage4(self.stage2(views - 0.5))))
        told = self.tell(F.relu(self.gather(features.flatten(1)))).float()
        mean = FRAMING.mean_face(told)
        return mean + told[:, 1:].reshape(-1, 5, 2) * (mean[1, 0] - mean[0, 0]), told[:, 0]

    def seen_twice(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Means of what is told of the views and of their mirror images, in which left is right."""
        count = len(views)
        landmarks, logits = self(torch.cat([views, views.flip(-1)]))
        across = landmarks.new_tensor((FRAMING.side, 0))
        mirrored = landmarks[count:, list(MIRRORED)] * landmarks.new_tensor((-1, 1)) + across
        return (landmarks[:count] + mirrored) / 2, (logits[:count] + logits[count:]) / 2

    def fused(self) -> LandmarkNetwork:
        """A copy in evaluation mode without batch normalisation: the same function."""
        return fused_into(LandmarkNetwork(self.widths), self)
