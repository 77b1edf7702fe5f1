"""The command line where something fails: pictures, the disk, Ctrl-C, and nobody who reads what it says."""

import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.abc import MetaPathFinder
from itertools import count
from pathlib import Path

import pytest
import torch
from visage.cli import main
from visage.cli.images import Picture, load_image, save_image
from visage.tests.picture_files import saved


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
