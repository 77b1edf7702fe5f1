"""The command line on real photographs with a real detector; restorers are tiny real networks made on the fly."""

import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.abc import MetaPathFinder
from itertools import count
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


@pytest.fixture(scope="module")
def photograph(data: Path) -> torch.Tensor:
    """Six people, 500 x 332."""
    return load_image(data / "photos" / "dlib_faces" / "2008_002470.jpg").pixels


@pytest.fixture
def visage(data, tmp_path, upscaler_file, monkeypatch):
    """Runs a command with the detector of the development data and a restorer that brightens."""
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    detector = str(data / "weights" / "yolov8n-face.pt")

    def run(command: str, *arguments: object, restorer: Path | None = None) -> int:
        given = [command, *map(str, arguments), "--detector", detector, "--device", "cpu"]
        if command == "restore":
            given += ["--restorer", str(restorer or upscaler_file(1, 0.2)), "--output", str(tmp_path / "out")]
        return main(given)

    return run


def saved(path: Path, pixels: torch.Tensor) -> Path:
    save_image(path, Picture(pixels))
    return path


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


@pytest.mark.parametrize("command", ["restore", "detect", "report"])
def test_what_fails_on_one_picture_is_told_and_the_others_are_done(
    visage, photograph, tmp_path, monkeypatch, capsys, command
) -> None:
    from visage.models.detectors import Detector

    for name in ("a.png", "b.png", "c.png"):
        save_image(tmp_path / "in" / name, Picture(photograph[:, :200]))
    whole, calls = Detector.detect, []

    def failing(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nMore about that.")
        return whole(self, *arguments)

    monkeypatch.setattr(Detector, "detect", failing)
    told = ["--report" if command == "restore" else "--json", tmp_path / "told.json"]
    assert visage(command, tmp_path / "in", *told) == 1
    told = json.loads((tmp_path / "told.json").read_text())
    assert [Path(frame["input"]).name for frame in told["frames"]] == ["a.png", "c.png"]
    (error,) = told["errors"]
    assert error["input"].endswith("b.png")
    assert error["error"] == "CUDA error: an illegal memory access was encountered"
    assert "b.png: CUDA error" in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError("no room"), RuntimeError("not enough memory")])
def test_a_picture_for_which_there_is_no_room_takes_no_other_with_it(
    visage, photograph, tmp_path, monkeypatch, capsys, error
) -> None:
    for name in ("a.png", "b.png"):
        save_image(tmp_path / "in" / name, Picture(photograph[280:, :100]))

    def load(path: Path) -> Picture:
        if path.name == "a.png":
            raise error
        return load_image(path)

    monkeypatch.setattr("visage.cli.batches.load_image", load)
    assert visage("restore", tmp_path / "in") == 1
    assert f"a.png: {error}" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_result_that_comes_to_be_there_in_the_meantime_is_left_alone_unless_it_may_be_overwritten(
    visage, photograph, tmp_path, monkeypatch, capsys, overwrite
) -> None:
    from visage.models.detectors import Detector

    for name in ("a.png", "b.png", "c.png"):
        save_image(tmp_path / "in" / name, Picture(photograph[280:, :100]))
    whole = Detector.detect

    def another_program_is_faster(*arguments):
        if not (tmp_path / "out").exists():
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "b.png").write_bytes(b"theirs")
        return whole(*arguments)

    monkeypatch.setattr(Detector, "detect", another_program_is_faster)
    assert visage("restore", tmp_path / "in", *(["--overwrite"] if overwrite else [])) == 0
    told = capsys.readouterr()
    assert ((tmp_path / "out" / "b.png").read_bytes() == b"theirs") != overwrite
    assert ("b.png is there already" in told.err) != overwrite
    assert len(told.out.splitlines()) == 2 + overwrite


def test_a_full_disk_leaves_no_half_of_a_file_that_was_only_copied(
    visage, photograph, tmp_path, monkeypatch, capsys
) -> None:
    source = tmp_path / "in" / "empty.png"
    save_image(source, Picture(photograph[280:, :100]))

    def full(target, content):
        with target.open("wb") as file:
            file.write(content[:500])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert visage("restore", source) == 1
    assert "empty.png: cannot be written" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
    assert visage("restore", source) == 0
    assert (tmp_path / "out" / "empty.png").read_bytes() == source.read_bytes()


def test_a_picture_of_a_batch_that_cannot_be_written_takes_no_other_with_it(visage, photograph, tmp_path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save_image(tmp_path / "in" / name, Picture(photograph[:, :200]))
    (tmp_path / "out" / "b.png").mkdir(parents=True)
    report_file = tmp_path / "report.json"
    arguments = ["--batch", 3, "--overwrite", "--report", report_file, "--crops", tmp_path / "crops"]
    assert visage("restore", tmp_path / "in", *arguments) == 1
    report = json.loads(report_file.read_text())
    assert [Path(frame["input"]).name for frame in report["frames"]] == ["a.png", "c.png"]
    assert [Path(error["input"]).name for error in report["errors"]] == ["b.png"]
    assert {path.name[0] for path in (tmp_path / "crops").iterdir()} == {"a", "c"}
    assert all((tmp_path / "out" / name).is_file() for name in ("a.png", "c.png"))


@pytest.mark.parametrize("command", ["restore", "detect", "report"])
def test_a_picture_of_a_batch_that_fails_takes_no_other_with_it(
    command, visage, photograph, tmp_path, monkeypatch, capsys
) -> None:
    from visage.models.detectors import Detector

    for name in ("a.png", "b.png", "c.png"):
        saved(tmp_path / "in" / name, photograph[:, :200] * (0.5 if name == "b.png" else 1))
    dark = load_image(tmp_path / "in" / "b.png").pixels
    detect = Detector.detect

    def short(self, frames, settings=None):
        if any(torch.equal(frame, dark) for frame in frames):
            raise MemoryError("no room")
        return detect(self, frames, settings)

    monkeypatch.setattr(Detector, "detect", short)
    report_file = tmp_path / "report.json"
    assert visage(command, tmp_path / "in", "--batch", 3, "--report", report_file) == 1
    report = json.loads(report_file.read_text())
    assert [Path(frame["input"]).name for frame in report["frames"]] == ["a.png", "c.png"]
    assert [(Path(each["input"]).name, each["error"]) for each in report["errors"]] == [("b.png", "no room")]
    assert capsys.readouterr().err.count("no room") == 1


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_of_what_is_written_for_a_picture_all_is_there_or_nothing(
    step, error, visage, photograph, tmp_path, monkeypatch
) -> None:
    source = saved(tmp_path / "in" / "a.png", photograph[:, :200])
    arguments = ["--max-faces", 1, "--compare", "--crops", tmp_path / "out"]

    def written() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    assert visage("restore", source, *arguments) == 0
    whole = written()
    assert len(whole) == 4
    real = getattr(Path, step)
    for failing in range(len(whole)):
        for name in whole:
            (tmp_path / "out" / name).unlink(missing_ok=True)
        calls = count()

        def fail(path, given, failing=failing, calls=calls):
            if next(calls) == failing:
                raise error
            return real(path, given)

        with monkeypatch.context() as patch:
            patch.setattr(Path, step, fail)
            assert visage("restore", source, *arguments) in (1, 130)
        assert written() == {}
        # The same command once more makes up for it.
        assert visage("restore", source, *arguments) == 0
        assert written() == whole


def test_a_name_that_leaves_no_room_for_a_comparison_is_told(visage, photograph, tmp_path, capsys) -> None:
    source = saved(tmp_path / "in" / f"{'n' * 251}.png", photograph[:, :200])
    assert visage("restore", source, "--compare") == 1
    assert "File name too long" in capsys.readouterr().err
    assert list((tmp_path / "out").glob("*")) == []
    assert visage("restore", source) == 0


def test_a_drawing_that_cannot_be_written_is_not_told_as_one(visage, photograph, tmp_path) -> None:
    save_image(tmp_path / "in" / "a.png", Picture(photograph[:, :200]))
    (tmp_path / "drawn" / "a.png").mkdir(parents=True)
    for command in ("detect", "report"):
        arguments = ["--draw", tmp_path / "drawn", "--overwrite", "--json", tmp_path / "told.json"]
        assert visage(command, tmp_path / "in", *arguments) == 1
        told = json.loads((tmp_path / "told.json").read_text())
        assert [frame["output"] for frame in told["frames"]] == [None]
        assert len(told["errors"]) == 1


def test_what_its_name_cannot_hold_is_told_before_anything_is_computed(
    visage, photograph, tmp_path, monkeypatch, capsys
) -> None:
    from visage.models.detectors import Detector

    folder = tmp_path / "in"
    save_image(folder / "a.png", Picture(photograph[:, :200], torch.rand(332, 200)))
    (folder / "a.png").rename(folder / "a.jpg")
    assert visage("detect", folder) == 0
    whole, seen = Detector.detect, []
    monkeypatch.setattr(Detector, "detect", lambda *arguments: seen.append(1) or whole(*arguments))
    assert visage("restore", folder) == 1
    assert f"{folder / 'a.jpg'}: JPEG cannot hold the transparency" in capsys.readouterr().err
    assert seen == []


@pytest.mark.parametrize("command", ["restore", "detect", "report"])
def test_a_report_that_cannot_be_written_is_told_before_the_work(
    visage, photograph, tmp_path, monkeypatch, capsys, command
) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path("in", "a.png")
    save_image(source, Picture(photograph[280:, :100]))
    Path("folder").mkdir()
    Path("linked").hardlink_to(source)
    option = "--report" if command == "restore" else "--json"
    for report, words in (
        ("folder", "is a folder"),
        ("in/a.png/told.json", "is no folder"),
        ("linked", "one of the inputs"),
        ("new.png", "is named as a picture is"),
    ):
        assert visage(command, source, option, report) == 1
        assert words in capsys.readouterr().err
    assert not Path("out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "in", "linked"]


def test_failures_are_told_where_the_report_cannot_be(visage, photograph, tmp_path, monkeypatch, capsys) -> None:
    save_image(tmp_path / "in" / "a.png", Picture(photograph[280:, :100]))
    (tmp_path / "in" / "broken.png").write_bytes(b"nothing")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("visage.cli.json_report._write", full)
    assert visage("detect", tmp_path / "in", "--json", tmp_path / "told.json") == 1
    error = capsys.readouterr().err
    assert "broken.png" in error
    assert "told.json: the report cannot be written" in error
    assert visage("detect", tmp_path / "in" / "a.png", "--json", tmp_path / "told.json") == 1


def test_ctrl_c_leaves_no_half_written_file(visage, photograph, tmp_path, monkeypatch) -> None:
    for name in ("a.png", "b.png"):
        save_image(tmp_path / "in" / name, Picture(photograph))
    from visage.models.restorers import Restorer

    whole = Restorer.restore

    def interrupted(self, *arguments):
        if (tmp_path / "out" / "a.png").exists():
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(Restorer, "restore", interrupted)
    assert visage("restore", tmp_path / "in") == 130
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert load_image(tmp_path / "out" / "a.png").pixels.shape == photograph.shape


@pytest.mark.parametrize("command", ["restore", "models"])
def test_ctrl_c_while_libraries_are_loaded_is_no_error_either(command, tmp_path, monkeypatch, capsys) -> None:
    module = f"visage.cli.{command}"
    import_module(module)

    class Interrupting(MetaPathFinder):
        def find_spec(self, name, *_):
            if name == module:
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(module)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    assert main([command, "list"]) == 130
    assert capsys.readouterr().err.startswith("Stopped.")


@contextmanager
def unheard() -> Iterator[None]:
    """Nobody reads what is printed, as after `| head`."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream, redirect_stdout(stream):
        yield


@pytest.mark.skipif(sys.platform == "win32", reason="no broken pipes on Windows")
def test_where_nobody_reads_the_work_goes_on_if_it_leaves_files(visage, photograph, tmp_path, capsys) -> None:
    for name in ("a.png", "b.png"):
        save_image(tmp_path / "in" / name, Picture(photograph[280:, :100]))
    with unheard():
        assert visage("restore", tmp_path / "in") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    assert "BrokenPipe" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no broken pipes on Windows")
@pytest.mark.parametrize("command", ["detect", "report"])
def test_where_nobody_reads_the_work_goes_on_only_if_it_leaves_files(
    visage, photograph, tmp_path, capsys, command
) -> None:
    save_image(tmp_path / "in" / "a.png", Picture(photograph[280:, :100]))
    with unheard():
        assert visage(command, tmp_path / "in") == 141
        assert visage(command, tmp_path / "in", "--json", tmp_path / "told.json") == 0
    assert len(json.loads((tmp_path / "told.json").read_text())["frames"]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no broken pipes on Windows")
@pytest.mark.parametrize("arguments", [["models", "list"], ["models", "verify"]])
def test_a_list_that_nobody_reads_ends_quietly(arguments, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with unheard():
        assert main(arguments) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["restore", "detect", "report"])
def test_ctrl_c_leaves_the_report_of_what_was_done_and_a_second_run_completes_it(
    visage, photograph, tmp_path, monkeypatch, capsys, command
) -> None:
    from visage.models.detectors import Detector

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"nothing")
    for name in ("b.png", "c.png", "d.png"):
        save_image(tmp_path / "in" / name, Picture(photograph[280:, :100]))
    whole, calls = Detector.detect, []

    def interrupted(self, *arguments):
        # By then the first failure is told.
        assert calls or "a.png: no PNG" in capsys.readouterr().err
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(Detector, "detect", interrupted)
    report = tmp_path / "told.json"
    told = ["--report", report] if command == "restore" else ["--json", report, "--draw", tmp_path / "out"]
    assert visage(command, tmp_path / "in", *told) == 130

    def inputs(kind: str) -> list[str]:
        return [Path(each["input"]).name for each in json.loads(report.read_text())[kind]]

    assert (inputs("frames"), inputs("errors")) == (["b.png"], ["a.png"])
    save_image(tmp_path / "in" / "a.png", Picture(photograph[280:, :100]))
    assert visage(command, tmp_path / "in", *told) == 0
    assert (sorted(inputs("frames")), inputs("errors")) == (["a.png", "b.png", "c.png", "d.png"], [])
    # What a report said of other inputs, or of results elsewhere, is none of its business.
    assert visage(command, tmp_path / "in" / "d.png", *told) == 0
    assert inputs("frames") == ["d.png"]
    report.write_text('{"frames": 3}')
    assert visage(command, tmp_path / "in" / "a.png", *told) == 0
    assert inputs("frames") == []


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
