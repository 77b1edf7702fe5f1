"""What detectors are measured on: photographs with given truth, composites with known truth, pictures without faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.face import Box
from ..models.detectors import Detector
from .composites import CompositeRecipe, Sources, composites
from .labels import LabelledFace, label_folder, labels_file
from .pictures import as_float, generator_of, read_picture
from .scenes import Scene, box_of, landmarks_of
from .sheets import Piece, around_face, free_pieces, largest_square, sheets_of, single_face
from .sources import views_of
from .textures import MEASURING_PICTURES, generated, library_pictures

_SIDE = 640
_SHEET = 256
_SEED = 5
_PATTERNS = 84
# Smaller faces in photographs are neither asked for nor counted as false.
SMALLEST = 16.0


def photographs(data: Path) -> list[Scene]:
    """dlib's nine photographs with boxes and 68 landmarks, from which five are taken."""
    folder = data / "photos" / "dlib_faces"
    scenes = []
    for name in ("testing_with_face_landmarks.xml", "training_with_face_landmarks.xml"):
        for image in ElementTree.parse(folder / name).getroot().iter("image"):  # noqa: S314 - our own file
            picture = as_float(read_picture(folder / str(image.get("file")))).permute(1, 2, 0)
            boxes = image.findall("box")
            faces = tuple(_dlib_face(box) for box in boxes if box.get("ignore") != "1")
            ignored = tuple(_dlib_box(box) for box in boxes if box.get("ignore") == "1")
            scenes.append(Scene(picture, faces, ignored))
    return scenes


def _dlib_box(box: ElementTree.Element) -> Box:
    left, top, width, height = (float(str(box.get(name))) for name in ("left", "top", "width", "height"))
    return left, top, left + width, top + height


def _dlib_face(box: ElementTree.Element) -> LabelledFace:
    parts = {int(str(part.get("name"))): part for part in box.findall("part")}
    points = torch.tensor([[float(str(parts[index].get(axis))) for axis in "xy"] for index in range(68)])
    # The scheme of iBUG 300-W: the rings of the two eyes, the tip of the nose, the corners of the mouth.
    five = torch.stack((points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]))
    return LabelledFace(_dlib_box(box), landmarks_of(five), 0)


def portraits(data: Path, judges: Sequence[Detector]) -> list[Scene]:
    """The portraits for measuring on whose single face the judges agree; labels are made where there are none yet."""
    folder = data / "portraits" / "val"
    labels = label_folder(folder, labels_file("portraits/val"), judges)
    return [
        Scene(as_float(read_picture(folder / name)).permute(1, 2, 0), (face,))
        for name, label in labels.items()
        if (face := single_face(label))
    ]


def groups(data: Path, judges: Sequence[Detector]) -> dict[str, list[Scene]]:
    """The aligned faces for measuring on, at a quarter of their size, by the group that their file names begin with."""
    folder = data / "faces512" / "val"
    found: dict[str, list[Scene]] = {}
    for name, label in label_folder(folder, labels_file("faces512/val"), judges).items():
        face = single_face(label)
        if face is not None:
            scene = _quarter(as_float(read_picture(folder / name)), face)
            found.setdefault(name.rpartition("_")[0], []).append(scene)
    return dict(sorted(found.items()))


def _quarter(picture: Tensor, face: LabelledFace) -> Scene:
    """A face of about 80 pixels."""
    points = torch.tensor([face.box[:2], face.box[2:], *face.landmarks])
    points = (points + 0.5) / 4 - 0.5
    small = F.avg_pool2d(picture, 4).permute(1, 2, 0)
    return Scene(small, (LabelledFace(box_of(points[:2].reshape(4)), landmarks_of(points[2:]), face.found_by),))


def measuring_sources(data: Path, judges: Sequence[Detector]) -> Sources:
    """Sheets of pictures that no training has seen."""
    faces, scenes, free = [], [], []
    for name in ("faces512/val", "portraits/val"):
        folder = data / name
        for file, label in label_folder(folder, labels_file(name), judges).items():
            picture, face = read_picture(folder / file), single_face(label)
            if face is not None:
                faces.append(around_face(picture, face))
                scenes.append(largest_square(picture, face))
            if label.faces:
                free += free_pieces(picture, label)
    return Sources(sheets_of(faces, _SHEET), sheets_of(scenes, _SHEET), sheets_of([*free, *things()], _SHEET))


def composed(sources: Sources, count: int, *, worn: bool) -> list[Scene]:
    """Composites of 640 px with faces of 14 to 300 px, a third of them rolled by up to 60 degrees.

    Args:
        worn: with the finishes of the training: blur, noise, JPEG, old paper. Some faces are lost in them to anybody.
    """
    recipe = CompositeRecipe(_SIDE, 14.0, 300.0, most_faces=10, most_decoys=5, any_roll=0.0, finish=worn)
    return list(_composites(sources, recipe, count))


def _composites(sources: Sources, recipe: CompositeRecipe, count: int) -> Iterator[Scene]:
    for number in range(count):
        pictures, truth = composites(sources, recipe, 1, generator_of(_SEED, number))
        # Half a pixel from the edge of the picture to the centre of its first pixel.
        boxes, landmarks = truth.boxes[0] - 0.5, truth.landmarks[0] - 0.5
        present, ignored = truth.present[0], truth.ignored[0]
        faces = tuple(
            LabelledFace(box_of(box), landmarks_of(five), 0)
            for box, five in zip(boxes[present], landmarks[present], strict=True)
        )
        yield Scene(pictures[0].permute(1, 2, 0), faces, tuple(box_of(box) for box in boxes[ignored]))


def without_faces(data: Path, judges: Sequence[Detector]) -> list[Scene]:
    """Pictures of 256 px without a face.

    Three kinds: what lies beside and below the face in the portraits for measuring on, clear of all that any judge
    took for a face (bodies, chairs, curtains); photographs of things that come with scikit-image, whole and in four
    quarters; generated patterns. All were looked at on a contact sheet.
    """
    folder = data / "portraits" / "val"
    labels = label_folder(folder, labels_file("portraits/val"), judges)
    pieces = [
        piece
        for name, label in labels.items()
        if label.faces
        for piece in free_pieces(read_picture(folder / name), label)
    ]
    sheets = sheets_of([*pieces, *things()], _SHEET)
    return [Scene(as_float(sheet).permute(1, 2, 0)) for sheet in sheets.levels[_SHEET]]


def things() -> Iterator[Piece]:
    """What is no person: photographs and patterns that no training has seen, for which no data are needed."""
    for picture in library_pictures(MEASURING_PICTURES):
        yield from views_of(picture)
    for pattern in generated(_PATTERNS, _SHEET, _SEED):
        yield Piece(pattern, 0, 0, _SHEET)
