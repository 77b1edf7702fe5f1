"""From the faces of a video to the people in it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ...fields import setting
from ..face import Face, Faces
from ..formatting import counted, in_words
from .following import follow
from .steadying import steadied

_NUMBERS = re.compile(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?", re.ASCII)
# More people than are in any video, and few enough to be listed.
_MOST = 100_000


@dataclass(frozen=True)
class TrackSettings:
    """How faces are followed.

    Attributes:
        smoothing: the number of frames that steadying may look ahead, and back, at most; 0 leaves faces where they
            were found.
        fill_gaps: the number of frames in a row in which a face may be missing.
        min_frames: faces seen in fewer frames are left out, unless that is all frames of a shot.
        people: those who are kept, as :func:`parse_numbers` reads them; empty for all.
    """

    smoothing: int = setting(
        18,
        "How many images before and after each one may be looked at to hold a face steady; fewer where it moves "
        "quickly. 0: faces stay where they were found.",
        low=0,
        high=30,
    )
    fill_gaps: int = setting(
        6,
        "A face that is not found for up to this many images in a row is put in between where it was before and after.",
        low=0,
        high=240,
    )
    min_frames: int = setting(
        1,
        "Faces found in fewer images than this are left out. 3 is for false alarms that flash up. Where a shot has "
        "fewer images, those that are in all of them are kept.",
        low=1,
        high=240,
    )
    people: str = setting("", "Only these, by the numbers on the preview: 1, 3-4. Empty: all.")


@dataclass(frozen=True)
class Person:
    """One whose face was followed through a shot.

    Attributes:
        number: from 0 on, by when they are seen first, then in the order of the faces of that frame.
        faces: the face by number of the frame, in order, without gaps.
        filled: in how many of these frames no face was found.
        taken: whether the face is asked for.
    """

    number: int
    faces: dict[int, Face]
    filled: int
    taken: bool


def people_in(faces: Faces, cuts: Collection[int], settings: TrackSettings) -> list[Person]:
    """Everyone seen in enough frames, steadied. Their faces carry their number as ``index`` and ``track``.

    Args:
        cuts: numbers of frames with which a new shot begins.

    Raises:
        ValueError: the numbers of people cannot be read.
    """
    shots = _shot_lengths(cuts, len(faces.frames))
    tracks = [
        seen
        for seen in follow(faces, cuts, settings.fill_gaps)
        if len(seen) >= min(settings.min_frames, shots[next(iter(seen))])
    ]
    asked = parse_numbers(settings.people)
    people = []
    for number, seen in enumerate(tracks):
        held = {
            frame: replace(face, index=number, track=number)
            for frame, face in steadied(seen, settings.smoothing).items()
        }
        people.append(Person(number, held, len(held) - len(seen), asked is None or number in asked))
    return people


def faces_of_people(people: Iterable[Person], faces: Faces) -> Faces:
    """The faces of those who are taken, in every frame by their numbers.

    Args:
        faces: those in which they were found.
    """
    frames: list[list[Face]] = [[] for _ in faces.frames]
    for person in people:
        if person.taken:
            for number, face in person.faces.items():
                frames[number].append(face)
    return faces.with_frames(frames)


def parse_numbers(text: str) -> set[int] | None:
    """Numbers as people write them, ``1, 3-4``, which count from 1; counted from 0. ``None`` where nothing is written.

    Raises:
        ValueError: something between two commas is neither a number from 1 on nor a range of them.
    """
    numbers: set[int] = set()
    for part in filter(None, map(str.strip, text.split(","))):
        found = _NUMBERS.fullmatch(part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= _MOST:
            raise ValueError(f"'{part}' is no number of a person. Write numbers and ranges from 1 on, such as 1, 3-4.")
        numbers |= set(range(first - 1, last))
    return numbers or None


def people_report(people: Sequence[Person], faces: Faces) -> str:
    """What became of everyone, and of the faces that are nobody's, for people: numbers from 1 on."""
    lines = [_summary(people, faces)]
    for person in people:
        first, last = min(person.faces), max(person.faces)
        where = f"image {first + 1}" if first == last else f"images {first + 1} to {last + 1}"
        filled = f", put in between in {person.filled}" if person.filled else ""
        others = "" if person.taken else ": not asked for"
        lines.append(f"- {in_words(person.faces[first])}: {where}{filled}{others}")
    return "\n".join(lines)


def _summary(people: Sequence[Person], faces: Faces) -> str:
    """``2 of 3 people taken; 4 faces in too few images left out``."""
    taken = sum(person.taken for person in people)
    others = faces.count - sum(len(person.faces) - person.filled for person in people)
    said = f"{taken} of {len(people)} {'person' if len(people) == 1 else 'people'} taken"
    return f"{said}; {counted(others)} in too few images left out" if others else said


def _shot_lengths(cuts: Collection[int], count: int) -> list[int]:
    """For each frame the number of frames in its shot."""
    borders = [0, *sorted(cuts), count]
    return [end - begin for begin, end in itertools.pairwise(borders) for _ in range(begin, end)]
