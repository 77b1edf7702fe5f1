"""Which eye is which: detectors disagree on whose left is meant."""

from __future__ import annotations

import torch
from torch import Tensor

from ...faces.alignment import FFHQ
from ...faces.geometry import fit_similarity

_SWAPPED = (1, 0, 2, 4, 3)


def left_to_right(landmarks: Tensor) -> Tensor:
    """Landmarks ``[N, 5, 2]`` in the order in which an upright face shows them, whatever way it is turned.

    Eyes and mouth corners are swapped where the face fits the FFHQ template better that way. With the wrong order the
    fit collapses, because a similarity never mirrors.
    """
    given = landmarks.double().cpu()
    orders = torch.stack((given, given[:, _SWAPPED]))
    _, residuals = fit_similarity(orders, torch.tensor(FFHQ.points, dtype=torch.float64))
    wrong = residuals[1].square().sum(-1) < residuals[0].square().sum(-1)
    return torch.where(wrong[:, None, None], orders[1], orders[0])
