"""Where a video cuts to another shot."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Frames are compared as small as this: what moves within a few of its places is no other picture.
_SIDE = 16
# Clips of moving photographs, and a camera that moves on by a fortieth of the picture in each frame, stay below 0.26;
# cuts from one photograph to another make 0.7 and more, those between portraits that fill the picture 0.5. Of 59
# between faces that are all cropped alike, 49 are seen.
_CUT = 0.35
# Standard deviation of a picture that shows nothing: what differs in it is noise.
_LEAST_SPREAD = 0.02


def cuts_in(frames: Tensor) -> tuple[int, ...]:
    """The numbers of the frames ``[B, H, W, C]``, 0..1, with which a new shot begins. The first is none.

    A frame differs from the one before by the median, over the places of small pictures of both, of what it differs
    there, in standard deviations of such a picture. So a cut changes more than half of the picture, in the dark as in
    the light, and somebody who passes before the camera makes none.
    """
    small = torch.stack([F.adaptive_avg_pool2d(frame[..., :3].movedim(-1, 0), _SIDE) for frame in frames])
    changes = small.diff(dim=0).abs().mean(dim=1).flatten(1).median(dim=1).values
    spreads = small.flatten(2).std(dim=2).mean(dim=1)
    usual = ((spreads[1:] + spreads[:-1]) / 2).clamp(min=_LEAST_SPREAD)
    return tuple(number + 1 for number, is_cut in enumerate((changes > _CUT * usual).tolist()) if is_cut)
