"""Trainings that go on from finished networks, and what a detector mistakes for faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from visage.faces.face import Box, Face
from visage.models.detectors import DetectionSettings
from visage.models.detectors.visage import VisageDetect
from visage.models.detectors.visage_landmarks import SIDE
from visage.models.detectors.visage_proposer import VisageProposer
from visage.training import labels as labels_module
from visage.training import landmarks as landmarks_module
from visage.training import mistaken as mistaken_module
from visage.training.composites import Sources
from visage.training.detector import DetectorJob
from visage.training.detector_export import export
from visage.training.labels import Label, save_labels
from visage.training.landmarks import LandmarkJob
from visage.training.mistaken import mistaken
from visage.training.sources import FACES, PORTRAITS, training_sources
from visage.training.textures import written
from visage.training.unfused import unfused_into

from .test_training_detector import FACE, TINY, marked, plan, sources, tiny
from .test_training_landmarks import finder, stirred
from .test_training_landmarks import plan as second_plan

__all__ = ["finder", "sources"]
CPU = torch.device("cpu")


def inputs(side: int, seed: int = 1) -> Tensor:
    return torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(seed))


# From finished networks to ones that can be trained.


def test_a_finished_network_is_the_same_when_it_is_trained_again() -> None:
    plain, trained = tiny().fused(), VisageDetect(TINY, normalised=True)
    unfused_into(trained, plain, [inputs(64), inputs(64, 2)])
    pictures = inputs(96, 3)
    for expected, given in zip(plain(pictures), trained.eval()(pictures), strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-3)
    # The statistics are those of the pictures: a step of training sees nearly the same function.
    norm = trained.get_submodule("stem.1")
    assert isinstance(norm, nn.BatchNorm2d)
    before = norm.running_mean.clone() if norm.running_mean is not None else torch.zeros(0)
    trained.train()(torch.cat([inputs(64), inputs(64, 2)]))
    torch.testing.assert_close(norm.running_mean, before, rtol=0, atol=1e-3)


def test_both_jobs_go_on_from_finished_networks(sources: Sources, finder: VisageProposer) -> None:
    first = DetectorJob(plan(), sources, CPU)
    network = tiny(5).fused()
    first.go_on_from(network)
    pictures = inputs(64)
    with torch.no_grad():
        for expected, given in zip(network(pictures), first.average.module.eval()(pictures), strict=True):
            torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-3)
    second = LandmarkJob(second_plan(2), sources, finder, CPU)
    points = stirred(5).fused()
    second.go_on_from(points)
    views = inputs(SIDE)
    with torch.no_grad():
        for expected, given in zip(points(views), second.network.eval()(views), strict=True):
            torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-3)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert float(sum(second.step(0).values())) > 0


def test_the_second_training_begins_with_a_run_or_a_file(
    sources: Sources, finder: VisageProposer, tmp_path: Path
) -> None:
    job = LandmarkJob(second_plan(2), sources, finder, CPU)
    export(tiny().fused(), stirred(5).fused(), tmp_path / "both.safetensors")
    landmarks_module._begin(job, tmp_path / "both.safetensors")
    views = inputs(SIDE)
    with torch.no_grad():
        for expected, given in zip(stirred(5)(views), job.network.eval()(views), strict=True):
            torch.testing.assert_close(given, expected, rtol=0.02, atol=0.1)
    export(tiny().fused(), None, tmp_path / "first.safetensors")
    with pytest.raises(SystemExit, match=r"first\.safetensors holds the first network only"):
        landmarks_module._begin(job, tmp_path / "first.safetensors")


# What is mistaken for a face.


@dataclass
class Seer:
    """Stands in for a detector: says of each bright spot of a picture that it is a face, as bright as it is sure."""

    shown: list[tuple[int, ...]] = field(default_factory=list)

    def detect(self, frames: Tensor, settings: DetectionSettings) -> list[list[Face]]:
        assert frames.shape == (1, 640, 640, 3)
        self.shown.append(tuple((frames[0, ..., 2] != 0.5).nonzero().amax(0).tolist()))
        places = (frames[0, ..., 0] > 0.6).nonzero()
        faces, taken = [], torch.zeros(0, 2)
        for place in places:
            if not len(taken) or float((taken - place).abs().amax(1).min()) > 30:
                taken = torch.cat([taken, place[None].float()])
                y, x = place.tolist()
                box: Box = (x, y, x + 20.0, y + 20.0)
                faces.append(Face(box, float(frames[0, y, x, 0]), "face", None))
        return [[face for face in faces if face.score >= settings.confidence]]


def spotted(height: int, width: int, spots: Sequence[tuple[int, int, int]]) -> Tensor:
    """A dark picture with bright squares of 20 pixels: row, column, brightness."""
    picture = torch.full((3, height, width), 30, dtype=torch.uint8)
    for y, x, brightness in spots:
        picture[:, y : y + 20, x : x + 20] = brightness
    return picture


def test_what_is_taken_for_a_face_is_cut_out_the_surest_first() -> None:
    picture = spotted(150, 180, [(40, 50, 200), (100, 140, 250)])
    pieces = list(mistaken(picture, None, Seer(), 0.3))
    assert [piece.shape for piece in pieces] == [(3, 60, 60)] * 2
    # The spot lies in the middle, but where the picture ends.
    torch.testing.assert_close(pieces[1], picture[:, 20:80, 30:90])
    torch.testing.assert_close(pieces[0], picture[:, 80:140, 120:180])
    assert not list(mistaken(picture, None, Seer(), 0.99))


def test_pictures_are_looked_at_in_several_sizes_and_no_more_of_one_than_six() -> None:
    seer = Seer()
    pieces = list(mistaken(spotted(500, 400, [(60 * row, 80, 200 + row) for row in range(8)]), None, seer, 0.3))
    assert len(pieces) == 6
    assert seer.shown == [(499, 399), (249, 199), (124, 99)]
    large = Seer()
    list(mistaken(spotted(300, 900, []), None, large, 0.3))
    assert large.shown == [(149, 449)]


def test_true_faces_are_not_cut_out() -> None:
    picture = spotted(100, 100, [(40, 40, 250)])
    label = Label(100, 100, (), ((30.0, 30.0, 55.0, 55.0),))
    assert not list(mistaken(picture, label, Seer(), 0.3))
    assert list(mistaken(picture, Label(100, 100, (), ((0.0, 0.0, 20.0, 20.0),)), Seer(), 0.3))


def test_the_command_writes_pieces_that_a_training_takes(tmp_path: Path) -> None:
    network = tiny().fused()
    network.predict.weight[0], network.predict.bias[0] = 0, 2  # sees faces everywhere
    export(network, None, tmp_path / "first.safetensors")
    for folder in (FACES, PORTRAITS, "empty"):
        mistaken_module._write(tmp_path / folder / "one.png", marked())
    mistaken_module.main(
        [
            *("--detector", str(tmp_path / "first.safetensors"), "--pictures", str(tmp_path / "empty")),
            *("--out", str(tmp_path / "out")),
        ]
    )
    pieces = sorted((tmp_path / "out" / "pieces").iterdir())
    assert 0 < len(pieces) <= 6 and (tmp_path / "out" / "contact.jpg").is_file()

    for folder in (FACES, PORTRAITS):
        label = Label(128, 128, (FACE,))
        save_labels(labels_module.labels_file(folder, tmp_path / "cache"), {"one.png": label})
    usual = training_sources(tmp_path, 64, cache=tmp_path / "cache")
    more = training_sources(tmp_path, 64, without_faces=[tmp_path / "out" / "pieces"], cache=tmp_path / "cache")
    assert len(more.free) == len(usual.free) + len(pieces)
    assert more.free.boxes[-len(pieces) :].isnan().all() and len(more.faces) == len(usual.faces)


def test_writing_follows_from_the_seed_and_shows_letters() -> None:
    pages = written(6, 64, 3)
    assert pages.shape == (6, 3, 64, 64) and pages.dtype == torch.uint8
    assert torch.equal(pages[:2], written(2, 64, 3)) and not torch.equal(pages[:2], written(2, 64, 4))
    assert (pages.float().std((1, 2, 3)) > 8).all()
