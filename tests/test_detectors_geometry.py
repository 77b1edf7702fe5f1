"""Sizes, tiles, angles and batches around a network, with a stand-in network whose answers are known exactly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from visage.faces.alignment import left_to_right
from visage.models.detectors import DetectionSettings, Detector
from visage.models.detectors.candidates import Candidates, joined
from visage.models.detectors.outlines import outlines_of
from visage.models.detectors.tiling import overview, tiled
from visage.models.host import TorchHost

# Where the stand-in places its landmarks in a marker, as shares of its width and height.
SHARES = torch.tensor([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def marker(frame: Tensor, left: int, top: int, size: int, number: int) -> None:
    """Paints an upright "face" on a frame ``[H, W, 3]``: red, its number in blue, its upper half green."""
    frame[top : top + size, left : left + size] = torch.tensor([1.0, 0.0, number / 10])
    frame[top : top + size // 2, left : left + size, 1] = 1.0


class Markers:
    """Finds markers of at least 12 px of the picture; one that is not upright is found with a low score."""

    name = "markers"
    labels = ("face", "other")
    stride = 32
    retry_shrinks: tuple[int, ...] = ()
    resident = None

    def __init__(self) -> None:
        self.shapes: list[torch.Size] = []

    def working_bytes(self, height: int, width: int) -> int:
        return height * width

    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        self.shapes.append(pictures.shape)
        assert pictures.shape[2] % self.stride == 0 and pictures.shape[3] % self.stride == 0
        assert pictures.dtype == torch.float32
        return [self.find(picture, min_score) for picture in pictures]

    def find(self, picture: Tensor, min_score: float) -> Candidates:
        boxes, scores, landmarks = [], [], []
        for number in range(1, 10):
            rows, columns = ((picture[0] > 0.9) & ((picture[2] - number / 10).abs() < 0.03)).nonzero(as_tuple=True)
            if len(rows) == 0 or rows.max() - rows.min() < 11:
                continue
            box = torch.tensor([columns.min(), rows.min(), columns.max(), rows.max()]) + torch.tensor(
                [-0.5, -0.5, 0.5, 0.5]
            )
            part = picture[1, int(rows.min()) : int(rows.max()) + 1, int(columns.min()) : int(columns.max()) + 1]
            half = part.shape[0] // 2
            upright = part[:half].mean() > part[half:].mean() + 0.5
            boxes.append(box)
            scores.append(0.9 if upright else 0.6)
            landmarks.append(box[:2] + SHARES * (box[2:] - box[:2]))
        if not boxes:
            return Candidates(
                torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.int64), torch.empty(0, 5, 2)
            )
        found = Candidates(
            torch.stack(boxes), torch.tensor(scores), torch.zeros(len(boxes), dtype=torch.int64), torch.stack(landmarks)
        )
        return found.select((found.scores >= min_score).nonzero()[:, 0])


class Host(TorchHost):
    """The plain host with a memory that holds so many pictures, and a user who may stop."""

    def __init__(self, most: int = 99, patience: int = 99) -> None:
        super().__init__("cpu", quiet=True)
        self.most, self.patience, self.released = most, patience, 0

    def check_interrupt(self) -> None:
        self.patience -= 1
        if self.patience < 0:
            raise KeyboardInterrupt

    def release(self) -> None:
        self.released += 1


class Forgetful(Markers):
    """Runs out of memory beyond a number of pictures."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
        if len(pictures) > self.most:
            raise torch.OutOfMemoryError("pretended")
        return super().propose(pictures, min_score, overlap)


class Farsighted(Markers):
    """Finds no marker of more than 100 px of the picture."""

    retry_shrinks = (2, 4)

    def find(self, picture: Tensor, min_score: float) -> Candidates:
        found = super().find(picture, min_score)
        return found.select((found.sizes() <= 100).nonzero()[:, 0])


@pytest.fixture
def detector() -> Iterator[Detector]:
    yield Detector(Markers(), Host())


def frames(height: int, width: int, *markers: tuple[int, int, int, int]) -> Tensor:
    frame = torch.full((height, width, 3), 0.4)
    for one in markers:
        marker(frame, *one)
    return frame[None]


def assert_box(box: tuple[float, ...], left: int, top: int, size: int, tolerance: float) -> None:
    expected = (left - 0.5, top - 0.5, left + size - 0.5, top + size - 0.5)
    assert box == pytest.approx(expected, abs=tolerance)


def test_same_size_is_exact(detector: Detector) -> None:
    (face,) = detector.detect(frames(480, 640, (100, 60, 80, 3)))[0]
    assert_box(face.box, 100, 60, 80, 0)
    assert face.landmarks is not None
    assert face.landmarks[0] == pytest.approx((99.5 + 0.3 * 80, 59.5 + 0.4 * 80), abs=1e-4)
    assert face.roll == pytest.approx(0, abs=1e-3)
    assert (face.label, face.index) == ("face", 0)


def test_shrunk_and_enlarged_frames_map_back(detector: Detector) -> None:
    # Whole multiples of the working size, so that no pixel of a marker is mixed with its surroundings.
    (face,) = detector.detect(frames(960, 1280, (200, 120, 160, 3)))[0]
    assert_box(face.box, 200, 120, 160, 1e-3)
    (face,) = detector.detect(frames(120, 160, (40, 20, 40, 3)))[0]
    assert_box(face.box, 40, 20, 40, 0.5)
    (face,) = detector.detect(frames(777, 1111, (300, 200, 150, 3)))[0]
    assert_box(face.box, 300, 200, 150, 1111 / 640)


def test_small_frames_are_enlarged_at_most_four_times() -> None:
    assert (overview(40, 30, 640).width, overview(40, 30, 640).height) == (160, 120)
    assert (overview(1, 1, 640).width, overview(1, 1, 640).height) == (4, 4)
    assert (overview(320, 200, 640).width, overview(320, 200, 640).height) == (640, 400)
    assert (overview(10000, 3, 640).width, overview(10000, 3, 640).height) == (640, 1)


@given(st.integers(1, 9000), st.integers(1, 9000), st.floats(0.1, 1), st.integers(64, 1280), st.integers(8, 200))
def test_tiles_cover_the_level_and_overlap(width: int, height: int, scale: float, side: int, overlap: int) -> None:
    level = tiled(width, height, scale, side, overlap, 32)
    for length, size, starts in (
        (level.width, level.tile_width, sorted({tile.left for tile in level.tiles})),
        (level.height, level.tile_height, sorted({tile.top for tile in level.tiles})),
    ):
        assert starts[0] == 0 and starts[-1] + size == length
        assert all(after - before <= size - overlap + 1 for before, after in itertools.pairwise(starts))
        assert size <= max(side * 5 // 4, 2 * overlap) + 31
        assert size == length or size % 32 == 0
    assert len(level.tiles) == len({(tile.left, tile.top) for tile in level.tiles})
    for tile in level.tiles:
        right, bottom = tile.left + level.tile_width < level.width, tile.top + level.tile_height < level.height
        assert tile.inner == (tile.left > 0, tile.top > 0, right, bottom)


def test_frames_in_which_nothing_is_found_are_looked_at_at_smaller_sizes() -> None:
    network = Farsighted()
    looked = Detector(network, Host())
    (face,) = looked.detect(frames(480, 640, (96, 64, 320, 3)))[0]
    # At 160 x 120 the marker has 80 px.
    assert [tuple(shape[2:]) for shape in network.shapes] == [(480, 640), (256, 320), (128, 160)]
    assert_box(face.box, 96, 64, 320, 1e-3)
    assert face.landmarks is not None
    assert face.landmarks[0] == pytest.approx((95.5 + 0.3 * 320, 63.5 + 0.4 * 320), abs=1e-3)
    # As soon as something is found that is enough, ...
    network.shapes.clear()
    (face,) = looked.detect(frames(480, 640, (96, 64, 160, 3)))[0]
    assert len(network.shapes) == 2
    assert_box(face.box, 96, 64, 160, 1e-3)
    # ... and other frames of a batch are not looked at again.
    network.shapes.clear()
    batch = torch.cat([frames(480, 640, (96, 64, 80, 3)), frames(480, 640), frames(480, 640, (96, 64, 80, 3))])
    assert [len(faces) for faces in looked.detect(batch)] == [1, 0, 1]
    assert sum(shape[0] for shape in network.shapes) == 3 + 2


def test_smaller_sizes_come_after_tiles_and_are_turned_too() -> None:
    network = Farsighted()
    far = frames(2160, 3840, SMALL)
    (face,) = Detector(network, Host()).detect(far)[0]
    assert face.box[0] == pytest.approx(SMALL[0], abs=4)
    assert all(max(shape[2:]) >= 640 for shape in network.shapes)
    sideways = torch.rot90(frames(480, 640, (96, 64, 320, 3)), 1, (1, 2))
    (face,) = Detector(network, Host()).detect(sideways, DetectionSettings(rotations=True, confidence=0.7))[0]
    assert abs(face.roll) == pytest.approx(90, abs=1)


@pytest.mark.parametrize("size", [1, 3, 32])
def test_tiny_frames_have_smaller_sizes(size: int) -> None:
    assert Detector(Farsighted(), Host()).detect(torch.full((1, size, size, 3), 0.4)) == [[]]


SMALL = (3000, 1500, 36, 2)
LARGE = (200, 200, 900, 5)


def test_tiles_find_what_the_whole_view_cannot() -> None:
    detector = Detector(Markers(), Host())
    picture = frames(2160, 3840, SMALL, (1275, 900, 36, 4))
    assert detector.detect(picture, DetectionSettings(tiles="never")) == [[]]
    for tiles in ("auto", "always"):
        found = detector.detect(picture, DetectionSettings(tiles=tiles))[0]
        assert len(found) == 2
        assert_box(found[0].box, 1275, 900, 36, 2)
        assert_box(found[1].box, 3000, 1500, 36, 2)


def test_auto_does_without_tiles_where_faces_are_large() -> None:
    markers = Markers()
    found = Detector(markers, Host()).detect(frames(2160, 3840, LARGE, SMALL))[0]
    assert len(found) == 1 and len(markers.shapes) == 1
    markers = Markers()
    found = Detector(markers, Host()).detect(frames(2160, 3840, LARGE, SMALL), DetectionSettings(tiles="always"))[0]
    assert len(found) == 2 and len(markers.shapes) > 1


def test_each_face_once_wherever_tiles_meet() -> None:
    """A face is slid over the borders of tiles: it is found once, whole, every time."""
    detector = Detector(Markers(), Host(patience=10**6))
    for shift in range(0, 700, 23):
        found = detector.detect(frames(1300, 1300, (shift, 500, 60, 3)), DetectionSettings(tiles="always"))[0]
        assert len(found) == 1, shift
        assert_box(found[0].box, shift, 500, 60, 2.1)


def test_a_part_of_a_large_face_is_no_face_of_its_own() -> None:
    class WithNoses(Markers):
        def find(self, picture: Tensor, min_score: float) -> Candidates:
            """Takes an 8th of every marker that is wholly or partly seen at a high resolution for another face."""
            found = super().find(picture, min_score)
            keep = found.sizes() < 300
            rows, columns = (picture[0] > 0.9).nonzero(as_tuple=True)
            if len(rows) == 0 or picture.shape[1] < 400 or rows.max() - rows.min() < 300:
                return found.select(keep.nonzero()[:, 0])
            middle = torch.tensor([columns.float().mean(), rows.float().mean()])
            nose = torch.cat((middle - 30, middle + 30))[None]
            points = nose[:, None, :2] + SHARES * 60
            return Candidates(nose, torch.tensor([0.95]), torch.zeros(1, dtype=torch.int64), points)

    found = Detector(WithNoses(), Host()).detect(
        frames(1800, 3200, (800, 400, 1000, 3)), DetectionSettings(tiles="always")
    )
    assert len(found[0]) == 1
    assert_box(found[0][0].box, 800, 400, 1000, 5)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotations_map_back(detector: Detector, turns: int) -> None:
    upright = frames(480, 640, (100, 60, 80, 3), (400, 300, 50, 5))
    expected = detector.detect(upright, DetectionSettings(rotations=True))[0]
    assert [face.score for face in expected] == pytest.approx([0.9, 0.9])
    turned = torch.rot90(upright, turns, (1, 2))
    height, width = turned.shape[1:3]
    found = detector.detect(turned, DetectionSettings(rotations=True))[0]
    assert len(found) == 2
    by_size = sorted(found, key=lambda face: -face.size)
    for face, original in zip(by_size, sorted(expected, key=lambda face: -face.size), strict=True):
        assert face.score == pytest.approx(0.9)
        assert face.landmarks is not None and original.landmarks is not None
        for point, (x, y) in zip(face.landmarks, original.landmarks, strict=True):
            across, down = 639 - x, 479 - y
            there = {0: (x, y), 1: (y, across), 2: (across, down), 3: (down, x)}[turns]
            assert point == pytest.approx(there, abs=1e-3)
            assert 0 <= point[0] < width and 0 <= point[1] < height
        assert face.roll is not None
        assert (face.roll + 90 * turns + 180) % 360 - 180 == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("rotations", [False, True])
def test_boxes_without_an_area_are_no_faces(rotations: bool) -> None:
    """Networks that move the sides of boxes may turn one inside out, which nobody could draw nor work on."""

    class Broken(Markers):
        def find(self, picture: Tensor, min_score: float) -> Candidates:
            found = super().find(picture, min_score)
            left, top, right, bottom = found.boxes[0].tolist()
            without = [(right, top, left, bottom), (left, bottom, right, top), (left, top, left, bottom)]
            boxes = torch.tensor([(left, top, right, bottom), *without])
            return Candidates(boxes, torch.full((4,), 0.9), found.labels.repeat(4), found.landmarks.repeat(4, 1, 1))

    picture = frames(480, 640, (100, 60, 80, 3))
    (face,) = Detector(Broken(), Host()).detect(picture, DetectionSettings(rotations=rotations))[0]
    assert_box(face.box, 100, 60, 80, 0)


def test_without_rotations_a_turned_face_is_seen_as_the_network_sees_it(detector: Detector) -> None:
    (face,) = detector.detect(torch.rot90(frames(480, 640, (100, 60, 80, 3)), 2, (1, 2)))[0]
    assert face.score == pytest.approx(0.6)


def test_out_of_memory_halves_the_batch_and_changes_nothing() -> None:
    picture = torch.cat([frames(240, 320, (20 * index, 40, 50, 3)) for index in range(7)])
    expected = Detector(Markers(), Host()).detect(picture)
    host = Host()
    assert Detector(Forgetful(1), host).detect(picture) == expected
    assert host.released == 2
    with pytest.raises(MemoryError, match="markers"):
        Detector(Forgetful(0), Host()).detect(picture)


def test_other_errors_are_not_taken_for_missing_memory() -> None:
    class Broken(Markers):
        def propose(self, pictures: Tensor, min_score: float, overlap: float) -> list[Candidates]:
            raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match=r"^markers failed: shape mismatch$"):
        Detector(Broken(), Host()).detect(frames(64, 64))


def test_interrupt_comes_between_network_calls() -> None:
    markers = Markers()
    with pytest.raises(KeyboardInterrupt):
        Detector(markers, Host(patience=3)).detect(frames(480, 640), DetectionSettings(rotations=True))
    assert len(markers.shapes) == 2


def test_batch_equals_single(detector: Detector) -> None:
    several = torch.cat([frames(480, 640, (30 * index, 10 * index, 40 + index, 1 + index)) for index in range(9)])
    assert detector.detect(several) == [detector.detect(one[None])[0] for one in several]


def test_kinds_of_frames(detector: Detector) -> None:
    picture = frames(480, 640, (100, 60, 80, 5))
    expected = detector.detect(picture)
    assert detector.detect(picture.half())[0][0].box == expected[0][0].box
    assert detector.detect(picture.double()) == expected
    alpha = torch.cat((picture, torch.full((1, 480, 640, 1), torch.nan)), 3)
    assert detector.detect(alpha) == expected
    assert detector.detect(picture.transpose(1, 2).contiguous().transpose(1, 2)) == expected
    for height, width in ((1, 1), (1, 700), (3, 2), (2000, 1)):
        assert detector.detect(frames(height, width)) == [[]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(0, 4, 4, 3), "empty"),
        (torch.zeros(1, 0, 4, 3), "empty"),
        (torch.zeros(4, 4, 3), r"\[B, H, W, 3\]"),
        (torch.zeros(1, 3, 4, 4, 3), r"\[B, H, W, 3\]"),
        (torch.zeros(1, 4, 4, 2), r"\[B, H, W, 3\]"),
        (torch.zeros(1, 4, 4, 3, dtype=torch.uint8), "floating point"),
    ],
)
def test_wrong_frames_are_named(detector: Detector, wrong: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detector.detect(wrong)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("size", [(40, 30), (480, 640), (1500, 2000)])
def test_frames_that_are_not_finite_are_named(detector: Detector, value: float, size: tuple[int, int]) -> None:
    several = frames(*size).repeat(3, 1, 1, 1)
    several[2, size[0] // 2, size[1] // 3, 1] = value
    with pytest.raises(ValueError, match=r"^Image 3 "):
        detector.detect(several)


def test_settings_are_checked() -> None:
    for wrong in ({"confidence": 1.5}, {"overlap": -1}, {"working_size": 8}, {"tiles": "some"}, {"smallest": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            DetectionSettings(**wrong)


def candidates(*boxes: tuple[float, float, float, float], labels: tuple[int, ...] = ()) -> Candidates:
    scores = torch.linspace(0.9, 0.5, len(boxes))
    return Candidates(torch.tensor(boxes), scores, torch.tensor(labels or (0,) * len(boxes)))


def test_suppression_keeps_the_better_and_other_labels() -> None:
    boxes = (-40.0, -40, 20, 20), (-38.0, -40, 20, 20), (-40.0, -40, 20, 21), (100.0, 0, 160, 60)
    found = candidates(*boxes, labels=(0, 0, 1, 0))
    assert found.surviving(0.4).tolist() == [0, 2, 3]
    assert found.surviving(0.4, torch.tensor([0.1, 0.9, 0.2, 0.3])).tolist() == [1, 3, 2]
    assert candidates((0.0, 0, 1, 1)).select(torch.empty(0, dtype=torch.int64)).surviving(0.4).tolist() == []


def test_joined_keeps_what_belongs_together() -> None:
    one = Candidates(torch.ones(1, 4), torch.ones(1), torch.zeros(1, dtype=torch.int64), torch.ones(1, 5, 2))
    two = Candidates(torch.zeros(2, 4), torch.zeros(2), torch.ones(2, dtype=torch.int64), torch.zeros(2, 5, 2))
    both = joined([one, two])
    assert both.labels.tolist() == [0, 1, 1]
    assert both.landmarks is not None and both.landmarks.shape == (3, 5, 2)
    assert both.outlines is None


@given(st.integers(0, 3), st.integers(1, 40), st.integers(1, 40))
def test_turning_back_is_exact(turns: int, height: int, width: int) -> None:
    picture = torch.arange(height * width, dtype=torch.float32).view(height, width)
    y, x = height // 2, width // 3
    turned = torch.rot90(picture, turns, (-2, -1))
    row, column = ((turned == picture[y, x]).nonzero()[0]).tolist()
    box = torch.tensor([[column - 0.5, row - 0.5, column + 0.5, row + 0.5]])
    points = torch.tensor([column, row], dtype=torch.float32).expand(1, 5, 2)
    found = Candidates(box, torch.ones(1), torch.zeros(1, dtype=torch.int64), points, (points[0],))
    back = found.turned_back(turns, width, height)
    assert back.boxes[0].tolist() == [x - 0.5, y - 0.5, x + 0.5, y + 0.5]
    assert back.landmarks is not None and back.landmarks[0, 0].tolist() == [x, y]
    assert back.outlines is not None and back.outlines[0][0].tolist() == [x, y]


@given(st.floats(-180, 180), st.booleans())
def test_left_and_right_are_put_in_order(roll: float, swapped: bool) -> None:
    upright = torch.tensor([[-30.0, -20], [30, -20], [4, 10], [-22, 40], [24, 38]])
    angle = torch.deg2rad(torch.tensor(roll))
    turn = torch.tensor([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]])
    face = upright @ turn + 300
    given_order = face[[1, 0, 2, 4, 3]] if swapped else face
    assert torch.allclose(left_to_right(torch.stack((given_order, face))), torch.stack((face, face)).double())


def test_outline_follows_the_mask() -> None:
    y, x = torch.meshgrid(torch.arange(40), torch.arange(60), indexing="ij")
    disc = 8.0 - ((x - 30) ** 2 + (y - 20) ** 2).sqrt()
    boxes = torch.tensor([[80.0, 40, 165, 125], [0.0, 0, 9, 9]])
    round_one, empty = outlines_of(torch.stack((disc, -torch.ones_like(disc))), boxes, 160, 240)
    distance = (round_one - torch.tensor([30 * 4 + 1.5, 20 * 4 + 1.5])).norm(dim=1)
    assert len(round_one) > 12
    assert distance.min() > 30 and distance.max() < 33
    assert empty.tolist() == [[0, 0], [9, 0], [9, 9], [0, 9]]
