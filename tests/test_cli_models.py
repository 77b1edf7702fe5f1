"""``visage models``: what it prints, what it returns, and that it touches the network only when told to."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from visage.cli import models as command
from visage.models import catalogue
from visage.models.catalogue import CATALOGUE, KnownWeights
from visage.models.download import DownloadError, sha256_of
from visage.models.weights import read_weights


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and no network."""
    for variable in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "nowhere"))
    monkeypatch.setattr(command, "download", no_network)
    return tmp_path


def no_network(*_: object) -> None:
    raise AssertionError("nothing may be downloaded here")


def visage(*words: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    arguments = parser.parse_args([*map(str, words)])
    return int(arguments.run(arguments))


def known(monkeypatch: pytest.MonkeyPatch, content: bytes, sha256: str | None = None) -> KnownWeights:
    """Makes the catalogue hold one small file and the network deliver it."""
    gfpgan = catalogue.by_name("gfpgan-1.4")
    assert gfpgan is not None
    entry = replace(gfpgan, name="small", file_name="small.pth", aliases=(), sha256=sha256)
    for module in (catalogue, command):
        monkeypatch.setattr(module, "CATALOGUE", (entry,))

    def deliver(url: str, target: Path, expected: str | None, progress: object) -> None:
        if "huggingface" in url:
            raise DownloadError(f"{url}: the server answered 404 Not Found.")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    monkeypatch.setattr(command, "download", deliver)
    return entry


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        visage()
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_the_list_tells_licences_and_places(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "mine").mkdir()
    (machine / "mine" / "GFPGANv1.4.pth").write_bytes(bytes(2_000_000))
    (machine / "mine" / "own.pth").write_bytes(b"x")
    assert visage("list", "--models", machine / "mine", "--kind", "restorer") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "SIZE", "COMMERCIAL", "LICENCE", "FOUND", "AT"]
    by_name = {line.split()[0]: line for line in lines[1:]}
    assert str(machine / "mine" / "GFPGANv1.4.pth") in by_name["gfpgan-1.4"]
    assert "2.0 MB" in by_name["gfpgan-1.4"]
    assert "S-Lab 1.0, non-commercial" in by_name["codeformer"]
    assert by_name["codeformer"].endswith("-")
    assert "not known" in by_name["own.pth"]
    assert visage("list", "--models", machine / "mine") == 0
    assert capsys.readouterr().out.count("own.pth") == 2  # once, as name and as path
    visage("list", "--models", machine / "mine", "--kind", "restorer")
    lines = capsys.readouterr().out.splitlines()
    assert len({line.index(" restorer ") for line in lines[1:]}) == 1


def test_the_list_as_json_has_every_known_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert visage("list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert next(row["name"] for row in rows if row["kind"] == "detector") == "visage-detect"
    assert {row["name"] for row in rows} == {entry.name for entry in CATALOGUE}
    codeformer = next(row for row in rows if row["name"] == "codeformer")
    assert codeformer["commercial_use"] == "no"
    assert codeformer["path"] is None
    assert codeformer["bytes"] == 376637898


def test_there_is_nothing_to_get_for_what_is_built_in(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "download", no_network)
    assert visage("get", "visage-restore") == 0
    assert "comes with Visage" in capsys.readouterr().out


def test_get_tells_the_licence_and_tries_the_next_address(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known(monkeypatch, b"content", sha256="0" * 64)
    assert visage("get", "small") == 0
    told = capsys.readouterr()
    assert "404" in told.err
    assert "Apache-2.0 with third-party non-commercial parts" in told.out
    assert (machine / "visage" / "restorers" / "small.pth").read_bytes() == b"content"


def test_get_goes_where_it_is_told(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, b"content", sha256="0" * 64)
    assert visage("get", "small.pth", "--models", machine / "mine") == 0
    assert (machine / "mine" / "small.pth").exists()


def test_get_leaves_a_good_file_and_does_not_replace_a_different_one(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = machine / "visage" / "restorers" / "small.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    known(monkeypatch, b"new", sha256=sha256_of(path))
    monkeypatch.setattr(command, "download", no_network)
    assert visage("get", "small") == 0
    assert "already" in capsys.readouterr().out
    path.write_bytes(b"another")
    assert visage("get", "small") == 1
    assert "not the known file" in capsys.readouterr().err
    assert path.read_bytes() == b"another"


def test_get_refuses_what_cannot_be_checked_unless_asked(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known(monkeypatch, b"content", sha256=None)
    assert visage("get", "small") == 1
    assert "--unverified" in capsys.readouterr().err
    assert not (machine / "visage").exists()
    assert visage("get", "small", "--unverified") == 0


def test_get_goes_on_after_an_unknown_name(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known(monkeypatch, b"content", sha256="0" * 64)
    assert visage("get", "nonsense", "small") == 1
    assert "nonsense is not in the catalogue" in capsys.readouterr().err
    assert (machine / "visage" / "restorers" / "small.pth").exists()


def test_get_recognises_a_misspelt_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert visage("get", "codefromer") == 1
    assert "Did you mean codeformer" in capsys.readouterr().err


def test_get_reports_when_no_address_works(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = known(monkeypatch, b"content", sha256="0" * 64)
    monkeypatch.setattr(catalogue, "CATALOGUE", (replace(entry, urls=entry.urls[:1]),))
    assert visage("get", "small") == 1
    assert "could not be downloaded" in capsys.readouterr().err


def test_verify_tells_good_from_altered_and_unknown(
    machine: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = machine / "mine"
    folder.mkdir()
    good = shutil.copy(data / "weights" / "detection_mobilenet0.25_Final.pth", folder)
    assert visage("verify", good) == 0
    assert capsys.readouterr().out.split() == ["ok", str(good)]
    (folder / "own.pth").write_bytes(b"x")
    (folder / "GFPGANv1.4.safetensors").write_bytes(b"converted")
    assert visage("verify", "--models", folder) == 0
    assert capsys.readouterr().out.count("not known") == 2
    (folder / "GFPGANv1.4.pth").write_bytes(b"altered")
    assert visage("verify", "--models", folder) == 1
    told = capsys.readouterr()
    assert f"DIFFERENT  {folder / 'GFPGANv1.4.pth'}" in told.out
    assert "not the file that is published" in told.err
    assert visage("verify", "gfpgan-1.3", "--models", folder) == 1
    assert "visage models get gfpgan-1.3" in capsys.readouterr().err


def test_verify_with_nothing_but_what_is_built_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert visage("verify") == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["ok", "ok"]
    assert [Path(line.split(maxsplit=1)[1]).stem for line in told] == ["visage-detect", "visage-restore"]
    assert visage("verify", "nonsense") == 1
    assert "No weights called nonsense" in capsys.readouterr().err


def test_convert_writes_beside_the_source_and_never_over_a_file(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"params": {"a": torch.ones(3)}}, machine / "w.pth")
    assert visage("convert", machine / "w.pth") == 0
    assert capsys.readouterr().out.strip() == str(machine / "w.safetensors")
    assert torch.equal(read_weights(machine / "w.safetensors").tensors["a"], torch.ones(3))
    assert visage("convert", machine / "w.pth") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert visage("convert", machine / "w.pth", "--overwrite") == 0
    assert visage("convert", machine / "w.pth", machine / "x.safetensors") == 0
    assert visage("convert", machine / "missing.pth") == 1


def test_nobody_is_told_to_delete_a_photograph(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (9, 9)).save(machine / "plain.png")
    shutil.copy(machine / "plain.png", machine / "plain.pth")
    assert visage("convert", machine / "plain.png") == 1
    assert capsys.readouterr().err.strip() == "plain.png is cut short or is no PyTorch file."
    assert visage("convert", machine / "plain.pth") == 1
    assert "Delete it" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_refused_where_it_is_searched(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("list", "verify"):
        with pytest.raises(SystemExit):
            visage(name, "--models", machine / "typo")
        assert "typo: no such folder" in capsys.readouterr().err
