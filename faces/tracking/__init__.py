"""Who is who from frame to frame of a video, and where each face is without the trembling of a detector."""

from __future__ import annotations

from .cuts import cuts_in
from .people import Person, TrackSettings, faces_of_people, parse_numbers, people_in, people_report

__all__ = [
    "Person",
    "TrackSettings",
    "cuts_in",
    "faces_of_people",
    "parse_numbers",
    "people_in",
    "people_report",
]
