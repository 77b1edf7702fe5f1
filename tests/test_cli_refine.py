"""``visage refine`` on a real photograph with a real detector and a tiny diffusion model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from visage.cli import main
from visage.cli.images import Picture, load_image, save_image
from visage.fields import settings_of
from visage.pipeline import RefineSettings
from visage.tests.tiny_diffusers import write_folder

SMALL = ["--guide-size", 64, "--max-size", 64, "--crop-factor", 1.5, "--steps", 1, "--noise-feather", 4]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def source(data: Path, tmp_path: Path) -> Path:
    """Six people, 500 x 332."""
    path = tmp_path / "in" / "group.png"
    save_image(path, Picture(load_image(data / "photos" / "dlib_faces" / "2008_002470.jpg").pixels))
    return path


@pytest.fixture
def refine(
    data: Path, model: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    common = ["--detector", data / "weights" / "yolov8n-face.pt", "--device", "cpu", "--output", tmp_path / "out"]

    def run(*arguments: object, more: tuple[Path, ...] = ()) -> int:
        given = ["refine", source, *more, "--model", model, *common, *SMALL, *arguments]
        return main([str(part) for part in given])

    return run


def test_a_photograph_comes_back_with_other_faces_and_the_same_rest(
    refine: Callable[..., int], source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tmp_path / "words"
    words.mkdir()
    (words / "mood.txt").write_text("happy\nsad\n")
    report = tmp_path / "report.json"
    arguments = ["--prompt", "__mood__ face[SEP][SKIP]", "--seed", 9, "--max-faces", 3, "--wildcards", words]
    assert refine(*arguments, "--report", report, "--compare") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{source}: 1 of 6 faces refined (")
    assert "2: its prompt says [SKIP]" in line and "3: not among the 3 largest" in line
    (frame,) = json.loads(report.read_text())["frames"]
    refined = [face for face in frame["faces"] if face["action"] == "refined"]
    assert len(frame["faces"]) == 6
    assert len(refined) == 1
    assert refined[0]["prompt"] in {"happy face", "sad face"}
    assert (refined[0]["seed"], refined[0]["denoise"]) == (9 + frame["faces"].index(refined[0]), 0.4)
    reasons = [face["reason"] for face in frame["faces"] if face["action"] == "skipped"]
    assert sorted(set(reasons)) == ["its prompt says [SKIP]", "not among the 3 largest"]

    before, after = load_image(source).pixels, load_image(tmp_path / "out" / "group.png").pixels
    x1, y1, x2, y2 = (int(value) for value in refined[0]["box"])
    assert float((after - before)[y1:y2, x1:x2].abs().mean()) > 0.02
    rest = torch.ones(before.shape[:2], dtype=torch.bool)
    rest[max(y1 - 20, 0) : y2 + 20, max(x1 - 20, 0) : x2 + 20] = False
    assert torch.equal(after[rest], before[rest])
    assert load_image(tmp_path / "out" / "group_compare.png").pixels.shape == (332, 1008, 3)


def test_without_denoise_it_is_the_very_file(refine: Callable[..., int], source: Path, tmp_path: Path) -> None:
    assert refine("--denoise", 0) == 0
    assert (tmp_path / "out" / "group.png").read_bytes() == source.read_bytes()


def test_what_fails_on_one_picture_is_told_and_the_others_are_done(
    refine: Callable[..., int], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from visage.models.detectors import Detector

    later = source.with_name("later.png")
    later.write_bytes(source.read_bytes())
    whole, calls = Detector.detect, []

    def failing(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("MPS: the device is gone")
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "detect", failing)
    assert refine("--denoise", 0, "--report", tmp_path / "report.json", more=(later,)) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["later.png"]
    assert "the device is gone" in (tmp_path / "report.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nowhere"], "There is no model at nowhere"),
        (["--mode", "inpaint model"], "tiny is no inpaint model"),
        (["--prompt", "[ASC][DSC] a"], "does not go together"),
        (["--restorer", "no-such-restorer"], "No restorer called no-such-restorer"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    refine: Callable[..., int], arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert refine(*arguments) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompt", "{a|b"], "prompt, line 1"),
        (["--negative-prompt", "__nowhere__"], "In the negative prompt: "),
        (["--wildcards", "nowhere"], "nowhere: no such folder, for --wildcards."),
    ],
)
def test_what_prompts_are_made_of_is_looked_at_once_before_any_work(
    refine: Callable[..., int],
    source: Path,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    later = source.with_name("later.png")
    later.write_bytes(source.read_bytes())
    monkeypatch.setattr("visage.cli.refine.load_inpainter", None)
    assert refine(*arguments, more=(later,)) == 1
    assert capsys.readouterr().err.count(words) == 1


def test_a_restorer_that_fills_is_refused(
    refine: Callable[..., int],
    upscaler_file: Callable[..., Path],
    filling: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refine("--restorer", upscaler_file(1)) == 1
    assert "Use the node Restore Faces" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_setting_is_an_option_with_its_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["refine", "--help"])
    text = capsys.readouterr().out
    assert "connected" not in text and "graph" not in text
    for setting in settings_of(RefineSettings):
        assert f"--{setting.name.replace('_', '-')}" in text
    for option, value, words in (
        ("--denoise", "1.5", "1.5 is more than 1"),
        ("--steps", "0", "0 is less than 1"),
        ("--steps", "many", "invalid whole number value"),
        ("--cfg", "nan", "nan is less than 0"),
        ("--sampler", "fast", "invalid choice"),
        ("--shape", "mask", "invalid choice"),
    ):
        with pytest.raises(SystemExit):
            main(["refine", "x.png", "--output", "out", "--model", "m", option, value])
        assert words in capsys.readouterr().err
