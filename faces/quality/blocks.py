"""How much the blocks of a JPEG file show in a part of a frame."""

from __future__ import annotations

from torch import Tensor

_BLOCK = 8


def blockiness(luma: Tensor) -> float:
    """How much stronger steps are at the borders of 8 by 8 blocks than between other pixels: 0 for not at all.

    The share by which the mean of the roots of the steps is greater there (after Wang, Bovik and Evans, "Blind
    measurement of blocking artifacts in images", 2000, and Wang, Sheikh and Bovik, "No-reference perceptual quality
    assessment of JPEG compressed images", 2002; roots instead of sizes, so that a few edges of the picture do not count
    more than many weak steps). The picture may have been cut since it was compressed, so the place of the blocks is
    looked for: it is where the steps are strongest. Blocks of a picture that was enlarged since are not found.

    Args:
        luma: ``[H, W]`` 0..1, at least 17 by 17.
    """
    across = _excess((luma[:, 1:] - luma[:, :-1]).abs().sqrt().mean(0))
    down = _excess((luma[1:] - luma[:-1]).abs().sqrt().mean(1))
    return (across + down) / 2


def _excess(steps: Tensor) -> float:
    """Of the mean step before each column: of the strongest of the eight places, over the mean of the others."""
    whole = steps[: len(steps) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    places = whole.mean(0)
    best = places.max()
    others = (places.sum() - best) / (_BLOCK - 1)
    return float(best / others - 1) if others > 0 else 0.0
