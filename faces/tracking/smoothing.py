"""Values in time without their trembling, as wide as the movement allows."""

from __future__ import annotations

import math

import numpy as np

# How many frames a fit may look ahead, and back. Its weights are a Gaussian of a third of that.
_REACHES = (2, 3, 4, 6, 8, 12, 18, 26)
# The widest fit is taken that foretells a frame from the others nearly as well as the best one. On clips of moving
# photographs, whose true places are known, trembling and error are both about least at 1.5.
_NEARLY = 1.5
# Standard deviations, in frames, of the Gaussians over which errors are averaged, and choices fade into one another.
_ERRORS_OVER, _CHOICES_OVER = 4.0, 2.0
# As in LOWESS: what lies this many times as far off as is usual counts for nothing. Nobody is that exact: within this
# distance nothing is an outlier.
_OUTLIERS, _LEAST_OUTLIER = 6.0, 0.02
# Keeps a parabola through fewer than three points from having many solutions, and a frame from foretelling itself.
_RIDGE, _MOST_OWN = 1e-9, 0.999


def smoothed(values: np.ndarray, reach: int) -> np.ndarray:
    """Values in time, each replaced by the parabola that fits those around it best.

    Weights fall with the distance in time as a Gaussian (Savitzky and Golay, "Smoothing and Differentiation of Data by
    Simplified Least Squares Procedures", 1964, with even weights). A parabola follows what turns round at the end of a
    movement, where a mean would cut the corner; and it is not late, because it looks ahead as far as back. How far that
    is is decided for each time anew, by how well fits foretell what they were not shown (leave-one-out). Outliers are
    found in a first fit and weigh nothing in the second (Cleveland, "Robust Locally Weighted Regression and Smoothing
    Scatterplots", 1979).

    Args:
        values: ``[T, D]``, in shares of the size of a face.
        reach: the number of frames that a fit may look ahead, and back, at most. Below 2 nothing is smoothed.

    Returns:
        ``[T, D]``; the very values where there are fewer than four.
    """
    reaches = [each for each in _REACHES if each <= reach]
    if len(values) < 4 or not reaches:
        return values
    once = _as_wide_as_possible(values, reaches, np.ones(len(values)))
    off = np.linalg.norm(values - once, axis=1)
    far = max(_OUTLIERS * float(np.median(off)), _LEAST_OUTLIER)
    return _as_wide_as_possible(values, reaches, np.square(1 - np.square(np.minimum(off / far, 1))))


def _as_wide_as_possible(values: np.ndarray, reaches: list[int], weights: np.ndarray) -> np.ndarray:
    """``[T, D]``. ``weights`` is ``[T]``, those of the values."""
    fits, errors = zip(*(_fit(values, reach, weights) for reach in reaches), strict=True)
    squares = np.stack(errors)
    # A few frames that no fit foretells shall not decide for those around them.
    limit = np.maximum(9 * np.median(squares, axis=1, keepdims=True), _LEAST_OUTLIER**2)
    usual = _averaged(np.minimum(squares, limit), _ERRORS_OVER)
    able = usual <= _NEARLY * usual.min(axis=0) + _RIDGE**2
    widest = len(reaches) - 1 - able[::-1].argmax(axis=0)
    shares = _averaged(np.eye(len(reaches))[widest].T, _CHOICES_OVER)
    chosen: np.ndarray = np.einsum("rt,rtd->td", shares, np.stack(fits))
    return chosen


def _fit(values: np.ndarray, reach: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A fit for each time, ``[T, D]``, and the square of how far off it would be without the value itself, ``[T]``."""
    steps = np.arange(-reach, reach + 1)
    at = np.arange(len(values))[:, None] + steps
    inside = (at >= 0) & (at < len(values))
    at = at.clip(0, len(values) - 1)
    near = np.exp(-0.5 * np.square(steps / (reach / 3))) * inside * (weights[at] + _RIDGE)
    powers = steps[:, None] ** np.arange(3.0)
    normal = np.einsum("ts,si,sj->tij", near, powers, powers) + _RIDGE * near.sum(1)[:, None, None] * np.eye(3)
    # What each value counts for in the fit at a time: the parabola there is its constant term.
    counts = np.einsum("ti,si,ts->ts", np.linalg.inv(normal)[:, 0], powers, near)
    fitted = np.einsum("ts,tsd->td", counts, values[at])
    own = np.minimum(counts[:, reach], _MOST_OWN)
    return fitted, np.square(values - fitted).sum(axis=1) / np.square(1 - own)


def _averaged(rows: np.ndarray, deviation: float) -> np.ndarray:
    """``[R, T]``: each value averaged with those around it in time, with the weights of a Gaussian."""
    reach = math.ceil(3 * deviation)
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / deviation))
    count = rows.shape[1]
    sums = np.stack([np.convolve(row, kernel)[reach : reach + count] for row in (*rows, np.ones(count))])
    averages: np.ndarray = sums[:-1] / sums[-1]
    return averages
