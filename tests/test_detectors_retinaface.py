"""RetinaFace's tensor code against facexlib's own, with the same networks."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.models.detectors import DetectionSettings, load_detector
from visage.models.detectors.retinaface import RetinaFaceProposer, anchors_for, build_retinaface, retinaface_backbone
from visage.models.host import TorchHost
from visage.models.weights import read_weights

HOST = TorchHost("cpu", quiet=True)


def facexlib_network(backbone: str) -> Any:
    from facexlib.detection.retinaface import RetinaFace

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RetinaFace(backbone, device="cpu").eval()


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (1, 1), (100, 20)])
def test_anchors_equal_facexlib(size: tuple[int, int]) -> None:
    from facexlib.detection.retinaface import generate_config
    from facexlib.detection.retinaface_utils import PriorBox

    height, width = size
    theirs = PriorBox(generate_config("mobile0.25"), size).forward() * torch.tensor([width, height, width, height])
    ours = anchors_for(*size)
    assert torch.allclose(ours[:, :2], theirs[:, :2], atol=1e-4)
    assert torch.allclose(ours[:, 2:].expand(-1, 2), theirs[:, 2:], atol=1e-4)


def assert_same_faces(network: Any, picture: Tensor, proposer: RetinaFaceProposer, floor: float) -> int:
    """facexlib takes BGR levels and gives rows of box, score and landmarks from the edge of the picture."""
    with torch.no_grad():
        rows = torch.from_numpy(network.detect_faces((picture.flip(0) * 255).permute(1, 2, 0).numpy(), floor, 0.4))
    (found,) = proposer.propose(picture[None], floor, 0.4)
    assert found.landmarks is not None
    ours = torch.cat((found.boxes + 0.5, found.scores[:, None], found.landmarks.view(-1, 10) + 0.5), 1)
    assert ours.shape == rows.shape
    assert torch.allclose(ours, rows.to(ours.dtype), atol=5e-3, rtol=1e-4)
    return len(rows)


def test_mobilenet_on_a_photograph(data: Path) -> None:
    import cv2

    tensors = read_weights(data / "weights" / "detection_mobilenet0.25_Final.pth").tensors
    network = facexlib_network("mobile0.25")
    network.load_state_dict(tensors)
    proposer = RetinaFaceProposer("test", "mobile0.25", tensors, HOST)
    picture = cv2.imread(str(data / "photos" / "dlib_faces" / "2008_002079.jpg"))[:, :, ::-1].copy()
    assert assert_same_faces(network, torch.from_numpy(picture).permute(2, 0, 1).float() / 255, proposer, 0.1) > 6


def test_resnet50_with_random_weights(generator: torch.Generator) -> None:
    torch.manual_seed(5)
    network = facexlib_network("resnet50")
    tensors = network.state_dict()
    # The features of a random backbone are so large that every score is 0 or 1; small heads make scores that differ.
    for name in tensors:
        if "Head" in name and name.endswith("weight"):
            tensors[name] *= 0.01
    network.load_state_dict(tensors)
    assert retinaface_backbone(tensors) == "resnet50"
    proposer = RetinaFaceProposer("test", "resnet50", {name: value.clone() for name, value in tensors.items()}, HOST)
    assert assert_same_faces(network, torch.rand(3, 150, 203, generator=generator), proposer, 0.6) > 50


def test_batches_of_pictures(generator: torch.Generator) -> None:
    torch.manual_seed(5)
    network = facexlib_network("mobile0.25")
    proposer = RetinaFaceProposer("test", "mobile0.25", network.state_dict(), HOST)
    pictures = torch.rand(3, 3, 70, 50, generator=generator)
    together = proposer.propose(pictures, 0.5, 0.4)
    for picture, found in zip(pictures, together, strict=True):
        (alone,) = proposer.propose(picture[None], 0.5, 0.4)
        assert torch.allclose(alone.boxes, found.boxes, atol=1e-4)


def test_prefixes_of_parallel_training_are_taken_off(tmp_path: Path) -> None:
    torch.manual_seed(5)
    tensors = facexlib_network("mobile0.25").state_dict()
    torch.save({f"module.{name}": value for name, value in tensors.items()}, tmp_path / "net.pth")
    detector = load_detector(tmp_path / "net.pth", HOST)
    assert detector.proposer.labels == ("face",)
    assert detector.detect(torch.rand(1, 30, 40, 3), DetectionSettings(confidence=1.0)) == [[]]


def test_building_draws_no_random_numbers() -> None:
    network = facexlib_network("mobile0.25")
    before = torch.get_rng_state()
    build_retinaface("test", "mobile0.25", network.state_dict())
    assert torch.equal(torch.get_rng_state(), before)


def test_keys_tell_the_backbone(data: Path) -> None:
    assert retinaface_backbone(read_weights(data / "weights" / "realesr-general-x4v3.pth").tensors) is None
    assert retinaface_backbone({"body.stage1.0.0.weight": torch.zeros(1)}) is None
