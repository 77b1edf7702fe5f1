"""Whether a face is of a size to work on."""

from __future__ import annotations

from ..face import Face


def reason_against_size(face: Face, min_size: float, max_size: float) -> str | None:
    """Why a face is not of at least ``min_size`` pixels and at most ``max_size``, where 0 is no limit; ``None`` if it
    is."""
    if face.size < min_size:
        return f"smaller than {min_size:g} px"
    if 0 < max_size < face.size:
        return f"larger than {max_size:g} px"
    return None
