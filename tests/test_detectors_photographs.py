"""Real weights on real photographs, against the boxes and landmarks that come with dlib's examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor
from visage.faces.face import Box, Face, Point, intersection_over_union
from visage.faces.sampling import area_resize
from visage.models.detectors import DetectionSettings, Detector, load_detector
from visage.models.host import TorchHost
from visage.training.labels import LabelledFace
from visage.training.scenes import Scene, blurred

HOST = TorchHost("cpu", quiet=True)
FACE_DETECTORS = (
    "yolov8n-face.pt",
    "face_yolov8n.pt",
    "detection_mobilenet0.25_Final.pth",
    "face_detection_yunet_2023mar.onnx",
)
WITH_LANDMARKS = ("yolov8n-face.pt", "detection_mobilenet0.25_Final.pth", "face_detection_yunet_2023mar.onnx")


@dataclass(frozen=True)
class Truth:
    box: Box
    landmarks: Tensor


@pytest.fixture(scope="module")
def detector(data: Path) -> Callable[[str], Detector]:
    loaded: dict[str, Detector] = {}

    def get(name: str) -> Detector:
        if name not in loaded:
            loaded[name] = load_detector(data / "weights" / name, HOST)
        return loaded[name]

    return get


def picture(path: Path) -> Tensor:
    import cv2

    return torch.from_numpy(cv2.imread(str(path))[:, :, ::-1].copy()).float() / 255


@pytest.fixture(scope="module")
def photographs(data: Path) -> list[tuple[Tensor, list[Truth]]]:
    """Nine photographs with 43 faces of 37 to 109 px."""
    folder = data / "photos" / "dlib_faces"
    found = []
    for name in ("testing_with_face_landmarks.xml", "training_with_face_landmarks.xml"):
        for image in ElementTree.parse(folder / name).getroot().iter("image"):  # noqa: S314 - our own file
            truths = [truth(box) for box in image.findall("box") if box.get("ignore") != "1"]
            found.append((picture(folder / str(image.get("file"))), truths))
    return found


def truth(box: ElementTree.Element) -> Truth:
    left, top, width, height = (float(str(box.get(name))) for name in ("left", "top", "width", "height"))
    parts = {int(str(part.get("name"))): part for part in box.findall("part")}
    points = torch.tensor([[float(str(parts[index].get(axis))) for axis in "xy"] for index in range(68)])
    # The scheme of iBUG 300-W: the rings of the two eyes, the tip of the nose, the corners of the mouth.
    five = torch.stack((points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]))
    return Truth((left, top, left + width, top + height), five)


def overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def largest(faces: list[Face]) -> Face:
    return max(faces, key=lambda face: face.size)


def matches(detector: Detector, photographs: list[tuple[Tensor, list[Truth]]]) -> list[tuple[Truth, Face | None]]:
    """Each true face of at least 32 px with what was found of it at an overlap of 0.4."""
    pairs: list[tuple[Truth, Face | None]] = []
    for frame, truths in photographs:
        faces = detector.detect(frame[None])[0]
        for one in truths:
            if one.box[2] - one.box[0] >= 32:
                best = max(faces, key=lambda face: overlap(face.box, one.box), default=None)
                pairs.append((one, best if best is not None and overlap(best.box, one.box) >= 0.4 else None))
    return pairs


@pytest.mark.parametrize("name", FACE_DETECTORS)
def test_every_face_is_found(
    detector: Callable[[str], Detector], photographs: list[tuple[Tensor, list[Truth]]], name: str
) -> None:
    pairs = matches(detector(name), photographs)
    assert len(pairs) == 43
    assert [one.box for one, face in pairs if face is None] == []
    assert len({face for _, face in pairs}) == 43


# Share of the distance between the eyes. Part of it is a matter of convention: dlib's corners of the mouth lie further
# out, and its points are whole pixels.
@pytest.mark.parametrize(("name", "most"), list(zip(WITH_LANDMARKS, (0.08, 0.11, 0.13), strict=True)))
def test_landmarks(
    detector: Callable[[str], Detector], photographs: list[tuple[Tensor, list[Truth]]], name: str, most: float
) -> None:
    errors = []
    for one, face in matches(detector(name), photographs):
        assert face is not None and face.landmarks is not None
        errors.append((torch.tensor(face.landmarks) - one.landmarks) / (one.landmarks[1] - one.landmarks[0]).norm())
    error = torch.stack(errors)
    assert error.norm(dim=2).mean() <= most
    # Half a pixel is 3 % of the distance between these eyes: a wrong idea of where pixels are would show.
    assert error.mean((0, 1))[0].abs() < 0.015
    assert error.mean((0, 1))[1].abs() < 0.025


def test_persons_are_found_around_the_faces(
    detector: Callable[[str], Detector], photographs: list[tuple[Tensor, list[Truth]]]
) -> None:
    inside = 0
    for frame, truths in photographs:
        persons = [face for face in detector("yolov8n-seg.pt").detect(frame[None])[0] if face.label == "person"]
        assert all(person.outline is not None and len(person.outline) > 8 for person in persons)
        for one in truths:
            nose_x, nose_y = one.landmarks[2].tolist()
            boxes = [person.box for person in persons]
            inside += any(box[0] < nose_x < box[2] and box[1] < nose_y < box[3] for box in boxes)
    assert inside >= 38


def test_dogs_have_no_faces(detector: Callable[[str], Detector], data: Path) -> None:
    assert detector("yolov8n-face.pt").detect(picture(data / "photos" / "dlib_faces" / "dogs.jpg")[None]) == [[]]


@pytest.mark.parametrize("name", WITH_LANDMARKS)
def test_a_blurred_portrait_is_found_in_a_smaller_picture(
    detector: Callable[[str], Detector], data: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    portrait = area_resize(picture(data / "photos" / "synthetic_1024" / "tpdne_05.webp"), 320, 320)
    sharp = largest(detector(name).detect(portrait[None])[0])
    assert sharp.landmarks is not None
    soft = blurred(Scene(portrait, (LabelledFace(sharp.box, sharp.landmarks, 1),)), 0.07).picture
    (found,) = detector(name).detect(soft[None])[0]
    assert intersection_over_union(found.box, sharp.box) > 0.5
    if name == "yolov8n-face.pt":
        monkeypatch.setattr(type(detector(name).proposer), "retry_shrinks", ())
        assert detector(name).detect(soft[None]) == [[]]


@pytest.mark.parametrize("name", WITH_LANDMARKS)
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_portraits(detector: Callable[[str], Detector], data: Path, name: str, turns: int) -> None:
    frame = picture(data / "photos" / "synthetic_1024" / "tpdne_05.webp")
    settings = DetectionSettings(rotations=True)
    upright = largest(detector(name).detect(frame[None], settings)[0])
    turned = largest(detector(name).detect(torch.rot90(frame, turns, (0, 1))[None], settings)[0])
    assert upright.landmarks is not None and turned.landmarks is not None
    last = frame.shape[0] - 1
    for (x, y), point in zip(upright.landmarks, turned.landmarks, strict=True):
        there: Point = {1: (y, last - x), 2: (last - x, last - y), 3: (last - y, x)}[turns]
        assert point == pytest.approx(there, abs=3)
    assert upright.roll is not None and turned.roll is not None
    assert abs((turned.roll - upright.roll + 90 * turns + 180) % 360 - 180) < 2


def mosaic(data: Path, detector: Detector, size: int) -> tuple[Tensor, list[Box]]:
    """A frame of 3840x2160 with 40 portraits whose faces are about ``size`` px, and their boxes."""
    paths = sorted((data / "portraits" / "val").iterdir())
    frame = torch.full((2160, 3840, 3), 0.4)
    boxes: list[Box] = []
    places = iter([(left, top) for top in range(60, 1900, 430) for left in range(45, 3600, 470)])
    for path in paths:
        if len(boxes) == 40:
            break
        portrait = picture(path)
        faces = detector.detect(portrait[None], DetectionSettings(tiles="never"))[0]
        if len(faces) != 1 or faces[0].score < 0.8:
            continue
        scale = size / faces[0].size
        small = area_resize(portrait, round(portrait.shape[0] * scale), round(portrait.shape[1] * scale))
        left, top = next(places)
        frame[top : top + small.shape[0], left : left + small.shape[1]] = small
        box = [value * scale for value in faces[0].box]
        boxes.append((box[0] + left, box[1] + top, box[2] + left, box[3] + top))
    return frame, boxes


def test_small_faces_in_a_4k_frame(detector: Callable[[str], Detector], data: Path) -> None:
    yolo = detector("yolov8n-face.pt")
    frame, boxes = mosaic(data, yolo, 40)
    assert len(boxes) == 40
    assert yolo.detect(frame[None], DetectionSettings(tiles="never")) == [[]]
    faces = yolo.detect(frame[None])[0]
    found = [box for box in boxes if any(overlap(face.box, box) > 0.5 for face in faces)]
    assert len(found) >= 38
    assert len(faces) == len(found)


@pytest.mark.parametrize("name", FACE_DETECTORS)
def test_the_same_again_and_alone(
    detector: Callable[[str], Detector], photographs: list[tuple[Tensor, list[Truth]]], name: str
) -> None:
    frames = torch.stack([frame[:332, :480] for frame, _ in photographs if frame.shape[0] < 400][:4])
    together = detector(name).detect(frames)
    assert detector(name).detect(frames) == together
    for frame, faces in zip(frames, together, strict=True):
        alone = detector(name).detect(frame[None])[0]
        assert len(alone) == len(faces) > 0
        for one, other in zip(alone, faces, strict=True):
            assert one.box == pytest.approx(other.box, abs=1e-2)
            assert one.score == pytest.approx(other.score, abs=1e-4)


@pytest.mark.parametrize("name", [*FACE_DETECTORS, "yolov8n-seg.pt"])
@pytest.mark.parametrize("size", [(1, 1), (2, 300), (500, 3), (31, 33)])
def test_tiny_frames(detector: Callable[[str], Detector], name: str, size: tuple[int, int]) -> None:
    frames = torch.rand(2, *size, 3, generator=torch.Generator().manual_seed(4))
    for settings in (None, DetectionSettings(rotations=True, tiles="always")):
        assert len(detector(name).detect(frames, settings)) == 2


@pytest.mark.parametrize("name", FACE_DETECTORS)
def test_half_precision_and_alpha(detector: Callable[[str], Detector], data: Path, name: str) -> None:
    frame = picture(data / "photos" / "dlib_faces" / "2008_002506.jpg")[None]
    expected = detector(name).detect(frame)[0]
    assert len(expected) == 3
    halved = detector(name).detect(torch.cat((frame, torch.zeros_like(frame[..., :1])), 3).half())[0]
    for one, other in zip(halved, expected, strict=True):
        assert one.box == pytest.approx(other.box, abs=1)
