"""Labels for pictures of faces, by agreement of detectors that are there already.

One detector's mistakes would be learnt. A face counts where at least two of them find it, its box and landmarks are
the medians of theirs; what only one of them sees is kept as doubtful, and nothing is learnt from that spot.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..atomic import replacing
from ..faces.face import Box, Face, Point, intersection_over_union
from ..models.detectors import DetectionSettings, Detector, load_detector
from ..models.host import TorchHost
from .pictures import as_float, picture_files, read_picture

Landmarks = tuple[Point, Point, Point, Point, Point]

LABELLERS = ("yolov8n-face.pt", "detection_mobilenet0.25_Final.pth", "face_detection_yunet_2023mar.onnx")
FOLDERS = ("faces512/train", "portraits/train")
CACHE = Path(__file__).resolve().parent / "cache"

# Boxes of two detectors that overlap by this much are one face.
_SAME = 0.5
_AGREE = 2
# The single face of these pictures is large: a third of their side and more. At this size all three see it well.
_SETTINGS = DetectionSettings(confidence=0.4, working_size=384, tiles="never")
_SAVE_EVERY = 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledFace:
    """One face in pixels of its picture (pixel centres at integers), and how many detectors found it."""

    box: Box
    landmarks: Landmarks
    found_by: int


@dataclass(frozen=True)
class Label:
    """What is known of one picture: its size, the faces agreed upon, and boxes that only one detector gave."""

    width: int
    height: int
    faces: tuple[LabelledFace, ...]
    doubtful: tuple[Box, ...] = ()


def agreed(found: Sequence[Sequence[Face]], width: int, height: int) -> Label:
    """The label of a picture of ``width`` x ``height`` pixels from what each of several detectors found in it.

    Every group is led by its surest face and takes at most one face of each detector, the one closest to the lead.
    """
    waiting = sorted(
        ((detector, face) for detector, faces in enumerate(found) for face in faces), key=lambda one: -one[1].score
    )
    faces, doubtful = [], []
    while waiting:
        lead = waiting[0][1]
        group: dict[int, tuple[float, Face]] = {}
        for detector, face in waiting:
            closeness = intersection_over_union(lead.box, face.box)
            if closeness >= _SAME and closeness > group.get(detector, (0.0, face))[0]:
                group[detector] = closeness, face
        members = [face for _, face in group.values()]
        waiting = [one for one in waiting if not any(one[1] is member for member in members)]
        landmarks = [face.landmarks for face in members if face.landmarks is not None]
        if len(members) >= _AGREE and landmarks:
            faces.append(LabelledFace(_median_box(members), _median_landmarks(landmarks), len(members)))
        else:
            doubtful.append(lead.box)
    return Label(width, height, tuple(faces), tuple(doubtful))


def _median_box(faces: Sequence[Face]) -> Box:
    left, top, right, bottom = (statistics.median(face.box[side] for face in faces) for side in range(4))
    return left, top, right, bottom


def _median_landmarks(landmarks: Sequence[Landmarks]) -> Landmarks:
    def point(index: int) -> Point:
        return (
            statistics.median(five[index][0] for five in landmarks),
            statistics.median(five[index][1] for five in landmarks),
        )

    return point(0), point(1), point(2), point(3), point(4)


def _label_pictures(paths: Iterable[Path], detectors: Sequence[Detector]) -> Iterator[tuple[str, Label]]:
    """The file name and the label of each picture."""
    for path in paths:
        picture = read_picture(path)
        frames = as_float(picture.permute(1, 2, 0)[None])
        found = [detector.detect(frames, _SETTINGS)[0] for detector in detectors]
        yield path.name, agreed(found, picture.shape[2], picture.shape[1])


def save_labels(path: Path, labels: Mapping[str, Label]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps({name: asdict(label) for name, label in labels.items()}))


def load_labels(path: Path) -> dict[str, Label]:
    """The labels that :func:`save_labels` wrote; none where there is no such file."""
    if not path.is_file():
        return {}
    return {name: _label(entry) for name, entry in json.loads(path.read_text()).items()}


def _label(entry: Mapping[str, Any]) -> Label:
    def point(pair: Sequence[float]) -> Point:
        return pair[0], pair[1]

    def box(sides: Sequence[float]) -> Box:
        return sides[0], sides[1], sides[2], sides[3]

    def face(values: Mapping[str, Any]) -> LabelledFace:
        one, two, three, four, five = map(point, values["landmarks"])
        return LabelledFace(box(values["box"]), (one, two, three, four, five), values["found_by"])

    return Label(entry["width"], entry["height"], tuple(map(face, entry["faces"])), tuple(map(box, entry["doubtful"])))


def mesh_file(folder: str, cache: Path = CACHE) -> Path:
    """Where :mod:`.mesh_landmarks` keeps what it found in a data folder."""
    return cache / f"mesh-{folder.replace('/', '-')}.json"


def with_mesh(labels: Mapping[str, Label], path: Path) -> dict[str, Label]:
    """The labels with the landmarks of the mesh where the file at ``path`` has some."""
    meshes = json.loads(path.read_text()) if path.is_file() else {}
    better = dict(labels)
    for name, five in meshes.items():
        if name in better and len(better[name].faces) == 1:
            one, two, three, four, last = ((x, y) for x, y in five)
            face = replace(better[name].faces[0], landmarks=(one, two, three, four, last))
            better[name] = replace(better[name], faces=(face,))
    return better


def labels_file(folder: str, cache: Path = CACHE) -> Path:
    """Where the labels of a data folder, such as ``faces512/train``, are kept."""
    return cache / f"labels-{folder.replace('/', '-')}.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Labels the pictures of the training folders that have no label yet."""
    parser = argparse.ArgumentParser(prog="python -m visage.training.labels", description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with faces512, portraits and weights")
    parser.add_argument("--device", default=None, help="cpu, cuda, ... (the best there is)")
    parser.add_argument("--folders", nargs="+", default=FOLDERS, help="folders inside the data folder")
    parser.add_argument("--most", type=int, default=None, help="label at most this many pictures of each folder now")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    host = TorchHost(options.device, quiet=True)
    detectors = [load_detector(options.data / "weights" / name, host) for name in LABELLERS]
    for folder in options.folders:
        label_folder(options.data / folder, labels_file(folder), detectors, options.most)


def label_folder(folder: Path, cache: Path, detectors: Sequence[Detector], most: int | None = None) -> dict[str, Label]:
    """The labels of all pictures of a folder: those in the cache file, and new ones, saved as they come."""
    labels = load_labels(cache)
    paths = [path for path in picture_files(folder) if path.name not in labels][:most]
    for number, (name, label) in enumerate(_label_pictures(paths, detectors), 1):
        labels[name] = label
        if number % _SAVE_EVERY == 0 or number == len(paths):
            save_labels(cache, labels)
            single = sum(len(one.faces) == 1 for one in labels.values())
            _log.info("%s: %d of %d pictures, %d with one face", folder, number, len(paths), single)
    return labels


if __name__ == "__main__":
    main()
