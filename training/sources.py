"""What composites are made of, read from the data folder: labelled faces, whole portraits, places without faces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from torch import Tensor

from .composites import Sources
from .expressions import with_expressions
from .labels import CACHE, Label, labels_file, load_labels, mesh_file, with_mesh
from .pictures import picture_files, read_picture
from .sheets import (
    Piece,
    Sheets,
    around_face,
    free_pieces,
    joined_sheets,
    largest_square,
    sheets_of,
    single_face,
    with_faces_filled,
)
from .textures import TRAINING_PICTURES, generated, library_pictures, written
from .turning import in_profile, turned

FACES = "faces512/train"
PORTRAITS = "portraits/train"
# Every how many-th portrait serves with its face filled in.
_FILLED_EVERY = 4
# Every how many-th face is there a second time, turned.
_TURNED_EVERY = 2
# How many times more heads in profile are there: of the portraits 8 in a hundred are, of the other faces hardly one.
_PROFILES = 8
_PATTERNS = 420
_PAGES = 120
_SEED = 31
_EXPRESSIONS_SEED = 41
_THREADS = 2
_AT_ONCE = 64


class NoLabelsError(Exception):
    """The labels are to be made first. The message says how."""


def labelled(folder: str, cache: Path = CACHE) -> dict[str, Label]:
    """The labels of a data folder, landmarks from the face mesh where there are some.

    Raises:
        NoLabelsError: there are none.
    """
    labels = with_mesh(load_labels(labels_file(folder, cache)), mesh_file(folder, cache))
    if not labels:
        raise NoLabelsError(
            f"There are no labels of {folder}. Make them with `python -m visage.training.labels --data ...`."
        )
    return labels


def training_sources(
    data: Path, side: int, *, without_faces: Sequence[Path] = (), most: int | None = None, cache: Path = CACHE
) -> Sources:
    """Sheets of the training folders.

    Args:
        data: folder with ``faces512`` and ``portraits``.
        side: of the sheets, a power of two; 3,100 faces, 1,000 scenes and 2,500 others of 256 px take 1.7 GB.
        without_faces: folders of more pictures in which there is no face, such as those of :mod:`.mistaken`.
        most: read at most this many pictures of each folder.

    Raises:
        NoLabelsError: as :func:`labelled`.
    """
    portraits = list(_read(data / PORTRAITS, labelled(PORTRAITS, cache), most))
    # Where nothing was found there may be a face that all have missed.
    sure = [(picture, label) for picture, label in portraits if label.faces]
    closely = [around_face(picture, face) for picture, label in portraits if (face := single_face(label))]
    whole = [largest_square(picture, face) for picture, label in portraits if (face := single_face(label))]
    empty = [piece for picture, label in sure for piece in free_pieces(picture, label)]
    bare = [largest_square(with_faces_filled(*portrait), None) for portrait in sure[::_FILLED_EVERY]]
    labelled_faces = _read(data / FACES, labelled(FACES, cache), most)
    generated_faces = (around_face(picture, face) for picture, label in labelled_faces if (face := single_face(label)))
    faces = joined_sheets([sheets_of(generated_faces, side), sheets_of(closely, side)])
    return Sources(
        faces,
        sheets_of(whole, side),
        sheets_of(
            chain(empty, bare, _without_people(side), *(_middles(folder, most) for folder in without_faces)), side
        ),
    )


def varied(faces: Sheets, turned_by: float) -> Sheets:
    """Faces; every second one once more, its head turned; each of all these once more with another expression.

    Three times as many as before. Heads that were in profile already are there eight times more.

    Args:
        turned_by: degrees to which heads are turned at most.
    """
    profiles = faces.only(in_profile(faces).nonzero()[:, 0].repeat(_PROFILES))
    faces = joined_sheets([faces, turned(faces.every(_TURNED_EVERY), turned_by, _SEED)])
    return joined_sheets([faces, with_expressions(faces, _EXPRESSIONS_SEED), profiles])


def _read(folder: Path, labels: Mapping[str, Label], most: int | None) -> Iterator[tuple[Tensor, Label]]:
    """The labelled pictures of a folder, evenly chosen from all if not all are wanted, read some at a time."""
    names = sorted(labels)
    names = names[:: max(1, len(names) // most)][:most] if most else names
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            pictures = pool.map(read_picture, [folder / name for name in some])
            yield from zip(pictures, [labels[name] for name in some], strict=True)


def _middles(folder: Path, most: int | None) -> Iterator[Piece]:
    """The largest square of each picture of a folder."""
    for path in picture_files(folder)[:most]:
        yield views_of(read_picture(path))[0]


def _without_people(side: int) -> Iterator[Piece]:
    """Photographs of things, whole and in four quarters, generated patterns, and writing."""
    for picture in library_pictures(TRAINING_PICTURES):
        yield from views_of(picture)
    for pattern in (*generated(_PATTERNS, side, _SEED), *written(_PAGES, side, _SEED)):
        yield Piece(pattern, 0, 0, side)


def views_of(picture: Tensor) -> list[Piece]:
    """The largest square in the middle of a picture, and squares of half its side from the four corners."""
    height, width = picture.shape[1:]
    side = min(height, width)
    part = side // 2
    corners = [(left, top) for left in (0, width - part) for top in (0, height - part)]
    whole = Piece(picture, (width - side) // 2, (height - side) // 2, side)
    return [whole, *(Piece(picture, left, top, part) for left, top in corners)]
