"""What is given as INPUT becomes a list of pictures and of the files to write."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from visage.cli.inputs import InputError, Job, find, plan


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def names(jobs: tuple[Job, ...], output: Path) -> list[str]:
    return [job.target.relative_to(output).as_posix() for job in jobs]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_files_keep_their_names_and_order(tmp_path: Path, out: Path) -> None:
    folder = touch(tmp_path / "in", "b.png", "a.jpg", "no-suffix")
    jobs = plan([str(folder / name) for name in ("b.png", "a.jpg", "no-suffix")], out).jobs
    assert [job.source.name for job in jobs] == ["b.png", "a.jpg", "no-suffix"]
    assert names(jobs, out) == ["b.png", "a.jpg", "no-suffix"]


def test_folders_are_searched_below_and_keep_their_structure(tmp_path: Path, out: Path) -> None:
    folder = touch(
        tmp_path / "in", "b.PNG", "a.tiff", "x/y/c.webp", "x/d.bmp", "notes.txt", ".hidden.png", ".git/e.png"
    )
    assert names(plan([str(folder)], out).jobs, out) == ["a.tiff", "b.PNG", "x/d.bmp", "x/y/c.webp"]
    assert not out.exists()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png", "b.png"]),
        ("?.jpg", ["c.jpg"]),
        ("[ab].*", ["a.png", "b.png"]),
        ("*", ["a.png", "b.png", "c.jpg", "x/d.png", "x/y/e.png"]),
        ("**/*.png", ["a.png", "b.png", "x/d.png", "x/y/e.png"]),
        ("**", ["a.png", "b.png", "c.jpg", "x/d.png", "x/y/e.png"]),
        ("x/*.png", ["d.png"]),
        ("*/*.png", ["x/d.png"]),
    ],
)
def test_patterns_work_where_the_shell_leaves_them(
    pattern: str, expected: list[str], tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = touch(tmp_path / "in", "a.png", "b.png", "c.jpg", "notes.txt", "x/d.png", "x/y/e.png")
    assert sorted(names(plan([str(folder / pattern)], out).jobs, out)) == expected
    monkeypatch.chdir(folder)
    assert sorted(names(plan([pattern], out).jobs, out)) == expected


def test_a_name_with_brackets_is_a_file_first(tmp_path: Path, out: Path) -> None:
    folder = touch(tmp_path / "in", "face[1].png", "face1.png")
    assert names(plan([str(folder / "face[1].png")], out).jobs, out) == ["face[1].png"]


def test_the_home_folder_may_be_abbreviated(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    touch(tmp_path / "in", "a.png")
    assert names(plan(["~/in/*.png"], out).jobs, out) == ["a.png"]


def test_a_name_may_begin_as_a_home_folder_does(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(touch(tmp_path, "~lock.png", "~/a.png"))
    assert names(plan(["~lock.png"], out).jobs, out) == ["~lock.png"]
    assert names(plan(["~"], out).jobs, out) == ["a.png"]
    with pytest.raises(InputError, match=r"~nobody\.png: no such file or folder"):
        plan(["~nobody.png"], out)
    with pytest.raises(InputError, match=r"~nobody\*: no picture matches"):
        plan(["~nobody*"], out)


def test_the_same_picture_is_done_once(tmp_path: Path, out: Path) -> None:
    folder = touch(tmp_path / "in", "a.png")
    found = plan([str(folder / "a.png"), str(folder), str(folder / "*.png"), str(folder / "x" / ".." / "a.png")], out)
    assert names(found.jobs, out) == ["a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_is_a_picture_of_its_own_unless_its_result_is_the_same(tmp_path: Path, out: Path) -> None:
    folder = touch(tmp_path / "in", "a.png")
    os.link(folder / "a.png", folder / "hard.png")
    (folder / "soft.png").symlink_to("a.png")
    expected = ["a.png", "hard.png", "soft.png"]
    assert names(plan([str(folder), str(folder / "hard.png")], out).jobs, out) == expected
    assert [job.source.name for job in find([str(folder), str(folder / "hard.png")]).jobs] == expected
    (tmp_path / "more").mkdir()
    os.link(folder / "a.png", tmp_path / "more" / "a.png")
    (tmp_path / "way").symlink_to(folder)
    given = [str(tmp_path / name / "a.png") for name in ("in", "more", "way")]
    assert names(plan(given, out).jobs, out) == ["a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_pictures_that_are_left_out_are_counted(tmp_path: Path, out: Path) -> None:
    folder = touch(
        tmp_path / "in", "a.png", "b.HEIC", "x/c.heic", "x/d.gif", "notes.txt", "a.xmp", ".e.gif", ".git/f.gif"
    )
    touch(folder / "out", "g.gif")
    touch(tmp_path / "elsewhere", "h.png")
    for name, target in (("dead.png", "nothing"), ("dead", "nothing"), ("dead.txt", "nothing"), ("h", "../elsewhere")):
        (folder / name).symlink_to(target)
    found = plan([str(folder)], folder / "out")
    assert names(found.jobs, folder / "out") == ["a.png"]
    assert found.left_out == "Left out: 1 .gif, 2 .heic, 2 dead links, 1 linked folder."
    assert plan([str(folder / "a.png")], out).left_out is None
    assert plan([str(folder / "*.*")], out).left_out == "Left out: 1 .heic, 1 dead link."
    with pytest.raises(InputError, match=r"no pictures in this folder(.|\n)*Left out: 1 \.gif, 1 \.heic"):
        find([str(folder / "x")])


def test_a_folder_that_cannot_be_entered_is_told(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = touch(tmp_path / "in", "a.png", "closed/b.png", "half/c.png", "half/d.png")
    scandir, stat = os.scandir, Path.is_file

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", lambda path: refuse(path) if Path(path).name == "closed" else scandir(path))
    monkeypatch.setattr(Path, "is_file", lambda path: refuse(path) if path.parent.name == "half" else stat(path))
    found = plan([str(folder), str(folder / "half" / "c.png")], out)
    assert names(found.jobs, out) == ["a.png"]
    assert found.problems == (
        f"{folder / 'closed'}: this folder cannot be entered (Permission denied).",
        f"{folder / 'half'}: this folder cannot be entered (Permission denied).",
    )


def test_existing_results_are_left_out_unless_they_may_be_overwritten(tmp_path: Path, out: Path) -> None:
    folder = touch(tmp_path / "in", "a.png", "b.png")
    touch(out, "a.png")
    found = plan([str(folder)], out)
    assert names(found.jobs, out) == ["b.png"]
    assert found.existing == (out / "a.png",)
    again = plan([str(folder)], out, overwrite=True)
    assert names(again.jobs, out) == ["a.png", "b.png"]
    assert again.existing == ()
    touch(out, "b.png")
    assert plan([str(folder)], out).jobs == ()


def test_the_output_folder_is_no_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`visage restore . --output out` twice must not restore its own results."""
    folder = touch(tmp_path, "a.png", "out/a.png", "out/x/b.png")
    monkeypatch.chdir(folder)
    for given in (".", "*", "**/*.png", str(folder)):
        found = plan([given], Path("out"), overwrite=True)
        assert names(found.jobs, Path("out")) == ["a.png"], given


def test_results_may_be_inputs_when_they_are_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "out/first/a.png")
    found = plan([str(tmp_path / "out" / "first")], tmp_path / "out")
    assert names(found.jobs, tmp_path / "out") == ["a.png"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_overwritten(tmp_path: Path, overwrite: bool) -> None:
    folder = touch(tmp_path / "in", "a.png", "x/b.png")
    for given in (str(folder), str(folder / "a.png"), str(folder / "*.png")):
        with pytest.raises(InputError, match=r"a\.png is one of the inputs"):
            plan([given], folder, overwrite=overwrite)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_an_input_is_never_overwritten_by_another_name(tmp_path: Path, out: Path) -> None:
    folder = touch(tmp_path / "in", "a.png")
    out.mkdir()
    os.link(folder / "a.png", out / "a.png")
    with pytest.raises(InputError, match="one of the inputs"):
        plan([str(folder)], out, overwrite=True)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(InputError, match="one of the inputs"):
        plan([str(folder)], tmp_path / "link", overwrite=True)


def test_two_pictures_with_one_result_are_refused(tmp_path: Path, out: Path) -> None:
    folder = touch(tmp_path, "one/a.png", "two/a.png")
    with pytest.raises(InputError) as failure:
        plan([str(folder / "one" / "a.png"), str(folder / "two")], out)
    for part in (str(folder / "one" / "a.png"), str(folder / "two" / "a.png"), str(out / "a.png"), "--output"):
        assert part in str(failure.value)
    assert names(plan([str(folder)], out).jobs, out) == ["one/a.png", "two/a.png"]


# Comparisons and crops


def planned(folder: Path, out: Path, **more: Any) -> tuple[Job, ...]:
    return plan([str(folder)], out, compare=True, crops=out / "crops", **more).jobs


def test_comparisons_and_crops_keep_sub_folders_and_suffixes(tmp_path: Path, out: Path) -> None:
    folder = touch(tmp_path / "in", "a/img.png", "b/img.png", "x.jpg", "x.png", "y.png")
    jobs = {job.source.relative_to(folder).as_posix(): job for job in planned(folder, out)}
    assert [jobs["a/img.png"].comparison, jobs["x.jpg"].comparison] == [
        out / "a" / "img_compare.png",
        out / "x_compare.jpg",
    ]
    begin = {name: job.crops_of(2)[1].relative_to(out / "crops").as_posix() for name, job in jobs.items()}
    assert begin == {
        "a/img.png": "a/img_face2_after.png",
        "b/img.png": "b/img_face2_after.png",
        # Only the suffix tells these two apart.
        "x.jpg": "x.jpg_face2_after.png",
        "x.png": "x.png_face2_after.png",
        "y.png": "y_face2_after.png",
    }
    assert plan([str(folder)], out).jobs[0].comparison is None


@pytest.mark.parametrize(
    "names", [("foo.png", "foo_compare.png"), ("x.jpg", "x.png", "x.jpg.png"), ("a.png", "a_face12_after.png")]
)
def test_nothing_else_is_written_to_the_same_file(tmp_path: Path, out: Path, names: tuple[str, ...]) -> None:
    folder = touch(tmp_path / "in", *names)
    given = [str(folder / name) for name in names]
    with pytest.raises(InputError, match="would both be written to"):
        plan(given, out, compare=True, crops=out, overwrite=True)
    assert len(plan(given, out).jobs) == len(names)


def test_comparisons_beside_their_results_are_no_inputs(tmp_path: Path, out: Path) -> None:
    folder = touch(
        tmp_path / "in", "a.png", "a_compare.png", "b_compare.png", "x/c.jpg", "x/c_compare.jpg", "_compare.png"
    )
    for given in (folder, folder / "**" / "*"):
        found = plan([str(given)], out)
        assert names(found.jobs, out) == ["_compare.png", "a.png", "b_compare.png", "x/c.jpg"]
        assert found.left_out == "Left out: 2 comparisons."
    assert names(plan([str(folder / "a_compare.png")], out).jobs, out) == ["a_compare.png"]


@pytest.mark.parametrize("name", ["a_compare.png", "crops/a_face3_before.png"])
def test_existing_comparisons_and_crops_are_left_alone_unless_they_may_be_overwritten(
    tmp_path: Path, out: Path, name: str
) -> None:
    folder = touch(tmp_path / "in", "a.png", "b.png")
    touch(out, name)
    found = plan([str(folder)], out, compare=True, crops=out / "crops")
    assert names(found.jobs, out) == ["b.png"]
    assert found.existing == (out / name,)
    assert names(planned(folder, out, overwrite=True), out) == ["a.png", "b.png"]
    assert names(plan([str(folder)], out).jobs, out) == ["a.png", "b.png"]


def test_comparisons_and_crops_never_overwrite_an_input(tmp_path: Path, out: Path) -> None:
    folder = touch(tmp_path / "in", "a.png", "a_face1_before.png")
    with pytest.raises(InputError, match=r"a_face1_before\.png is one of the inputs"):
        plan([str(folder)], out, crops=folder, overwrite=True)
    touch(folder, "a_compare.png")
    out.mkdir()
    os.link(folder / "a_compare.png", out / "b_compare.png")
    touch(folder, "b.png")
    with pytest.raises(InputError, match="is one of the inputs"):
        plan([str(folder / "a_compare.png"), str(folder / "b.png")], out, compare=True, overwrite=True)


def test_the_folder_of_crops_is_no_input_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "out/a.png", "crops/a_face1_before.png")
    monkeypatch.chdir(tmp_path)
    found = plan(["."], Path("out"), crops=Path("crops"), overwrite=True)
    assert names(found.jobs, Path("out")) == ["a.png"]
    with pytest.raises(InputError, match="Name a folder"):
        plan(["."], Path("out"), crops=Path("a.png"))


def test_nothing_found_is_an_error(tmp_path: Path, out: Path) -> None:
    touch(tmp_path / "empty", "notes.txt")
    for given, told in {
        str(tmp_path / "missing.png"): "no such file or folder",
        str(tmp_path / "empty"): "no pictures in this folder",
        str(tmp_path / "*.png"): "no picture matches",
    }.items():
        with pytest.raises(InputError, match=told):
            plan([given], out)


def test_one_wrong_input_does_not_stop_the_others(tmp_path: Path, out: Path) -> None:
    folder = touch(tmp_path / "in", "a.png")
    found = plan([str(tmp_path / "missing.png"), str(folder)], out)
    assert names(found.jobs, out) == ["a.png"]
    assert len(found.problems) == 1
    assert "missing.png: no such file" in found.problems[0]


def test_the_output_must_be_a_folder(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "a.png", "file")
    for output in (folder / "file", folder / "result.png"):
        with pytest.raises(InputError, match="Name a folder"):
            plan([str(folder / "a.png")], output)


def test_a_folder_for_results_that_takes_no_files_is_told_before_the_work(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = touch(tmp_path / "in", "a.png", "x/b.png", "file")
    with pytest.raises(InputError, match=r"No results can be written to .*file is no folder that takes files"):
        plan([str(folder)], folder / "file" / "out")
    with pytest.raises(InputError, match="No results can be written"):
        plan([str(folder)], out, crops=folder / "file" / "crops")
    (out / "x").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != out / "x")
    with pytest.raises(InputError, match=r"No results can be written to .*x: "):
        plan([str(folder)], out)
    assert names(plan([str(folder / "a.png")], out).jobs, out) == ["a.png"]
    touch(out, "x/b.png")
    assert names(plan([str(folder)], out).jobs, out) == ["a.png"]


def test_a_name_that_is_too_long_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    todo = find(["n" * 300, str(tmp_path / "a.png")])
    assert [job.source for job in todo.jobs] == [tmp_path / "a.png"]
    assert todo.problems == (f"{'n' * 300}: cannot be looked at (File name too long).",)
