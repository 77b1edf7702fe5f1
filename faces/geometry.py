"""Matrices between frames and crops.

A matrix is float64 ``[..., 2, 3]`` on the CPU and takes points of one image to points of another,
``[x', y'] = M[:, :2] @ [x, y] + M[:, 2]``. There are few of them and they decide sub-pixel positions, so they never
go to the device and never lose precision; the work on pixels is where the pixels are.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Scale, in pixels of a 512 crop, at which a landmark begins to count as an outlier (Cauchy weights). Measured on
# 3000 random faces per case: mean corner error with one landmark 25 px off is 3.29 px against 3.34 px for OpenCV's
# LMEDS, without outliers 2.59 against 2.77 (`tests/test_alignment.py` holds it there).
OUTLIER_SCALE = 4.0
_ITERATIONS = 5


def fit_similarity(points: Tensor, target: Tensor, outlier_scale: float) -> tuple[Tensor, Tensor]:
    """Rotation, scale and shift that take ``points`` to ``target`` with the least squared error, robustly.

    Least squares in the complex plane (closed form, never a reflection), repeated with Cauchy weights
    ``1 / (1 + (r / outlier_scale)^2)`` so that one bad point does not drag the rest.

    Args:
        points: ``[..., K, 2]`` float64.
        target: ``[K, 2]`` or ``[..., K, 2]`` float64.
        outlier_scale: residual, in the units of ``target``, at which a point loses half of its weight;
            :data:`OUTLIER_SCALE` for pixels of a 512 crop, infinite for plain least squares.

    Returns:
        Matrices ``[..., 2, 3]`` and residuals ``[..., K]``: how far each point lands from its target.
    """
    source = torch.complex(points[..., 0], points[..., 1])
    goal = torch.complex(target[..., 0], target[..., 1]).expand_as(source)
    weight = torch.ones_like(points[..., 0])
    for _ in range(_ITERATIONS + 1):
        total = weight.sum(-1, keepdim=True)
        source_mean = (weight * source).sum(-1, keepdim=True) / total
        goal_mean = (weight * goal).sum(-1, keepdim=True) / total
        centred = source - source_mean
        spread = (weight * centred.abs() ** 2).sum(-1, keepdim=True).clamp_min(1e-12)
        turn = (weight * centred.conj() * (goal - goal_mean)).sum(-1, keepdim=True) / spread
        shift = goal_mean - turn * source_mean
        residual = (turn * source + shift - goal).abs()
        weight = 1 / (1 + (residual / outlier_scale) ** 2)
    turn, shift = turn[..., 0], shift[..., 0]
    rows = (
        torch.stack([turn.real, -turn.imag, shift.real], dim=-1),
        torch.stack([turn.imag, turn.real, shift.imag], dim=-1),
    )
    return torch.stack(rows, dim=-2), residual


def apply(matrix: Tensor, points: Tensor) -> Tensor:
    """Maps points ``[..., K, 2]`` by matrices ``[..., 2, 3]``."""
    return points @ matrix[..., :2].transpose(-1, -2) + matrix[..., None, :, 2]


def compose(second: Tensor, first: Tensor) -> Tensor:
    """The matrix that does ``first`` and then ``second``. Both ``[..., 2, 3]``."""
    linear = second[..., :2] @ first[..., :2]
    shift = second[..., :2] @ first[..., 2:] + second[..., 2:]
    return torch.cat([linear, shift], dim=-1)


def invert(matrix: Tensor) -> Tensor:
    """The matrix that undoes ``matrix`` ``[..., 2, 3]``."""
    a, b, x = matrix[..., 0, :].unbind(-1)
    c, d, y = matrix[..., 1, :].unbind(-1)
    inverse = torch.stack([d, -b, b * y - d * x, -c, a, c * x - a * y], dim=-1) / (a * d - b * c)[..., None]
    return inverse.reshape(matrix.shape)


def resize_matrix(scale_x: float, scale_y: float | None = None) -> Tensor:
    """``[2, 3]``: where resizing takes a pixel, ``x' = (x + 0.5) * s - 0.5``.

    The shift is ``(s - 1) / 2``. facexlib adds ``s / 2`` when it pastes into an enlarged picture, half an output
    pixel too far.
    """
    scale_y = scale_x if scale_y is None else scale_y
    return torch.tensor(
        [[scale_x, 0.0, (scale_x - 1) / 2], [0.0, scale_y, (scale_y - 1) / 2]],
        dtype=torch.float64,
    )


def scale_of(matrix: Tensor) -> Tensor:
    """``[...]``: how many output pixels one input pixel becomes along a side, from matrices ``[..., 2, 3]``."""
    (a, b), (c, d) = (row.unbind(-1)[:2] for row in matrix.unbind(-2))
    return (a * d - b * c).abs().sqrt()
