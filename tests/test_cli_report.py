"""``visage report`` on a real photograph with real networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from visage.cli import main


@pytest.fixture
def given(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What every run is told: a detector, and no weights but those."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    return ["--detector", str(data / "weights" / "yolov8n-face.pt"), "--device", "cpu"]


def test_faces_are_told_drawn_and_compared(
    data: Path, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph = data / "photos" / "dlib_faces" / "2008_001322.jpg"
    with Image.open(photograph) as picture:
        picture.crop((350, 100, 500, 300)).save(tmp_path / "one.png")
    embedder = ["--embedder", str(data / "weights" / "MobileFaceNet.onnx"), "--reference", str(tmp_path / "one.png")]
    told = ["--json", str(tmp_path / "told.json"), "--draw", str(tmp_path / "drawn")]
    assert main(["report", str(photograph), *given, *embedder, *told]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{photograph}: 3 faces"
    (frame,) = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))["frames"]
    # The one in the middle of the three, by number, is the one that was cut out.
    same = [face["identity"]["same_person"] for face in frame["faces"]]
    assert same == [False, True, False]
    assert sum("likely the same person" in line for line in lines) == 1
    assert all(0 < face["sharpness"] <= 2 for face in frame["faces"])
    with Image.open(tmp_path / "drawn" / photograph.name) as drawn:
        assert drawn.size == (500, 375)


def test_only_the_faces_that_are_asked_for_are_told(
    data: Path, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    photograph = data / "photos" / "dlib_faces" / "2008_001322.jpg"
    assert main(["report", str(photograph), *given, "--max-faces", "1"]) == 0
    assert f"{photograph}: 1 face\n" in capsys.readouterr().out


def test_which_faces_are_asked_for_says_nothing_of_the_reference(
    data: Path, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph = data / "photos" / "dlib_faces" / "2008_001322.jpg"
    with Image.open(photograph) as picture:
        picture.resize((1500, 1125)).save(tmp_path / "large.png")
    embedder = ["--embedder", str(data / "weights" / "MobileFaceNet.onnx"), "--reference", str(photograph)]
    assert main(["report", str(tmp_path / "large.png"), *given, *embedder, "--min-face", "150"]) == 0
    assert "likely the same person" in capsys.readouterr().out


def test_a_reference_without_a_face_or_an_embedder_is_refused(
    data: Path, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph = str(data / "photos" / "dlib_faces" / "2008_001322.jpg")
    Image.new("RGB", (64, 64)).save(tmp_path / "nobody.png")
    reference = ["--reference", str(tmp_path / "nobody.png")]
    assert main(["report", photograph, *given, *reference]) == 1
    assert "visage models get arcface-ir-se50" in capsys.readouterr().err
    embedder = ["--embedder", str(data / "weights" / "MobileFaceNet.onnx")]
    assert main(["report", photograph, *given, *reference, *embedder]) == 1
    assert "There is no face in" in capsys.readouterr().err


def test_files_of_unknown_names_are_tried_in_turn(
    data: Path, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph = str(data / "photos" / "dlib_faces" / "2008_001322.jpg")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.pth").write_bytes(b"no weights")
    arguments = ["report", photograph, *given, "--reference", photograph, "--models", str(tmp_path / "own")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "visage models get arcface-ir-se50" in error
    assert "a.pth is" not in error
    (tmp_path / "own" / "b.onnx").write_bytes((data / "weights" / "MobileFaceNet.onnx").read_bytes())
    assert main(arguments) == 0
    assert "likely the same person" in capsys.readouterr().out
