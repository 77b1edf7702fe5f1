"""What becomes of networks that give numbers that are none: they must not pass for pictures without faces."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from visage.models import builtin
from visage.models.detectors import Detector, load_detector
from visage.models.detectors.mtcnn import MtcnnProposer
from visage.models.host import TorchHost
from visage.models.inference import InvalidOutputError

from .test_detectors_mtcnn import random_weights, together


def built_in(_: pytest.FixtureRequest) -> Detector:
    return load_detector(builtin.FOLDER / f"{builtin.DETECTOR}.safetensors", TorchHost("cpu", quiet=True))


def mtcnn(_: pytest.FixtureRequest) -> Detector:
    host = TorchHost("cpu", quiet=True)
    return Detector(MtcnnProposer("pnet.pt", together(random_weights()), host), host)


def real(name: str) -> Callable[[pytest.FixtureRequest], Detector]:
    def load(request: pytest.FixtureRequest) -> Detector:
        data: Path = request.getfixturevalue("data")
        return load_detector(data / "weights" / name, TorchHost("cpu", quiet=True))

    return load


KINDS = {
    "built-in": built_in,
    "MTCNN": mtcnn,
    "RetinaFace": real("detection_mobilenet0.25_Final.pth"),
    "YOLO": real("face_yolov8n.pt"),
    "YOLO that segments": real("yolov8n-seg.pt"),
}


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_none_are_no_empty_picture(kind: str, wrong: float, request: pytest.FixtureRequest) -> None:
    detector = KINDS[kind](request)
    resident = detector.proposer.resident
    assert resident is not None
    first = next(module for module in resident.module.modules() if isinstance(module, nn.Conv2d))
    first.weight.data.fill_(wrong)
    with pytest.raises(InvalidOutputError, match=f"{detector.name}|MTCNN"):
        detector.detect(torch.rand(2, 96, 128, 3, generator=torch.Generator().manual_seed(1)))


def test_the_second_network_of_the_built_in_one_is_looked_at_too() -> None:
    from visage.models.detectors.visage_judge import judged

    from .test_visage_judge import PICTURES, Certain, Sees, candidates

    with pytest.raises(InvalidOutputError, match="second network of visage-detect"):
        judged(Sees(0.0), Certain([math.nan]), PICTURES[:1], [candidates(0.9)], 0.5)
