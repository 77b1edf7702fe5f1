"""What a user may set about detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...fields import setting


@dataclass(frozen=True)
class DetectionSettings:
    """How faces are looked for.

    Attributes:
        confidence: least score of a face, 0..1.
        overlap: intersection over union of two boxes above which they are one face.
        working_size: longer side, in pixels, at which a frame is first looked at; also the side of tiles.
        tiles: whether to look again, at a higher resolution and in tiles, for faces that are too small to be found
            at the working size. ``auto``: in frames where the first look finds no face or only small ones.
        smallest: faces of fewer pixels than this are not what tiles look for.
        rotations: whether to look for faces lying on their side or upside down as well. Takes four times as long.
    """

    confidence: float = setting(
        0.5,
        "Lowest score that counts as a face. Lower it (0.3) if a face is missed, raise it (0.7) if other things "
        "are found.",
        low=0.01,
        high=1.0,
        step=0.01,
    )
    overlap: float = 0.4
    working_size: int = 640
    tiles: Literal["auto", "never", "always"] = setting(
        "auto",
        "Search large images a second time, in tiles at a higher resolution, for small faces. auto does so where the "
        "first search finds no face or only small ones.",
        advanced=True,
    )
    smallest: float = 32.0
    rotations: bool = setting(
        False,
        "Also find faces that lie on their side or are upside down. Takes four times as long.",
        advanced=True,
    )

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence must be from 0 to 1, not {self.confidence}")
        if not 0 <= self.overlap <= 1:
            raise ValueError(f"overlap must be from 0 to 1, not {self.overlap}")
        if self.working_size < 64:
            raise ValueError(f"working_size must be at least 64, not {self.working_size}")
        if self.tiles not in ("auto", "never", "always"):
            raise ValueError(f"tiles must be auto, never or always, not {self.tiles!r}")
        if self.smallest <= 0:
            raise ValueError(f"smallest must be above 0, not {self.smallest}")
