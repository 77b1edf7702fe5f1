"""What a face must be to be taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ...fields import setting
from ..face import Face
from ..pose import eye_distance, roll_of_face, yaw_of
from .order import Order
from .sizes import reason_against_size


@dataclass(frozen=True)
class Criteria:
    """What a face must be to be taken. The defaults take every face.

    Attributes:
        min_size, max_size: of the longer side of the box in pixels; a ``max_size`` of 0 is no limit.
        min_share, max_share: of the area of the frame that the box takes up inside of it, 0..1.
        confidence: least score.
        labels: names of classes with commas between them, in any case; one that begins with "!" is left out. Empty for
            all, and for all but those left out.
        region_rule: whether a face must lie inside or outside the region.
        overlap: least share of its box that must, 0..1.
        min_eye_distance: in pixels. As with those below, a face that says nothing about it is taken.
        max_roll, max_yaw: in degrees to either side.
    """

    min_size: int = setting(0, "Smallest longer side of a face, in pixels.", low=0, high=16384)
    max_size: int = setting(0, "Largest longer side of a face, in pixels. 0: no limit.", low=0, high=16384)
    min_share: float = setting(
        0.0, "Smallest share of the image that a face takes up: 0.01 is one percent.", low=0.0, high=1.0, step=0.001
    )
    max_share: float = setting(
        1.0, "Largest share of the image that a face takes up. 1: no limit.", low=0.0, high=1.0, step=0.001
    )
    confidence: float = setting(0.0, "Lowest score of a face.", low=0.0, high=1.0, step=0.01)
    labels: str = setting(
        "",
        "Only faces with these labels, such as: face, person. An exclamation mark excludes one: !hand. Empty: all.",
    )
    region_rule: Literal["inside", "outside"] = setting(
        "inside", "Whether faces must lie in the white part of the connected region or outside of it."
    )
    overlap: float = setting(0.5, "Smallest share of a face's box that must lie there.", low=0.0, high=1.0, step=0.01)
    min_eye_distance: int = setting(
        0,
        "Smallest distance between the eyes, in pixels. Faces without landmarks are taken.",
        low=0,
        high=16384,
        advanced=True,
    )
    max_roll: float = setting(
        180.0,
        "How far a head may be tilted towards a shoulder, in degrees. 180: no limit.",
        low=0.0,
        high=180.0,
        step=1.0,
        advanced=True,
    )
    max_yaw: float = setting(
        90.0,
        "How far a head may be turned to the side, in degrees (an estimate). 30: looks roughly into the camera, 90: no "
        "limit. Faces without landmarks are taken.",
        low=0.0,
        high=90.0,
        step=1.0,
        advanced=True,
    )


@dataclass(frozen=True)
class SelectSettings:
    """Which faces of a frame are taken, and in what order.

    Attributes:
        order: in which they come out, and in which the next three count.
        first: how many of those that meet the criteria are passed over.
        count: how many are taken after that; 0 for all.
        indices: instead of the two, their places in the order, in the language of :func:`.places.parse_places`.
    """

    order: Order = setting("reading", "The order in which faces come out, and in which first, count and indices count.")
    first: int = setting(0, "How many faces to skip in that order.", low=0, high=1000)
    count: int = setting(0, "How many faces to take after those. 0: all.", low=0, high=1000)
    indices: str = setting(
        "",
        "Positions in that order, instead of first and count, such as: 0,2-4,-1. 0 is the first face, -1 the last. "
        "Faces come out as listed.",
    )
    criteria: Criteria = field(default_factory=Criteria)


def reason_against(face: Face, width: int, height: int, criteria: Criteria, overlap: float | None) -> str | None:
    """Why a face of a frame of ``width`` x ``height`` pixels does not meet the criteria; ``None`` if it does.

    Args:
        overlap: the share of its box in the region, 0..1; ``None`` where there is no region.
    """
    tests = _tests(face, width, height, criteria, overlap)
    return reason_against_size(face, criteria.min_size, criteria.max_size) or next(
        (reason for fails, reason in tests if fails), None
    )


def _tests(
    face: Face, width: int, height: int, criteria: Criteria, overlap: float | None
) -> Iterator[tuple[bool, str]]:
    """One criterion after the other but that of the size: whether a face fails it, and what is to be said then."""
    share = _share(face, width, height)
    yield share < criteria.min_share, f"{share:.2%} of the image, less than {criteria.min_share:.2%}"
    yield share > criteria.max_share, f"{share:.2%} of the image, more than {criteria.max_share:.2%}"
    yield face.score < criteria.confidence, f"score {face.score:.2f}, less than {criteria.confidence:.2f}"
    yield not _is_asked_for(face.label, criteria.labels), f"its label is {face.label}"
    if overlap is not None:
        there = overlap if criteria.region_rule == "inside" else 1 - overlap
        yield (
            there < criteria.overlap,
            f"{there:.0%} {criteria.region_rule} the region, less than {criteria.overlap:.0%}",
        )
    roll = abs(roll_of_face(face) or 0.0)
    yield roll > criteria.max_roll, f"tilted by {roll:.0f} degrees, more than {criteria.max_roll:g}"
    if face.landmarks is not None:
        apart, yaw = eye_distance(face.landmarks), abs(yaw_of(face.landmarks))
        yield apart < criteria.min_eye_distance, f"eyes {apart:.1f} px apart, less than {criteria.min_eye_distance}"
        yield yaw > criteria.max_yaw, f"turned by about {yaw:.0f} degrees, more than {criteria.max_yaw:g}"


def _share(face: Face, width: int, height: int) -> float:
    left, top, right, bottom = face.box
    # Pixels reach half of one beyond their centres.
    across = min(right, width - 0.5) - max(left, -0.5)
    down = min(bottom, height - 0.5) - max(top, -0.5)
    return max(across, 0.0) * max(down, 0.0) / (width * height)


def _is_asked_for(label: str, labels: str) -> bool:
    named = [name for part in labels.split(",") if (name := part.strip().casefold())]
    refused = {name[1:].strip() for name in named if name.startswith("!")}
    wanted = {name for name in named if not name.startswith("!")}
    own = label.strip().casefold()
    return own not in refused and (not wanted or own in wanted)
