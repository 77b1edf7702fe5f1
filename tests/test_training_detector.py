"""visage-detect and its training: the network, its files, labels, composites with their truth, losses, a short run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from visage.faces.alignment import FFHQ
from visage.faces.face import Face
from visage.models.detectors import DetectionSettings, load_detector
from visage.models.detectors import visage_proposer as proposer_module
from visage.models.detectors.visage_finder import STRIDES, Predictions, VisageDetect, Widths, cells_of, decoded
from visage.models.detectors.visage_landmarks import LandmarkNetwork
from visage.models.detectors.visage_proposer import VisageCascade, VisageProposer, build_visage
from visage.models.host import TorchHost
from visage.models.weights import WeightsError
from visage.training.checkpoints import CheckpointError
from visage.training.composites import CompositeRecipe, Sources, Truth, composites
from visage.training.coverings import FaceAxes
from visage.training.detection_scores import matched, scored
from visage.training.detector import DetectorJob, DetectorPlan
from visage.training.detector_evaluation import contact_sheet, measured, table
from visage.training.detector_export import export, shifted
from visage.training.detector_loss import assigned, losses
from visage.training.finish import finished
from visage.training.labels import Label, LabelledFace, agreed, label_folder, load_labels, save_labels
from visage.training.run import Pace, run
from visage.training.scenes import Scene, blurred, cut_close, eyes_barred, in_dark_glasses, masked
from visage.training.sheets import Piece, around_face, free_pieces, sheets_of, with_faces_filled
from visage.training.textures import generated

HOST = TorchHost("cpu", quiet=True)
TINY = Widths(8, 8, 16, 16, 8)
FIVE = ((40.0, 50.0), (60.0, 50.0), (50.0, 62.0), (42.0, 72.0), (58.0, 72.0))
# A face of 40 x 52 px around the points above.
FACE = LabelledFace((30.0, 34.0, 70.0, 86.0), FIVE, 3)


def tiny(seed: int = 0) -> VisageDetect:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VisageDetect(TINY, normalised=True)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2)
        nn.init.normal_(network.predict.weight)
    return network.eval()


def marked(side: int = 128) -> Tensor:
    """A picture whose only signs are bright squares at the five landmarks of ``FACE``, each in a colour of its own."""
    picture = torch.full((3, side, side), 40, dtype=torch.uint8)
    for (x, y), colour in zip(FIVE, ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)), strict=True):
        picture[:, round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3] = torch.tensor(colour)[:, None, None]
    return picture


@pytest.fixture(scope="module")
def sources() -> Sources:
    faces = sheets_of([Piece(marked(), 0, 0, 128, FACE)], 128)
    free = sheets_of([Piece(picture, 0, 0, 64) for picture in generated(7, 64, 1)], 128)
    return Sources(faces, faces, free)


def plan(**changes: object) -> DetectorPlan:
    return replace(
        DetectorPlan(CompositeRecipe(side=64, largest=60.0), batch=2, steps=6, rate=1e-3, sheet=128, widths=TINY),
        **changes,
    )


# The network and its file.


def test_maps_have_the_strides_and_fusing_changes_nothing() -> None:
    network = tiny()
    pictures = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps, fused = network(pictures), network.fused()(pictures)
    assert [tuple(one.shape) for one in maps] == [(2, 15, 64 // stride, 96 // stride) for stride in STRIDES]
    for one, other in zip(maps, fused, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.fused().modules())


def test_the_shipped_size_fits_into_three_megabytes(tmp_path: Path) -> None:
    export(VisageDetect(), LandmarkNetwork(), tmp_path / "detect.safetensors")
    assert (tmp_path / "detect.safetensors").stat().st_size <= 3_000_000


def test_a_cell_says_where_a_face_is() -> None:
    cells = cells_of(64, 96)
    assert len(cells) == sum((64 // stride) * (96 // stride) for stride in STRIDES)
    assert cells[0].tolist() == [4, 4, 8] and cells[-1].tolist() == [80, 48, 32]
    maps = [torch.zeros(1, 15, 64 // stride, 96 // stride) for stride in STRIDES]
    maps[1][0, :, 1, 2] = torch.tensor([3.0, 0.5, -0.25, 0.0, torch.tensor(2.0).log(), 0.5, -0.5, *[0.0] * 8])
    row = int(((cells == torch.tensor([40.0, 24.0, 16.0])).all(1)).nonzero())
    said = decoded(maps, cells)
    assert float(said.logits[0, row]) == 3
    # Centre (48, 20), 64 wide, 128 high: four strides are the unit.
    torch.testing.assert_close(said.boxes[0, row], torch.tensor([16.0, -44.0, 80.0, 84.0]))
    assert said.landmarks[0, row, 0].tolist() == [72, -8] and said.landmarks[0, row, 1].tolist() == [40, 24]


def test_a_file_comes_back_through_the_loader(tmp_path: Path) -> None:
    network, path = tiny(), tmp_path / "any name.safetensors"
    export(shifted(network.fused(), 0.3), None, path, steps=7)
    detector = load_detector(path, HOST)
    assert detector.proposer.resident is not None
    cascade = detector.proposer.resident.module
    assert isinstance(cascade, VisageCascade) and cascade.points is None
    loaded = cascade.detect
    assert loaded.widths == TINY
    pictures = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        given, expected = loaded(pictures), network(pictures)
    for one, other in zip(given, expected, strict=True):
        scale = float(other.abs().max())
        assert float((one - other)[:, 1:].abs().max()) < 0.01 * scale
        # A score of 0.3 is told as 0.5.
        shift = torch.logit(torch.tensor(0.3))
        assert float((one - other)[:, 0].add(shift).abs().max()) < 0.01 * scale
    frames = torch.rand(2, 50, 70, 3, generator=torch.Generator().manual_seed(3))
    faces = detector.detect(frames, DetectionSettings(confidence=0.0, working_size=64))
    assert len(faces) == 2 and all(face.landmarks is not None for face in faces[0])


@pytest.mark.parametrize("scale", [1, 2, 8])
def test_a_face_is_where_the_network_says_it_is(monkeypatch: pytest.MonkeyPatch, scale: int) -> None:
    """The proposer counts from the centre of the first pixel, the network from the edge of the picture it sees.

    That picture is the given one, and for larger faces a shrunken one, filled up with grey to whole strides.
    """
    levels = [replace(level, smallest=0.0, largest=1e9) for level in proposer_module._PYRAMID]
    others = [replace(level, smallest=1e9) for level in proposer_module._PYRAMID]
    chosen = [one if one.shrunk == scale else other for one, other in zip(levels, others, strict=True)]
    monkeypatch.setattr(proposer_module, "_PYRAMID", tuple(chosen))
    network = tiny().fused()
    pictures = torch.rand(1, 3, 160, 288, generator=torch.Generator().manual_seed(4))
    height, width = (math.ceil(side / scale / 32) * 32 for side in (160, 288))
    filled = torch.full((1, 3, height * scale, width * scale), 114 / 255)
    filled[:, :, :160, :288] = pictures
    with torch.no_grad():
        said = decoded(network(torch.nn.functional.avg_pool2d(filled, scale)), cells_of(height, width))
    best = int(said.logits[0].argmax())
    found = VisageProposer("x", VisageCascade(network, None).state_dict(), HOST).propose(pictures, 0.0, 0.4)[0]
    torch.testing.assert_close(found.boxes[0], said.boxes[0, best] * scale - 0.5, rtol=1e-3, atol=1e-2)
    assert found.landmarks is not None
    torch.testing.assert_close(found.landmarks[0], said.landmarks[0, best] * scale - 0.5, rtol=1e-3, atol=1e-2)


def test_each_look_gives_the_faces_of_its_sizes() -> None:
    network = tiny().fused()
    pictures = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(4))
    proposer = VisageProposer("x", VisageCascade(network, None).state_dict(), HOST)

    def sides(scale: int) -> Tensor:
        shrunk = torch.nn.functional.avg_pool2d(pictures, scale)
        with torch.no_grad():
            boxes = decoded(network(shrunk), cells_of(512 // scale, 512 // scale)).boxes[0] * scale
        return (boxes[:, 2:] - boxes[:, :2]).amax(1)

    smallest = {2: 45, 4: 90, 8: 180}
    expected = int((sides(1) <= 180).sum() + sum((sides(scale) >= least).sum() for scale, least in smallest.items()))
    assert all((sides(scale) >= least).any() for scale, least in smallest.items())
    # Nothing is suppressed by overlaps of up to 1; scores of 0 are no candidates.
    assert len(proposer.propose(pictures, 1e-9, 1.0)[0]) == expected


def test_a_damaged_file_is_refused() -> None:
    tensors = VisageCascade(tiny().fused(), None).state_dict()
    del tensors["detect.head.0.bias"]
    with pytest.raises(WeightsError, match=r"a\.safetensors looks like visage-detect"):
        build_visage("a.safetensors", tensors)


# Labels.


def face(left: float, score: float = 0.9, landmarks: bool = True) -> Face:
    points = tuple((x + left - 30, y) for x, y in FIVE)
    return Face((left, 34.0, left + 40, 86.0), score, landmarks=points if landmarks else None)  # type: ignore[arg-type]


def test_two_of_three_must_agree() -> None:
    label = agreed([[face(30)], [face(33), face(200, 0.5)], [face(31)]], 300, 100)
    assert [one.box for one in label.faces] == [(31.0, 34.0, 71.0, 86.0)]
    assert label.faces[0].landmarks[0] == (41.0, 50.0) and label.faces[0].found_by == 3
    assert label.doubtful == ((200.0, 34.0, 240.0, 86.0),)


def test_one_detector_cannot_agree_with_itself() -> None:
    label = agreed([[face(30), face(34, 0.8)], []], 300, 100)
    assert label.faces == () and len(label.doubtful) == 2


def test_labels_are_kept(tmp_path: Path) -> None:
    labels = {"a.png": Label(100, 90, (FACE,), ((1.0, 2.0, 3.0, 4.0),)), "b.png": Label(5, 5, ())}
    save_labels(tmp_path / "cache" / "labels.json", labels)
    assert load_labels(tmp_path / "cache" / "labels.json") == labels
    assert load_labels(tmp_path / "none.json") == {}


def test_the_detectors_label_a_real_face(data: Path, tmp_path: Path) -> None:
    """FFHQ-aligned faces have their landmarks near the template."""
    names = ("yolov8n-face.pt", "face_detection_yunet_2023mar.onnx")
    detectors = [load_detector(data / "weights" / name, HOST) for name in names]
    (tmp_path / "faces").mkdir()
    source = sorted((data / "faces512" / "val").iterdir())[0]
    (tmp_path / "faces" / source.name).symlink_to(source)
    labels = label_folder(tmp_path / "faces", tmp_path / "labels.json", detectors)
    (one,) = labels[source.name].faces
    assert float((torch.tensor(one.landmarks) - torch.tensor(FFHQ.points)).norm(dim=1).max()) < 40
    # What is in the cache is not looked at again.
    assert label_folder(tmp_path / "faces", tmp_path / "labels.json", []) == labels


# Sheets.


def test_a_sheet_keeps_the_face_in_its_place() -> None:
    picture = torch.zeros(3, 150, 200, dtype=torch.uint8)
    picture[:, :128, 60:188] = marked()
    moved = LabelledFace(
        (90.0, 34.0, 130.0, 86.0),
        tuple((x + 60, y) for x, y in FIVE),
        3,  # type: ignore[arg-type]
    )
    piece = around_face(picture, moved)
    sheets = sheets_of([piece, Piece(picture, 0, 0, 40)], 64)
    assert set(sheets.levels) == {64, 32} and sheets.boxes[1].isnan().all()
    for level, pictures in sheets.levels.items():
        places = ((sheets.landmarks[0] + 1) * level / 2).long()
        for (x, y), colour in zip(
            places.tolist(), ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1)), strict=True
        ):
            assert (pictures[0, :, y, x] > 110).tolist() == [bool(channel) for channel in colour]


def test_many_sheets_keep_their_order() -> None:
    pieces = [Piece(torch.full((3, 32, 32), number % 251, dtype=torch.uint8), 0, 0, 32) for number in range(600)]
    level = sheets_of(iter(pieces), 32).levels[32]
    assert level[:, 0, 0, 0].tolist() == [number % 251 for number in range(600)]
    assert (level == level[:, :1, :1, :1]).all()


def test_free_pieces_and_pictures_with_faces_filled_show_no_face() -> None:
    picture = torch.full((3, 500, 400), 100, dtype=torch.uint8)
    picture[:, 34:87, 150:191] = 255
    label = Label(400, 500, (replace(FACE, box=(150.0, 34.0, 190.0, 86.0)),), ((300.0, 100.0, 330.0, 140.0),))
    pieces = free_pieces(picture, label)
    assert len(pieces) == 2
    for piece in pieces:
        cut = picture[:, piece.top : piece.top + piece.side, piece.left : piece.left + piece.side]
        assert cut.shape[1:] == (piece.side, piece.side) and int(cut.max()) == 100
    assert int(with_faces_filled(picture, label).max()) <= 110


# Composites.


def test_composites_follow_from_the_seed(sources: Sources) -> None:
    recipe = CompositeRecipe(side=96)
    first, truth = composites(sources, recipe, 3, torch.Generator().manual_seed(8))
    again, same = composites(sources, recipe, 3, torch.Generator().manual_seed(8))
    other, _ = composites(sources, recipe, 3, torch.Generator().manual_seed(9))
    assert first.shape == (3, 3, 96, 96) and torch.equal(first, again) and torch.equal(truth.boxes, same.boxes)
    assert not torch.equal(first, other)
    assert float(first.min()) >= 0 and float(first.max()) <= 1


def test_the_truth_is_where_the_landmarks_are(sources: Sources) -> None:
    """The five squares keep their colours: the eye to the left of the face is the red one, or in a mirror the green."""
    recipe = CompositeRecipe(side=256, smallest=60.0, largest=120.0, scenes=0.0, grids=0.0, finish=False, most_decoys=0)
    colours = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]]).bool()
    mirrored = colours[[1, 0, 2, 4, 3]]
    checked = 0
    for seed in range(10):
        pictures, truth = composites(sources, recipe, 2, torch.Generator().manual_seed(seed))
        for picture, boxes, landmarks, present in zip(
            pictures, truth.boxes, truth.landmarks, truth.present, strict=True
        ):
            for box, points in zip(boxes[present], landmarks[present], strict=True):
                inside = ((points > 2) & (points < 253)).all()
                if not inside:
                    continue
                seen = torch.stack([picture[:, int(y), int(x)] for x, y in points.tolist()])
                if float((seen.amax(1) - seen.amin(1)).min()) < 0.35:
                    continue  # a sheet without colour, with a tint at most
                bright = seen > (seen.amax(1, keepdim=True) + seen.amin(1, keepdim=True)) / 2
                assert torch.equal(bright, colours) or torch.equal(bright, mirrored)
                assert (points > box[:2]).all() and (points < box[2:]).all()
                checked += 1
    assert checked > 6


def test_coverings_hide_parts_of_faces_and_leave_the_truth_alone(sources: Sources) -> None:
    recipe = CompositeRecipe(side=256, smallest=60.0, largest=90.0, scenes=0.0, grids=0.0, finish=False, most_decoys=0)
    hidden = kept = 0
    for seed in range(6):
        bare, truth = composites(sources, recipe, 2, torch.Generator().manual_seed(seed))
        over, same = composites(sources, replace(recipe, covered=1.0), 2, torch.Generator().manual_seed(seed))
        assert torch.equal(truth.boxes, same.boxes) and torch.equal(truth.landmarks, same.landmarks)
        changed = (bare != over).any(1)
        for number in range(2):
            points = truth.landmarks[number][truth.present[number]].reshape(-1, 2).long()
            inside = points[((points >= 0) & (points < 256)).all(1)]
            hides = changed[number, inside[:, 1], inside[:, 0]]
            hidden, kept = hidden + int(hides.sum()), kept + int((~hides).sum())
    # A part of each face, not all of it.
    assert 0.15 < hidden / (hidden + kept) < 0.7


@pytest.mark.parametrize("degrees", [0.0, 90.0, -135.0])
def test_the_axes_of_a_face_turn_with_it(degrees: float) -> None:
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = torch.tensor(FIVE) @ turn.T
    centre = (torch.tensor([55.0, 60.0]) @ turn.T).tolist()
    axes = FaceAxes.of(points, (centre[0], centre[1]), 20.0)
    assert math.degrees(axes.angle) == pytest.approx(degrees) and axes.unit == pytest.approx(22)
    assert axes.in_picture(0, 0) == pytest.approx(points[:2].mean(0).tolist(), abs=1e-4)
    assert axes.in_picture(0, 1) == pytest.approx(points[3:].mean(0).tolist(), abs=1e-4)
    assert axes.features.width == pytest.approx(20 / 22) and axes.features.middle == pytest.approx(5 / 22, abs=1e-5)
    for eye, point in zip(axes.features.eyes, points, strict=False):
        assert axes.in_picture(*eye) == pytest.approx(point.tolist(), abs=1e-4)


def test_finishing_keeps_shape_and_range() -> None:
    generator = torch.Generator().manual_seed(5)
    pictures = finished(torch.rand(24, 3, 64, 64, generator=generator), generator, torch.Generator().manual_seed(6))
    assert pictures.shape == (24, 3, 64, 64) and pictures.isfinite().all()
    assert float(pictures.min()) >= -1e-3 and float(pictures.max()) <= 1 + 1e-3


# Losses.


def truth_of(boxes: list[list[float]], ignored: int = 0) -> Truth:
    table = torch.tensor(boxes, dtype=torch.float32)[None]
    present = torch.ones(1, len(boxes), dtype=torch.bool)
    present[0, len(boxes) - ignored :] = False
    middle = (table[..., :2] + table[..., 2:]) / 2
    return Truth(table, middle[:, :, None].expand(-1, -1, 5, -1).clone(), present, ~present)


def test_cells_are_asked_for_faces_of_their_size() -> None:
    cells = cells_of(256, 256)
    truth = truth_of([[10, 10, 26, 26], [100, 100, 170, 170], [0, 60, 230, 250], [200, 10, 220, 30]], ignored=1)
    faces, free = assigned(cells, truth)
    strides = {number: set(cells[faces[0] == number, 2].tolist()) for number in range(4)}
    assert strides == {0: {8.0}, 1: {16.0}, 2: {32.0}, 3: set()}
    centre = cells[faces[0] == 0, :2] - 18
    assert float(centre.abs().max()) <= 8.4
    assert free.any() and bool(((cells[free[0], :2] >= 200) & (cells[free[0], :2] <= 220)).any(1).all())


def test_the_right_answer_costs_nothing_and_a_wrong_one_does() -> None:
    cells = cells_of(128, 128)
    truth = truth_of([[10, 10, 26, 26], [40, 40, 110, 110]])
    faces, _ = assigned(cells, truth)
    logits = torch.where(faces >= 0, 20.0, -20.0)
    boxes = truth.boxes[:, faces[0].clamp(min=0)]
    points = truth.landmarks[:, faces[0].clamp(min=0)]
    right = losses(Predictions(logits, boxes, points), cells, truth)
    assert float(right.total) < 1e-5
    assert float(losses(Predictions(logits, boxes + 3, points), cells, truth).box) > 0.05
    assert float(losses(Predictions(logits, boxes, points + 3), cells, truth).landmarks) > 0.05
    assert float(losses(Predictions(-logits, boxes, points), cells, truth).score) > 10


# The run.


def test_a_run_that_was_stopped_ends_as_one_that_was_not(sources: Sources, tmp_path: Path) -> None:
    whole = DetectorJob(plan(), sources, torch.device("cpu"))
    run(whole, tmp_path / "whole", Pace())

    class Stopped(DetectorJob):
        def step(self, number: int):  # type: ignore[no-untyped-def]
            if number == 3:
                raise KeyboardInterrupt
            return super().step(number)

    first = Stopped(plan(), sources, torch.device("cpu"))
    with pytest.raises(KeyboardInterrupt):
        run(first, tmp_path / "parts", Pace(save_minutes=0))
    second = DetectorJob(plan(), sources, torch.device("cpu"))
    assert run(second, tmp_path / "parts", Pace()) == 6
    for one, other in ((whole.network, second.network), (whole.average.module, second.average.module)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="batch"):
        run(DetectorJob(plan(batch=3), sources, torch.device("cpu")), tmp_path / "parts", Pace())


def test_a_short_run_learns(sources: Sources) -> None:
    """One batch by heart."""

    class Same(DetectorJob):
        def pictures(self, seed: int, number: int) -> tuple[Tensor, Truth]:
            return super().pictures(seed, 0)

    recipe = CompositeRecipe(side=64, smallest=20.0, largest=50.0, grids=0.0, scenes=1.0)
    job = Same(plan(recipe=recipe, batch=3, steps=40, rate=1e-2, warm_up=5), sources, torch.device("cpu"))
    totals = [float(job.step(number)["loss"]) for number in range(40)]
    assert totals[-1] < 0.7 * totals[0]
    with torch.no_grad():
        assert all(one.isfinite().all() for one in job.finished()(torch.rand(1, 3, 64, 64)))


# Measuring.


def scene(*faces: LabelledFace, ignored: tuple[tuple[float, float, float, float], ...] = ()) -> Scene:
    return Scene(torch.zeros(100, 260, 3), faces, ignored)


def test_each_true_face_is_found_once() -> None:
    found = [face(30, 0.9), face(31, 0.8), face(200, 0.7), face(120, 0.6)]
    matches = matched(scene(FACE, ignored=((120.0, 34.0, 160.0, 86.0),)), found, 16)
    assert [(one.score, one.truth is not None) for one in matches] == [(0.9, True), (0.8, False), (0.7, False)]
    assert matches[0].landmark_error == pytest.approx(0)
    assert matched(scene(FACE), found[:1], 64) == []


def test_recall_at_a_precision() -> None:
    scenes = [scene(FACE) for _ in range(40)]
    found = [[face(30, 0.9 - number / 100)] for number in range(38)] + [[face(200, 0.6)], [face(33, 0.3)]]
    usual = [*found[:39], []]
    scores = scored(scenes, found, usual)
    # The false alarm is one of forty: below one in twenty, so that all that is right counts.
    assert scores.faces == 40 and scores.recall == pytest.approx(39 / 40) and scores.threshold == 0.3
    assert scores.rolled_recall is None and scores.landmark_error == pytest.approx(0.15 / 39)
    # 38 reach the usual 0.5, and so does the false alarm.
    assert scores.usual_recall == pytest.approx(38 / 40) and scores.usual_false == 1
    worse = scored(scenes[:10], [[face(200, 0.95), face(30, 0.9)], *found[1:10]], usual[:10])
    assert worse.recall == 0 and worse.threshold == 1


def test_a_portrait_is_cut_close_around_its_face() -> None:
    """Each landmark keeps its colour: the scene moves with the pixels."""
    picture = marked().permute(1, 2, 0) / 255
    close = cut_close(Scene(picture, (FACE,)), 0.1)
    # 0.1 of a box of 40 x 52 less at every side: 32 x 42, enlarged to 512.
    assert close.picture.shape == (512, 390, 3)
    (face,) = close.faces
    for there, before in zip(face.landmarks, FACE.landmarks, strict=True):
        colour, same = (scene[round(y), round(x)] for scene, (x, y) in ((close.picture, there), (picture, before)))
        torch.testing.assert_close(colour, same, atol=0.1, rtol=0)
    assert face.box[0] < 0 and face.box[3] > 512


def test_a_portrait_is_blurred_in_relation_to_its_face() -> None:
    edge = torch.zeros(128, 128, 3)
    edge[:, 64:] = 1
    soft = blurred(Scene(edge, (FACE,)), 0.1)
    # The share of a Gaussian of 5.2 pixels that lies on the other side of an edge 5 pixels away.
    expected = 0.5 - 0.5 * math.erf(4.5 / 5.2 / math.sqrt(2))
    assert float(soft.picture[64, 59, 0]) == pytest.approx(expected, abs=0.01)
    assert soft.faces == (FACE,)


def test_masks_bars_and_dark_glasses_hide_what_they_are_named_for() -> None:
    plain = Scene(marked().permute(1, 2, 0) / 255, (FACE,))
    hidden = {"mask": masked(plain, 0), "bar": eyes_barred(plain), "glasses": in_dark_glasses(plain)}
    for name, scene in hidden.items():
        changed = [
            bool((scene.picture[round(y), round(x)] - plain.picture[round(y), round(x)]).abs().max() > 0.1)
            for x, y in FIVE
        ]
        assert changed == ([False, False, True, True, True] if name == "mask" else [True, True, False, False, False])
        assert scene.faces == (FACE,) and scene.picture.shape == plain.picture.shape
    assert not torch.equal(masked(plain, 1).picture, hidden["mask"].picture)


def test_the_table_and_the_sheet_are_written() -> None:
    sets, empty = {"some": [scene(FACE)] * 2}, [scene()] * 3
    usual = {"some": [[face(30)], []], "": [[], [face(10, 0.6)], []]}
    result = measured("x.pt", sets, empty, {"some": [[face(30)], []]}, usual)
    text = table([result])
    assert "| x.pt | some, 32 px | 2 | 0.500 |" in text and "| 0.500 | 0 |" in text and "| x.pt | 1 | 3 |" in text
    sheet = contact_sheet([[(sets["some"][0], [face(30)])] * 2, [(empty[0], [])]])
    assert sheet.shape[0] == 2 * 328 and sheet[:, :, 0].min() >= 0
