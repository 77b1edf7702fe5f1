"""How sure others are of a face, as a score of ours."""

from __future__ import annotations

import math
from typing import Any


def score_of(value: Any) -> float:
    """A score 0..1 from a number, or an array of one number as some detectors give it. ``None`` is 1: they say nothing.

    Numbers beyond 0..1 are scores of another kind, and become the nearest of the two.

    Raises:
        ValueError: it is no number, or NaN.
    """
    if value is None:
        return 1.0
    try:
        score = float(value.flatten()[0] if hasattr(value, "flatten") else value)
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"The score of a face must be a number, but is {value!r}.") from error
    if math.isnan(score):
        raise ValueError("The score of a face is no number (NaN). Check the node that made it.")
    return min(max(score, 0.0), 1.0)
