"""MTCNN: its networks against facenet-pytorch's, the steps between them, and its three files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from visage.models.detectors import DetectionSettings, load_detector
from visage.models.detectors.area_sums import parts_of, shrunk, sums_of
from visage.models.detectors.mtcnn import MtcnnProposer
from visage.models.detectors.mtcnn_boxes import Boxes, uncontained
from visage.models.detectors.mtcnn_networks import build_mtcnn
from visage.models.host import TorchHost
from visage.models.locations import find_weights
from visage.models.weights import WeightsError
from visage.tests.parity import recipe

HOST = TorchHost("cpu", quiet=True)
FINGERPRINT = json.loads((Path(__file__).with_name("fingerprints") / "mtcnn.json").read_text())
PARTS = ("pnet", "rnet", "onet")


def random_weights() -> dict[str, dict[str, Tensor]]:
    """The tensors of each network, as in its file."""
    networks = FINGERPRINT["networks"]
    return {part: recipe.weights(networks[part]["shapes"], FINGERPRINT["seed"], {}) for part in PARTS}


def together(parts: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{part}.{name}": value for part, tensors in parts.items() for name, value in tensors.items()}


@pytest.fixture(scope="module")
def proposer() -> MtcnnProposer:
    """With random weights, whose scores are spread around a half."""
    return MtcnnProposer("random", together(random_weights()), HOST)


@pytest.mark.parametrize("part", PARTS)
def test_networks_give_what_facenet_pytorchs_gave(part: str) -> None:
    known = FINGERPRINT["networks"][part]
    cascade = build_mtcnn("test", together(random_weights()))
    network = getattr(cascade, part)
    assert {name: list(value.shape) for name, value in network.state_dict().items()} == known["shapes"]
    with torch.no_grad():
        output = network(recipe.uniform(part, known["input"], FINGERPRINT["seed"]) / 2)
    flat = torch.cat([values.flatten() for values in output])
    assert torch.allclose(flat[known["positions"]], torch.tensor(known["values"]), atol=1e-5)


def test_parts_are_shrunk_and_enlarged_as_by_area(generator: torch.Generator) -> None:
    pictures = torch.rand(2, 3, 90, 120, generator=generator)
    pixels = torch.tensor([[0, 0, 120, 90], [10, 20, 11, 21], [5, 7, 29, 31], [100, 80, 120, 90], [3, 3, 50, 77]])
    index = torch.tensor([0, 1, 1, 0, 1])
    parts = parts_of(sums_of(pictures), index, pixels[:, :2], pixels[:, 2:], 24)
    for part, picture, (left, top, right, bottom) in zip(parts, index.tolist(), pixels.tolist(), strict=True):
        expected = F.interpolate(pictures[picture : picture + 1, :, top:bottom, left:right], (24, 24), mode="area")[0]
        assert torch.allclose(part, expected, atol=1e-6)


@pytest.mark.parametrize("size", [(54, 72), (53, 71), (1, 120), (90, 3), (7, 9), (90, 120)])
def test_pictures_are_shrunk_as_by_area(size: tuple[int, int], generator: torch.Generator) -> None:
    pictures = torch.rand(2, 3, 90, 120, generator=generator)
    assert torch.allclose(shrunk(sums_of(pictures), *size), F.interpolate(pictures, size, mode="area"), atol=1e-6)


def boxes_of(corners: list[list[float]]) -> Boxes:
    table = torch.tensor(corners)
    count = len(table)
    return Boxes(torch.zeros(count, dtype=torch.int64), table, torch.ones(count), torch.full((count, 4), 0.5))


def test_boxes_become_squares_of_whole_pixels_within_the_picture() -> None:
    boxes = boxes_of([[10.0, 10.0, 30.0, 20.0], [-5.7, 3.2, 6.3, 15.2], [200.0, 5.0, 220.0, 25.0]])
    square = boxes.square()
    assert square.corners[0].tolist() == [10.0, 5.0, 30.0, 25.0]
    seen = square.seen(40, 100)
    assert seen.corners.tolist() == [[10, 5, 30, 25], [1, 3, 6, 15]]


def test_corners_move_by_shares_of_the_sides() -> None:
    boxes = boxes_of([[10.0, 10.0, 30.0, 20.0]])
    assert boxes.moved(0).corners.tolist() == [[20.0, 15.0, 40.0, 25.0]]
    assert boxes.moved(1).corners.tolist() == [[20.5, 15.5, 40.5, 25.5]]


def test_of_boxes_within_each_other_the_better_stays() -> None:
    corners = torch.tensor([[10.0, 10, 50, 50], [20, 20, 40, 40], [0, 0, 60, 60], [45, 45, 80, 80], [100, 0, 120, 20]])
    assert uncontained(corners, 0.7).tolist() == [0, 3, 4]
    assert uncontained(corners[:0], 0.7).tolist() == []
    # 21 of 41 columns are those of both.
    halves = torch.tensor([[10.0, 10, 50, 50], [30, 10, 70, 50]])
    assert uncontained(halves, 0.52).tolist() == [0, 1]
    assert uncontained(halves, 0.51).tolist() == [0]


def test_only_the_best_of_each_picture_go_on() -> None:
    table = torch.arange(24.0).view(6, 4)
    boxes = Boxes(torch.tensor([1, 0, 1, 1, 0, 0]), table, torch.linspace(1, 0, 6), table)
    assert boxes.best(2, 3).corners[:, 0].tolist() == [0, 4, 8, 16]


def test_pictures_do_not_act_on_each_other(proposer: MtcnnProposer, generator: torch.Generator) -> None:
    pictures = torch.rand(3, 3, 90, 70, generator=generator)
    found = proposer.propose(pictures, 0.0, 1.0)
    assert all(len(candidates) > 5 for candidates in found)
    for one, two in zip(found, proposer.propose(pictures, 0.0, 1.0), strict=True):
        assert torch.equal(one.boxes, two.boxes)
    for picture, candidates in zip(pictures, found, strict=True):
        (alone,) = proposer.propose(picture[None], 0.0, 1.0)
        assert torch.allclose(alone.boxes, candidates.boxes, atol=1e-2)
        assert torch.allclose(alone.scores, candidates.scores, atol=1e-5)
        assert bool((candidates.scores.diff() <= 0).all())


def test_score_and_overlap_limit_what_is_given(proposer: MtcnnProposer, generator: torch.Generator) -> None:
    picture = torch.rand(1, 3, 90, 70, generator=generator)
    (everything,) = proposer.propose(picture, 0.0, 1.0)
    least = float(everything.scores.median())
    (surer,) = proposer.propose(picture, least, 1.0)
    assert 0 < len(surer) < len(everything)
    assert bool((surer.scores >= least).all())
    (apart,) = proposer.propose(picture, 0.0, 0.2)
    assert len(apart) < len(everything)


@pytest.mark.parametrize("size", [(1, 1), (19, 400), (400, 19), (20, 20)])
def test_pictures_without_room_for_a_face(proposer: MtcnnProposer, size: tuple[int, int]) -> None:
    (found,) = proposer.propose(torch.zeros(1, 3, *size), 0.5, 0.4)
    assert found.boxes.shape == (len(found), 4)
    assert found.landmarks is not None
    assert found.landmarks.shape == (len(found), 5, 2)


# Files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, tensors in random_weights().items():
        torch.save(tensors, tmp_path / f"{part}.pt")
    return tmp_path


def weights_in(path: Path) -> dict[str, Tensor]:
    detector = load_detector(path, HOST)
    assert (detector.name, detector.proposer.labels) == (path.name, ("face",))
    assert detector.proposer.resident is not None
    return detector.proposer.resident.module.state_dict()


@pytest.mark.parametrize("part", PARTS)
def test_any_of_the_three_files_stands_for_all(folder: Path, part: str) -> None:
    expected = together(random_weights())
    found = weights_in(folder / f"{part}.pt")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_names_may_have_more_to_them_and_files_may_be_safetensors(tmp_path: Path) -> None:
    for part, tensors in random_weights().items():
        save_file(tensors, tmp_path / f"MTCNN_{part.upper()}-v2.safetensors")
    assert len(weights_in(tmp_path / "MTCNN_RNET-v2.safetensors")) == len(together(random_weights()))


def test_all_three_may_be_one_file(tmp_path: Path) -> None:
    torch.save(together(random_weights()), tmp_path / "whole.pt")
    assert len(weights_in(tmp_path / "whole.pt")) == len(together(random_weights()))


def test_what_is_wrong_with_the_files_is_told(folder: Path) -> None:
    (folder / "onet.pt").rename(folder / "third.pt")
    for given in ("pnet.pt", "third.pt"):
        with pytest.raises(WeightsError, match=rf"{given}.* is one of the three networks of MTCNN. Put the other two"):
            load_detector(folder / given, HOST)
    torch.save(random_weights()["rnet"], folder / "onet.pt")
    with pytest.raises(WeightsError, match=r"onet\.pt, beside pnet\.pt, is not the onet of MTCNN"):
        load_detector(folder / "pnet.pt", HOST)
    (folder / "onet.pt").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"onet\.pt is empty"):
        load_detector(folder / "pnet.pt", HOST)
    damaged = random_weights()
    damaged["pnet"]["conv1.weight"] = torch.zeros(1)
    torch.save(together(damaged), folder / "whole.pt")
    with pytest.raises(WeightsError, match=r"whole\.pt looks like MTCNN, but tensors are missing"):
        load_detector(folder / "whole.pt", HOST)


# What facenet-pytorch 2.6.0 finds in a photograph with six faces at a least score of 0.5, its own weights in it: boxes
# in its way, and two of the landmarks, an eye and a corner of the mouth.
THEIRS = (
    ((277.3, 171.2, 324.5, 230.4), (289.7, 195.4), (310.8, 216.3)),
    ((56.5, 150.7, 96.9, 203.8), (71.6, 170.7), (88.3, 190.3)),
    ((184.5, 82.5, 214.3, 121.6), (190.2, 98.7), (205.3, 111.1)),
    ((238.2, 68.2, 274.6, 114.2), (246.2, 89.4), (265.1, 101.0)),
    ((153.4, 167.0, 182.7, 202.0), (160.2, 180.0), (174.8, 191.8)),
    ((327.6, 47.0, 369.9, 101.7), (338.3, 67.8), (358.1, 86.9)),
)


@pytest.fixture(scope="module")
def official(data: Path) -> Path:
    """The official ``pnet.pt`` with the other two beside it: in the development data, or where Visage looks for it."""
    try:
        return find_weights("pnet.pt", "detector", [data / "weights"])
    except FileNotFoundError:
        pytest.skip("needs facenet-pytorch's pnet.pt, rnet.pt and onet.pt (`visage models get mtcnn-pnet ...`)")


def test_official_weights_find_the_faces_that_facenet_pytorch_finds(official: Path, data: Path) -> None:
    import cv2

    levels = cv2.imread(str(data / "photos" / "dlib_faces" / "2008_002470.jpg"))[:, :, ::-1].copy()
    frame = torch.from_numpy(levels)[None].float() / 255
    proposer: Any = load_detector(official, HOST).proposer
    (found,) = proposer.propose(frame.movedim(-1, 1), 0.5, 0.4)
    assert len(found) == len(THEIRS)
    for box, eye, mouth in THEIRS:
        # Theirs count pixels from 1 and name the last one; landmarks lie half a pixel further on.
        edges = torch.tensor(box) - torch.tensor((1.5, 1.5, 0.5, 0.5))
        near = int((found.boxes - edges).abs().sum(1).argmin())
        assert float((found.boxes[near] - edges).abs().max()) < 2.5
        assert found.landmarks is not None
        points = torch.stack((found.landmarks[near, 0], found.landmarks[near, 4]))
        assert float((points + 0.5 - torch.tensor((eye, mouth))).abs().max()) < 1.7
    assert len(load_detector(official, HOST).detect(frame, DetectionSettings())[0]) == len(THEIRS)
