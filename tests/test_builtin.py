"""The weights that come with Visage: the very files, and what they do on a real photograph."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from visage.demo import Demo, demo
from visage.faces.crops import extract, plan_crops
from visage.faces.face import Face
from visage.models import builtin
from visage.models.catalogue import by_name
from visage.models.detectors import load_detector
from visage.models.download import sha256_of
from visage.models.host import TorchHost
from visage.models.restorers import load_restorer
from visage.models.restorers.options import RestoreOptions
from visage.training.degradation_recipes import level_recipe
from visage.training.degradations import degrade
from visage.training.detector_sets import things
from visage.training.labels import LabelledFace
from visage.training.pictures import as_float
from visage.training.scenes import Scene, blurred, cut_close, eyes_barred, in_dark_glasses, masked
from visage.training.sheets import sheets_of
from visage.training.texture import energies

BOTH = pytest.mark.parametrize(("name", "most"), [(builtin.DETECTOR, 3_000_000), (builtin.RESTORER, 14_000_000)])

# Of the photograph of the demo, as the shipped files found and restored it.
FACE = (178.2, 55.4, 269.4, 177.7)
LANDMARKS = ((203.4, 101.7), (246.6, 104.1), (223.1, 125.7), (201.5, 140.0), (243.5, 142.5))
BEFORE, AFTER = 26.64, 27.84
"""PSNR of the face, dB."""
TEXTURE = 0.68, 0.92
"""Fine texture of the face before and after, over that of the original."""
SHARP = {1.0: 0.05, 0.5: 0.3}
"""Most that a face that was hardly enlarged may change on average, in levels of 255, by fidelity; it was 0.01, 0.16."""
PHOTOGRAPHED = 42
"""Faces given in dlib's photographs, which hold 43."""


def file_of(name: str) -> Path:
    return builtin.FOLDER / f"{name}.safetensors"


@BOTH
def test_the_files_are_those_of_the_catalogue(name: str, most: int) -> None:
    known = by_name(name)
    assert known is not None
    assert sha256_of(file_of(name)) == known.sha256
    assert file_of(name).stat().st_size == known.size
    assert known.size is not None
    assert known.size <= most


@BOTH
def test_the_files_say_what_they_are(name: str, most: int) -> None:
    with safe_open(file_of(name), "pt") as file:
        told = file.metadata()
        assert all(file.get_tensor(key).dtype == torch.float16 for key in file.keys())  # noqa: SIM118 - no mapping
    assert told["visage"] == name
    assert told["license"] == "GPL-3.0-or-later"
    assert int(told["steps"]) > 0


@BOTH
def test_there_is_a_card(name: str, most: int) -> None:
    card = (builtin.FOLDER.parent / "cards" / f"{name}.md").read_text(encoding="utf-8")
    known = by_name(name)
    assert known is not None
    assert str(known.sha256) in card


def test_a_swapped_file_is_noticed(tmp_path: Path) -> None:
    known = by_name(builtin.DETECTOR)
    assert known is not None
    swapped = bytearray(file_of(builtin.DETECTOR).read_bytes())
    swapped[-1] ^= 1
    (tmp_path / "swapped.safetensors").write_bytes(swapped)
    assert sha256_of(tmp_path / "swapped.safetensors") != known.sha256


@pytest.fixture(scope="module")
def done() -> Demo:
    return demo()


def test_the_face_in_the_small_photograph_is_found_where_it_is(done: Demo) -> None:
    assert done.face.score > 0.8
    assert done.face.box == pytest.approx(FACE, abs=4)
    assert done.face.landmarks is not None
    for found, frozen in zip(done.face.landmarks, LANDMARKS, strict=True):
        assert math.dist(found, frozen) < 1.5


def test_the_restored_face_is_nearer_to_the_original(done: Demo) -> None:
    left, top, right, bottom = (round(value) for value in FACE)

    def psnr(picture: torch.Tensor) -> float:
        part = (slice(top, bottom), slice(left, right))
        return -10 * math.log10(float((picture[part] - done.original[part]).square().mean()))

    assert psnr(done.before) == pytest.approx(BEFORE, abs=0.05)
    assert psnr(done.after) == pytest.approx(AFTER, abs=0.1)


def test_the_restored_face_has_its_texture_back(done: Demo) -> None:
    left, top, right, bottom = (round(value) for value in FACE)

    def texture(picture: torch.Tensor) -> float:
        return float(energies(picture[top:bottom, left:right].movedim(-1, 0)[None]).sum())

    shares = [texture(picture) / texture(done.original) for picture in (done.before, done.after)]
    assert shares == pytest.approx(TEXTURE, abs=0.03)


def crop_of(done: Demo) -> torch.Tensor:
    """Its face as sharp as the photograph has it, ``[1, 3, 512, 512]``."""
    sharp = done.original[:400, 30:430].movedim(-1, 0)[None]
    return torch.nn.functional.interpolate(sharp, (512, 512), mode="bicubic", antialias=True).clamp(0, 1)


@pytest.mark.parametrize("fidelity", SHARP)
def test_a_sharp_face_is_left_nearly_as_it_is(done: Demo, fidelity: float) -> None:
    restorer = load_restorer(file_of(builtin.RESTORER), TorchHost("cpu", quiet=True))
    crop = crop_of(done)
    restored = restorer.restore(crop, RestoreOptions(fidelity=fidelity))
    assert float((restored - crop).abs().mean()) * 255 < SHARP[fidelity]


@pytest.mark.parametrize(("contrast", "black"), [(0.5, 0.3), (0.3, 0.0), (0.3, 0.4), (0.15, 0.85)])
def test_a_pale_or_dark_face_is_restored_as_one_of_full_contrast(done: Demo, contrast: float, black: float) -> None:
    restorer = load_restorer(file_of(builtin.RESTORER), TorchHost("cpu", quiet=True))
    crop = crop_of(done)
    damaged = degrade(crop, [level_recipe("medium", 1)], torch.Generator().manual_seed(1))

    def error(restored: torch.Tensor) -> float:
        return -10 * math.log10(float((restored - crop).square().mean()))

    full = error(restorer.restore(damaged))
    faded = (restorer.restore(damaged * contrast + black) - black) / contrast
    assert full > error(damaged) + 0.3
    assert error(faded) == pytest.approx(full, abs=0.1)


@pytest.mark.parametrize(("contrast", "black", "around"), [(0.3, 0.0, 0.95), (0.15, 0.1, 0.9), (0.3, 0.6, 0.05)])
def test_a_face_before_something_bright_or_dark_is_restored_by_its_own_contrast(
    done: Demo, contrast: float, black: float, around: float
) -> None:
    restorer = load_restorer(file_of(builtin.RESTORER), TorchHost("cpu", quiet=True))
    height, width = done.original.shape[:2]
    crop = extract(done.original[None], plan_crops([(0, done.face)], 512, width, height, 1)).movedim(-1, 1)
    y, x = torch.meshgrid(torch.arange(512.0), torch.arange(512.0), indexing="ij")
    away = (((x - 256) / 170).square() + ((y - 270) / 230).square()).sqrt()
    head = ((1.02 - away) / 0.02).clamp(0, 1)
    scene = head * (crop * contrast + black) + (1 - head) * around
    damaged = degrade(scene, [level_recipe("mild", 1)], torch.Generator().manual_seed(1))
    restored = restorer.restore(damaged)

    def gain(place: torch.Tensor) -> float:
        before, after = ((picture - scene)[..., place].square().mean() for picture in (damaged, restored))
        return 10 * math.log10(float(before / after))

    assert gain(away < 0.7) > 0.8, "the face"
    assert gain((away > 0.9) & (away < 1.2)) > 1, "the edge"


def test_faces_in_photographs_are_found_and_their_landmarks(data: Path) -> None:
    """See the card for the recall at a given precision, and for how far from a test these photographs are."""
    from visage.training.detection_scores import matched
    from visage.training.detector_sets import photographs

    detector = load_detector(file_of(builtin.DETECTOR), TorchHost("cpu", quiet=True))
    scenes = photographs(data)
    found = [detector.detect(scene.picture[None])[0] for scene in scenes]
    assert sum(map(len, found)) == pytest.approx(PHOTOGRAPHED, abs=2)
    matches = [match for scene, faces in zip(scenes, found, strict=True) for match in matched(scene, faces, 32.0)]
    errors = [match.landmark_error for match in matches if match.landmark_error is not None]
    assert len(errors) == pytest.approx(42, abs=1)
    assert sum(errors) / len(errors) < 0.06


def test_pictures_without_faces_are_left_in_peace() -> None:
    """Gravel, a cat, print, the moon and so on, whole and in quarters, and made-up patterns: none of the training's."""
    detector = load_detector(file_of(builtin.DETECTOR), TorchHost("cpu", quiet=True))
    pictures = sheets_of(list(things()), 256).levels[256]
    assert len(pictures) == 129
    given = [detector.detect(as_float(picture).permute(1, 2, 0)[None])[0] for picture in pictures]
    assert not any(given)


def test_blurred_faces_are_found_and_only_they(done: Demo) -> None:
    """A quarter and an eighth of the picture show them sharp. At 6 % of the face's height nobody would know her."""
    detector = load_detector(file_of(builtin.DETECTOR), TorchHost("cpu", quiet=True))
    (face,) = detector.detect(done.original[None])[0]
    (soft,) = detector.detect(blurred(Scene(done.original, (labelled(face),)), 0.06).picture[None])[0]
    assert soft.box == pytest.approx(face.box, abs=0.15 * face.size)
    assert face.landmarks is not None and soft.landmarks is not None
    eyes = math.dist(*face.landmarks[:2])
    assert all(math.dist(one, other) < 0.3 * eyes for one, other in zip(soft.landmarks, face.landmarks, strict=True))


@pytest.mark.parametrize("lost", [0.0, 0.08])
def test_a_face_that_fills_the_picture_is_found(done: Demo, lost: float) -> None:
    detector = load_detector(file_of(builtin.DETECTOR), TorchHost("cpu", quiet=True))
    (face,) = detector.detect(done.original[None])[0]
    close = cut_close(Scene(done.original, (labelled(face),)), lost)
    (found,) = detector.detect(close.picture[None])[0]
    assert found.landmarks is not None
    there = close.faces[0].landmarks
    eyes = math.dist(*there[:2])
    assert all(math.dist(one, other) < 0.15 * eyes for one, other in zip(found.landmarks, there, strict=True))


@pytest.mark.parametrize(
    "worn",
    [*(partial(masked, number=number) for number in range(4)), eyes_barred, in_dark_glasses],
    ids=["blue mask", "white mask", "black mask", "pink mask", "bar", "dark glasses"],
)
def test_a_face_behind_something_is_found(done: Demo, worn: Callable[[Scene], Scene]) -> None:
    detector = load_detector(file_of(builtin.DETECTOR), TorchHost("cpu", quiet=True))
    (face,) = detector.detect(done.original[None])[0]
    hidden = worn(Scene(done.original, (labelled(face),)))
    assert float((hidden.picture - done.original).abs().amax()) > 0.3
    (found,) = detector.detect(hidden.picture[None])[0]
    assert found.box == pytest.approx(face.box, abs=0.2 * face.size)
    assert found.landmarks is not None and face.landmarks is not None
    eyes = math.dist(*face.landmarks[:2])
    away = [math.dist(one, other) / eyes for one, other in zip(found.landmarks, face.landmarks, strict=True)]
    assert max(away) < 0.4


def labelled(face: Face) -> LabelledFace:
    assert face.landmarks is not None
    return LabelledFace(face.box, face.landmarks, 1)


def test_a_fresh_machine_restores_with_nothing_downloaded(tmp_path: Path) -> None:
    from PIL import Image
    from skimage.data import astronaut

    Image.fromarray(astronaut()).resize((256, 256)).save(tmp_path / "small.png")
    nowhere = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COMFYUI_PATH": str(tmp_path / "none"), "HOME": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-m", "visage.cli", "restore", "small.png", "--output", "out", "--device", "cpu"],
        cwd=tmp_path,
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "visage-restore.safetensors (GPL-3.0-or-later" in told.stderr
    assert list((tmp_path / "out").glob("small*.png"))
