"""Where a video cuts to another shot."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

# Frames are compared as small as this: what moves within a few of its places is no other picture.
_SIDE = 16
# What differs by more than the first is another shot: of 60 portraits, all cropped alike, 57 differ more from the next
# one, and a camera that moves on by a fortieth of the picture in each frame makes 0.09. What differs by less than the
# second is none. In between it is one where it differs several times as much as its neighbours do, as in
# PySceneDetect's adaptive detector.
_SURE, _POSSIBLE, _TIMES = 0.12, 0.04, 3
_NEIGHBOURS = 2


def cuts_in(frames: Tensor) -> tuple[int, ...]:
    """The numbers of the frames ``[B, H, W, C]``, 0..1, with which a new shot begins. The first is none."""
    changes = _changes(frames)
    return tuple(number + 1 for number in range(len(changes)) if _is_cut(changes, number))


def _changes(frames: Tensor) -> list[float]:
    """By how much each frame but the first differs from the one before, 0..1: the mean over a small picture of it."""
    small = torch.stack([F.adaptive_avg_pool2d(frame[..., :3].movedim(-1, 0), _SIDE) for frame in frames])
    changes: list[float] = small.diff(dim=0).abs().mean(dim=(1, 2, 3)).tolist()
    return changes


def _is_cut(changes: Sequence[float], number: int) -> bool:
    change = changes[number]
    beside = [*changes[max(number - _NEIGHBOURS, 0) : number], *changes[number + 1 : number + 1 + _NEIGHBOURS]]
    return change > _SURE or change > max(_POSSIBLE, _TIMES * median(beside or [0.0]))
