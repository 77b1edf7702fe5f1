"""The command line on real photographs with a real detector; restorers are tiny real networks made on the fly."""

import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from visage.cli import main
from visage.cli.images import Picture, load_image, save_image
from visage.faces.resizing import resize_frames
from visage.models import builtin


def test_a_folder_goes_in_and_the_same_folder_comes_out(visage, photograph, tmp_path, capsys) -> None:
    folder = tmp_path / "in"
    save_image(folder / "group.png", Picture(photograph))
    save_image(folder / "deeper" / "empty.jpg", Picture(photograph[280:, :100], format="JPEG"))
    (folder / "broken.png").write_bytes((folder / "group.png").read_bytes()[:2000])
    (folder / "notes.txt").write_text("not a picture")
    report_file = tmp_path / "report.json"
    assert visage("restore", folder, "--colour", 0, "--report", report_file) == 1
    told = capsys.readouterr()
    assert "broken.png" in told.err
    assert sorted(told.out.splitlines()) == [
        f"{folder / 'deeper' / 'empty.jpg'}: no face",
        f"{folder / 'group.png'}: 6 of 6 faces restored",
    ]

    report = json.loads(report_file.read_text())
    frames = {Path(frame["input"]).name: frame for frame in report["frames"]}
    assert set(frames) == {"group.png", "empty.jpg"}
    assert [Path(error["input"]).name for error in report["errors"]] == ["broken.png"]
    group = frames["group.png"]
    assert group["size"] == [500, 332]
    assert len(group["faces"]) == 6
    assert all(face["action"] == "restored" and face["reason"] is None for face in group["faces"])
    assert all(len(face["landmarks"]) == 5 and 0.5 <= face["score"] <= 1 for face in group["faces"])
    assert frames["empty.jpg"]["faces"] == []

    result = load_image(tmp_path / "out" / "group.png").pixels
    x1, y1, x2, y2 = (int(value) for value in group["faces"][0]["box"])
    assert float((result - photograph)[y1:y2, x1:x2].mean()) > 0.05
    # Without a face it is the very file, not another JPEG of it.
    copied = tmp_path / "out" / "deeper" / "empty.jpg"
    assert copied.read_bytes() == (folder / "deeper" / "empty.jpg").read_bytes()


def test_results_are_never_overwritten_unasked(visage, photograph, tmp_path, capsys) -> None:
    source = tmp_path / "in" / "group.png"
    save_image(source, Picture(photograph))
    assert visage("restore", source) == 0
    first = (tmp_path / "out" / "group.png").read_bytes()
    assert visage("restore", source, "--strength", 0.3) == 0
    assert (tmp_path / "out" / "group.png").read_bytes() == first
    assert "--overwrite" in capsys.readouterr().err
    assert visage("restore", source, "--strength", 0.3, "--overwrite") == 0
    assert (tmp_path / "out" / "group.png").read_bytes() != first


def test_sixteen_bits_alpha_and_the_workflow_come_through(visage, photograph, tmp_path) -> None:
    from visage.cli.metadata import Metadata

    alpha = torch.linspace(0, 1, 500).expand(332, -1).contiguous()
    source = tmp_path / "in" / "deep.png"
    save_image(source, Picture(photograph, alpha, 16, metadata=Metadata(text={"workflow": "{}"})))
    assert visage("restore", source) == 0
    result = load_image(tmp_path / "out" / "deep.png")
    assert result.depth == 16
    assert result.metadata.text == {"workflow": "{}"}
    assert torch.equal(result.alpha, load_image(source).alpha)
    assert cv2.imread(str(tmp_path / "out" / "deep.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_metadata_that_a_jpeg_has_no_room_for_is_told(visage, photograph, tmp_path, capsys) -> None:
    from visage.cli.metadata import Metadata

    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    folder = tmp_path / "in"
    save_image(folder / "long.png", Picture(photograph, metadata=Metadata(exif=exif.tobytes()[6:])))
    (folder / "long.png").rename(folder / "long.jpg")
    assert visage("restore", folder) == 0
    assert "long.jpg: is without the EXIF of the picture" in capsys.readouterr().err
    with Image.open(tmp_path / "out" / "long.jpg") as written:
        assert "exif" not in written.info


def test_a_black_and_white_photograph_stays_one(visage, photograph, tmp_path) -> None:
    """In the file, too: matching the colours leaves a face grey but for the last digits."""
    source = tmp_path / "in" / "grey.png"
    save_image(source, Picture(photograph.mean(-1, keepdim=True).expand(-1, -1, 3), grey=True))
    assert visage("restore", source, restorer=builtin.FOLDER / f"{builtin.RESTORER}.safetensors") == 0
    before, after = load_image(source), load_image(tmp_path / "out" / "grey.png")
    assert before.grey and after.grey
    assert float((after.pixels - before.pixels).abs().max()) > 0.02


@pytest.mark.parametrize("with_network", [False, True])
def test_upscaling_doubles_the_size_and_keeps_the_geometry(
    visage, photograph, tmp_path, upscaler_file, with_network
) -> None:
    source = tmp_path / "in" / "group.png"
    save_image(source, Picture(photograph))
    network = ["--upscaler", upscaler_file(2)] if with_network else []
    assert visage("restore", source, "--upscale", 2, *network, restorer=upscaler_file(1)) == 0
    result = load_image(tmp_path / "out" / "group.png").pixels
    assert result.shape == (664, 1000, 3)
    reduced = resize_frames(result[None], 0.5)[0]
    # The restorer changes nothing, so neither face nor background may move or change: not by half a pixel.
    assert float((reduced - photograph).abs().mean()) * 255 < 2.5
    shifted = torch.roll(photograph, 1, 1)
    assert float((reduced - photograph).abs().mean()) < 0.4 * float((shifted - photograph).abs().mean())


def test_a_broken_factor_gives_everything_the_same_size(visage, photograph, tmp_path) -> None:
    """320 x 213 at 1.5 is 480 x 320: heights and widths are rounded by themselves."""
    source = tmp_path / "in" / "group.png"
    alpha = torch.linspace(0, 1, 320).expand(213, -1).contiguous()
    save_image(source, Picture(photograph[:213, :320], alpha))
    assert visage("restore", source, "--upscale", 1.5, "--compare") == 0
    result = load_image(tmp_path / "out" / "group.png")
    assert result.pixels.shape == (320, 480, 3)
    assert float((result.alpha[0] - torch.linspace(0, 1, 480)).abs().max()) < 0.01
    assert load_image(tmp_path / "out" / "group_compare.png").pixels.shape == (320, 968, 3)


def test_selection_crops_and_comparison(visage, photograph, tmp_path, capsys) -> None:
    source = tmp_path / "in" / "group.png"
    save_image(source, Picture(photograph))
    report_file = tmp_path / "report.json"
    arguments = ["--max-faces", 2, "--crops", tmp_path / "crops", "--compare", "--report", report_file]
    assert visage("restore", source, *arguments) == 0
    assert f"{source}: 2 of 6 faces restored (4: not among the 2 largest)\n" in capsys.readouterr().out
    faces = json.loads(report_file.read_text())["frames"][0]["faces"]
    restored = [face for face in faces if face["action"] == "restored"]
    assert len(restored) == 2
    assert {face["reason"] for face in faces if face["action"] == "skipped"} == {"not among the 2 largest"}
    names = sorted(path.name for path in (tmp_path / "crops").iterdir())
    assert len(names) == 4
    assert all(load_image(tmp_path / "crops" / name).pixels.shape == (512, 512, 3) for name in names)
    assert load_image(tmp_path / "out" / "group_compare.png").pixels.shape == (332, 1008, 3)


def test_crops_of_pictures_of_one_name_are_all_there(visage, photograph, tmp_path) -> None:
    for name in ("a/group.png", "b/group.png"):
        save_image(tmp_path / "in" / name, Picture(photograph))
    crops = ["--max-faces", 1, "--crops", tmp_path / "crops"]
    assert visage("restore", tmp_path / "in", *crops) == 0
    names = sorted(path.relative_to(tmp_path / "crops").as_posix() for path in (tmp_path / "crops").rglob("*.png"))
    assert [name.split("_")[0] for name in names] == ["a/group", "a/group", "b/group", "b/group"]
    before = {name: (tmp_path / "crops" / name).read_bytes() for name in names}
    for path in (tmp_path / "out").rglob("*.png"):
        path.unlink()
    assert visage("restore", tmp_path / "in", *crops, "--strength", 0.1) == 0
    assert {name: (tmp_path / "crops" / name).read_bytes() for name in names} == before


def test_only_what_a_parser_sees_is_put_back(visage, photograph, tmp_path, capsys) -> None:
    from visage.models.parsers.loading import ARCHITECTURES

    source = tmp_path / "in" / "group.png"
    save_image(source, Picture(photograph))
    assert visage("restore", source, "--mask", "parse") == 1
    assert "visage models get bisenet" in capsys.readouterr().err
    # A network that has learned nothing gives every region the same share: more than half of them are of the face.
    bisenet = next(kind for kind in ARCHITECTURES if kind.name == "BiSeNet").build()
    tensors = {name: torch.zeros_like(value) for name, value in bisenet.state_dict().items()}
    torch.save(tensors, tmp_path / "parser.pth")
    arguments = ["--max-faces", 1, "--colour", 0, "--parser", tmp_path / "parser.pth"]
    assert visage("restore", source, "--mask", "parse", *arguments) == 0
    parsed = load_image(tmp_path / "out" / "group.png").pixels
    assert visage("restore", source, *arguments, "--overwrite") == 0
    square = load_image(tmp_path / "out" / "group.png").pixels
    share = float((parsed - photograph).mean()) / float((square - photograph).mean())
    # Fourteen of nineteen, less the doubt on both sides; more where the soft edge of the square is less than that.
    assert 0.72 < share < 0.8


def test_detect_tells_draws_and_writes_json(visage, photograph, tmp_path, capsys) -> None:
    source = tmp_path / "in" / "group.png"
    save_image(source, Picture(photograph))
    assert visage("detect", source, "--draw", tmp_path / "drawn", "--json", tmp_path / "faces.json") == 0
    assert "6 faces" in capsys.readouterr().out
    frame = json.loads((tmp_path / "faces.json").read_text())["frames"][0]
    assert len(frame["faces"]) == 6
    assert "action" not in frame["faces"][0]
    assert not torch.equal(load_image(tmp_path / "drawn" / "group.png").pixels, load_image(source).pixels)
    assert visage("detect", source) == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["drawn", "in"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["restore", "nowhere.png", "--output", "out"], "nowhere.png: no such file"),
        (
            ["detect", "PICTURE", "--detector", "no-such-detector"],
            "visage models get|No detector called no-such-detector",
        ),
        (["restore", "PICTURE", "--output", "out", "--detector", "PICTURE"], "picture.png"),
    ],
)
def test_what_is_missing_is_told_in_a_sentence(arguments, message, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    save_image(Path("picture.png"), Picture(torch.rand(40, 40, 3)))
    assert main([str(tmp_path / "picture.png") if part == "PICTURE" else part for part in arguments]) == 1
    error = capsys.readouterr().err
    assert any(part in error for part in message.split("|"))
    assert "Traceback" not in error


@pytest.mark.parametrize("device", ["foo", "cuda:99", "meta", ""])
@pytest.mark.parametrize("command", ["restore", "detect", "report"])
def test_a_device_that_is_not_there_is_told(command, device, tmp_path, capsys) -> None:
    save_image(tmp_path / "picture.png", Picture(torch.rand(40, 40, 3)))
    arguments = [command, str(tmp_path / "picture.png"), "--device", device]
    if command == "restore":
        arguments += ["--output", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert f"There is no device {device} here" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["stdout", "stderr"])
def test_names_that_the_terminal_cannot_show(tmp_path, monkeypatch, where) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, where, stream)
    source = tmp_path / "gesicht-ü.png"
    save_image(source, Picture(torch.rand(40, 40, 3)))
    if where == "stderr":
        source.write_bytes(b"")
    assert main(["detect", str(source), "--device", "cpu"]) == int(where == "stderr")
    stream.flush()
    assert b"gesicht-\\xfc.png" in stream.buffer.getvalue()


@pytest.mark.parametrize("command", ["restore", "detect", "report"])
def test_a_report_goes_by_both_names(visage, photograph, tmp_path, command) -> None:
    save_image(tmp_path / "in" / "a.png", Picture(photograph[280:, :100]))
    for option in ("--report", "--json"):
        told = tmp_path / f"{option}.json"
        assert visage(command, tmp_path / "in", option, told, *["--overwrite"] * (command == "restore")) == 0
        assert len(json.loads(told.read_text())["frames"]) == 1


def test_options_that_do_nothing_are_told(visage, photograph, tmp_path, capsys) -> None:
    save_image(tmp_path / "in" / "a.png", Picture(photograph[280:, :100]))
    assert visage("restore", tmp_path / "in", "--parser", "bisenet") == 0
    assert "--parser does nothing without --mask parse." in capsys.readouterr().err
    assert visage("report", tmp_path / "in", "--embedder", "mobilefacenet") == 0
    assert "--embedder does nothing without --reference." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        visage("restore", tmp_path / "in", "--models", tmp_path / "typo")
    assert "typo: no such folder" in capsys.readouterr().err


def test_a_restorer_that_fills_is_refused(visage, photograph, tmp_path, filling, capsys) -> None:
    """There is nothing here that says what is hidden."""
    save_image(tmp_path / "in" / "a.png", Picture(photograph[280:, :100]))
    assert visage("restore", tmp_path / "in") == 1
    assert "Use the node Restore Faces" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_weights_that_are_nowhere_say_how_to_get_them(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_image(tmp_path / "picture.png", Picture(torch.rand(40, 40, 3)))
    assert main(["detect", str(tmp_path / "picture.png"), "--detector", "yunet"]) == 1
    assert "visage models get" in capsys.readouterr().err
