"""Trainings that go on from finished networks, what a detector mistakes for faces, and pictures of things."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from visage.faces.face import Box, Face
from visage.models.detectors import DetectionSettings
from visage.models.detectors.visage_finder import VisageDetect, cells_of, decoded
from visage.models.detectors.visage_landmarks import FRAMING
from visage.models.detectors.visage_proposer import VisageProposer, build_visage
from visage.models.weights import read_weights
from visage.training import labels as labels_module
from visage.training import landmarks as landmarks_module
from visage.training import mistaken as mistaken_module
from visage.training import soup
from visage.training import things as things_module
from visage.training.composites import Sources
from visage.training.contact import cell, write_contact, write_picture
from visage.training.detector import DetectorJob
from visage.training.detector_export import export
from visage.training.labels import Label, save_labels
from visage.training.landmarks import LandmarkJob
from visage.training.mistaken import mistaken
from visage.training.pictures import read_picture
from visage.training.sources import FACES, PORTRAITS, NoLabelsError, training_sources
from visage.training.textures import written
from visage.training.things import pictures_in, shows_a_face, thing, without_repetitions
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
    views = inputs(FRAMING.side)
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
    views = inputs(FRAMING.side)
    with torch.no_grad():
        for expected, given in zip(stirred(5)(views), job.network.eval()(views), strict=True):
            torch.testing.assert_close(given, expected, rtol=0.02, atol=0.1)
    export(tiny().fused(), None, tmp_path / "first.safetensors")
    with pytest.raises(SystemExit, match=r"first\.safetensors holds the first network only"):
        landmarks_module._begin(job, tmp_path / "first.safetensors")


def test_the_soup_has_the_mean_weights_of_first_networks_and_one_second_network(tmp_path: Path) -> None:
    for number in (1, 2):
        export(tiny(number).fused(), None, tmp_path / f"{number}.safetensors", steps=number)
    export(tiny(3).fused(), stirred(5).fused(), tmp_path / "both.safetensors")
    files = [str(tmp_path / f"{number}.safetensors") for number in (1, 2)]
    soup.main([*files, "--landmarks", str(tmp_path / "both.safetensors"), "--export", str(tmp_path / "a.safetensors")])
    made, one, two, both = (read_weights(tmp_path / f"{name}.safetensors") for name in ("a", "1", "2", "both"))
    assert made.metadata["steps"] == "2"
    for name, tensor in made.tensors.items():
        is_first = name.startswith("detect.")
        expected = (one.tensors[name].float() + two.tensors[name].float()) / 2 if is_first else both.tensors[name]
        torch.testing.assert_close(tensor.float(), expected.float(), rtol=1e-3, atol=1e-3)


def test_the_soup_gives_its_threshold_as_a_half(tmp_path: Path) -> None:
    export(tiny().fused(), stirred(5).fused(), tmp_path / "both.safetensors")
    both, made = str(tmp_path / "both.safetensors"), tmp_path / "made.safetensors"
    soup.main([both, both, "--landmarks", both, "--threshold", "0.75", "--export", str(made)])
    cells = cells_of(64, 64)
    with torch.no_grad():
        before, after = (
            decoded(build_visage(path.name, read_weights(path).tensors).detect(inputs(64)), cells)
            for path in (Path(both), made)
        )
    # The odds of 0.75 are three to one.
    torch.testing.assert_close(after.logits, before.logits - math.log(3), rtol=1e-3, atol=2e-2)
    torch.testing.assert_close(after.boxes, before.boxes, rtol=1e-3, atol=1e-2)


def test_the_soup_needs_a_second_network(tmp_path: Path) -> None:
    export(tiny().fused(), None, tmp_path / "first.safetensors")
    first = str(tmp_path / "first.safetensors")
    with pytest.raises(SystemExit, match=r"first\.safetensors holds the first network only"):
        soup.main([first, "--landmarks", first, "--export", str(tmp_path / "made.safetensors")])
    assert not (tmp_path / "made.safetensors").exists()


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
        write_picture(tmp_path / folder / "one.png", marked())
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


def test_without_labels_nothing_is_taken_for_labelled(tmp_path: Path) -> None:
    export(tiny().fused(), None, tmp_path / "first.safetensors")
    write_picture(tmp_path / "in" / "one.png", marked())
    places = ("--detector", str(tmp_path / "first.safetensors"), "--pictures", str(tmp_path / "in"))
    with pytest.raises(NoLabelsError, match="no labels of nowhere/at/all"):
        mistaken_module.main([*places, "--labelled", "nowhere/at/all", "--out", str(tmp_path / "out")])


def test_writing_follows_from_the_seed_and_shows_letters() -> None:
    pages = written(6, 64, 3)
    assert pages.shape == (6, 3, 64, 64) and pages.dtype == torch.uint8
    assert torch.equal(pages[:2], written(2, 64, 3)) and not torch.equal(pages[:2], written(2, 64, 4))
    assert (pages.float().std((1, 2, 3)) > 8).all()


# Pictures of things.


def stone(side: int = 200, seed: int = 0) -> Tensor:
    small = torch.randint(60, 220, (3, 8, 8), generator=torch.Generator().manual_seed(seed)).float()
    return torch.nn.functional.interpolate(small[None], (side, side), mode="bilinear")[0].byte()


def as_file(picture: Tensor, suffix: str = ".png") -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(file, suffix[1:])
    return file.getvalue()


def test_what_is_no_picture_of_a_thing_serves_for_nothing() -> None:
    kept = thing(as_file(stone()))
    assert kept is not None and torch.equal(kept, stone())
    large = thing(as_file(stone(1500)))
    assert large is not None and large.shape == (3, 1024, 1024)
    half_black = stone()
    half_black[:, :100] = 0
    see_through = torch.cat([stone(), torch.full((1, 200, 200), 90, dtype=torch.uint8)])
    for nothing in (stone(150), half_black, see_through, torch.full((3, 200, 200), 90, dtype=torch.uint8)):
        assert thing(as_file(nothing)) is None
    assert thing(b"no picture") is None and thing(as_file(stone())[:200]) is None


def test_folders_and_archives_are_read_and_repetitions_left_out(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / "wall.png", stone())
    (tmp_path / "wall_norm.png").write_bytes(as_file(stone(seed=3)))
    with zipfile.ZipFile(tmp_path / "game.pk3", "w") as archive:
        archive.writestr("textures/wall.tga", as_file(stone(400), ".tga"))
        archive.writestr("textures/floor.tga", as_file(stone(seed=1), ".tga"))
        archive.writestr("readme.txt", "hello")
    names = [name for name, _ in pictures_in(tmp_path)]
    assert names == ["wall", "floor", "wall"]
    assert [name for name, _ in without_repetitions(pictures_in(tmp_path))] == ["wall", "floor"]


def test_a_face_is_seen_by_the_first_or_by_two() -> None:
    @dataclass
    class Fixed:
        sees: bool

        def detect(self, frames: Tensor, settings: DetectionSettings) -> list[list[Face]]:
            return [[Face((1.0, 1.0, 9.0, 9.0), 0.9, "face", None)] if self.sees else []]

    def judged(*answers: bool) -> bool:
        return shows_a_face(stone(), [Fixed(answer) for answer in answers])  # type: ignore[misc]

    assert judged(True, False, False) and judged(False, True, True)
    assert not judged(False, True, False) and not judged(False, False, False)


def test_the_command_gathers_things_and_leaves_faces_out(data: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "stone.png", stone())
    face = next((data / "faces512" / "val").iterdir())
    (tmp_path / "in" / f"face{face.suffix}").write_bytes(face.read_bytes())
    things_module.main([str(tmp_path / "in"), "--data", str(data), "--out", str(tmp_path / "out")])
    assert [path.name for path in (tmp_path / "out" / "pieces").iterdir()] == ["00001-stone.png"]
    assert (tmp_path / "out" / "contact.jpg").is_file()


def test_a_contact_sheet_has_forty_in_a_row(tmp_path: Path) -> None:
    assert torch.equal(
        cell(torch.full((3, 50, 90), 7, dtype=torch.uint8)), torch.full((3, 48, 48), 7, dtype=torch.uint8)
    )
    write_contact(tmp_path / "sheet.png", [torch.full((3, 48, 48), shade, dtype=torch.uint8) for shade in range(41)])
    sheet = read_picture(tmp_path / "sheet.png")
    assert sheet.shape == (3, 96, 1920) and sheet[0, 10, 39 * 48 + 5] == 39 and sheet[0, 60, 5] == 40
    write_contact(tmp_path / "none.png", [])
    assert not (tmp_path / "none.png").exists()
