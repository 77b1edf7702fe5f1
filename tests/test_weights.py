"""Reading and converting weight files: sound ones give their tensors, hostile and damaged ones are refused."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import tempfile
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from visage.models import convert as convert_module
from visage.models.building import built_as
from visage.models.convert import convert
from visage.models.detectors import yolo_files
from visage.models.file_format import file_format
from visage.models.pickles import Placeholder
from visage.models.weights import WeightsError, read_pickle, read_weights


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {"a.weight": torch.randn(3, 4, generator=generator), "a.bias": torch.arange(4), "scale": torch.tensor(2.5)}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


class Payload:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.path, "executed")


class ShellPayload(Payload):
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f'"{sys.executable}" -c "open({str(self.path)!r}, chr(119))"',)


def zipped(content: object, path: Path) -> None:
    torch.save(content, path)


def legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def bare(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


# Sound files


@pytest.mark.parametrize("save", [zipped, legacy])
@pytest.mark.parametrize("wrapper", ["params_ema", "params-ema", "params", "state_dict", "g_ema", "ema", None])
@pytest.mark.parametrize("prefix", ["", "module.", "netG."])
def test_tensors_are_found_in_any_wrapping(
    save: Callable[[object, Path], None], wrapper: str | None, prefix: str, tmp_path: Path
) -> None:
    wrapped: object = {prefix + name: tensor for name, tensor in tensors().items()}
    if wrapper is not None:
        wrapped = {wrapper: wrapped, "epoch": 3}
    save(wrapped, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth").tensors, tensors())


def test_the_averaged_weights_are_preferred(tmp_path: Path) -> None:
    zipped({"params": {"a": torch.zeros(2)}, "params_ema": {"a": torch.ones(2)}}, tmp_path / "w.pth")
    assert torch.equal(read_weights(tmp_path / "w.pth").tensors["a"], torch.ones(2))


def test_a_table_of_one_entry_is_a_wrapping_whatever_it_is_called(tmp_path: Path) -> None:
    zipped({"generator": tensors()}, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth").tensors, tensors())
    zipped({"ema": {"module": tensors()}, "model": 3}, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth").tensors, tensors())
    zipped({"a": torch.ones(2)}, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth").tensors, {"a": torch.ones(2)})


def test_a_wrapping_without_tensors_does_not_hide_another(tmp_path: Path) -> None:
    zipped({"params": {"depth": 3}, "model": tensors(), "ema": {"updates": torch.tensor(7)}}, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth").tensors, tensors())


@pytest.mark.parametrize("save", [zipped, legacy])
def test_records_of_the_training_are_read_over(
    save: Callable[[object, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning has the class of a callback as a key; numbers of numpy, options and paths stand in many files."""
    lightning = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    kind = type("ModelCheckpoint", (), {"__module__": lightning.__name__})
    lightning.ModelCheckpoint = kind  # type: ignore[attr-defined]
    record = {
        "callbacks": {kind: {"best_model_score": torch.tensor(1.0)}},
        "args": argparse.Namespace(lr=0.1),
        "best": np.float64(0.5),
        "losses": np.arange(3),
        "folder": tmp_path,
    }
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
        patch.setitem(sys.modules, "pytorch_lightning.callbacks", types.ModuleType("pytorch_lightning.callbacks"))
        patch.setitem(sys.modules, lightning.__name__, lightning)
        save({"state_dict": tensors(), **record}, tmp_path / "w.ckpt")
    assert_same(read_weights(tmp_path / "w.ckpt").tensors, tensors())
    with torch.serialization.safe_globals([kind]):  # as ComfyUI does
        assert_same(read_weights(tmp_path / "w.ckpt").tensors, tensors())
    loaded = read_pickle(tmp_path / "w.ckpt", lambda name: True)
    assert {type(loaded[name]) for name in ("args", "best", "losses", "folder")} == {Placeholder}


def test_safetensors_come_with_their_metadata(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "w.safetensors", metadata={"architecture": "X"})
    weights = read_weights(tmp_path / "w.safetensors")
    assert_same(weights.tensors, tensors())
    assert weights.metadata == {"architecture": "X"}


# Hostile files


@pytest.mark.parametrize("payload", [Payload, ShellPayload])
@pytest.mark.parametrize("save", [zipped, legacy, bare])
@pytest.mark.parametrize("read", [read_weights, read_pickle, convert], ids=lambda read: read.__name__)
def test_nothing_is_executed(
    payload: type[Payload], save: Callable[[object, Path], None], read: Callable[[Path], object], tmp_path: Path
) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    save({"params": tensors(), "extra": payload(trace)}, path)
    with pytest.raises(WeightsError, match=r"evil\.pth"):
        read(path)
    assert not trace.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["evil.pth"]


def read_by_force(*names: str) -> Callable[[pytest.MonkeyPatch], None]:
    """What other packs do: a reader that runs everything, whatever it is asked for, in place of PyTorch's."""
    reader = torch.load

    def unsafe(*arguments: object, **more: object) -> object:
        return reader(*arguments, **{**more, "weights_only": False})

    def replace(patch: pytest.MonkeyPatch) -> None:
        for name in names:
            patch.setattr(name, unsafe)

    return replace


REPLACED = pytest.mark.parametrize(
    "replace",
    [read_by_force("torch.load"), read_by_force("torch.load", "torch.serialization.load")],
    ids=["one", "two"],
)


@REPLACED
@pytest.mark.parametrize("payload", [Payload, ShellPayload])
@pytest.mark.parametrize("save", [zipped, legacy, bare])
def test_nothing_is_executed_where_another_pack_has_replaced_the_reader(
    replace: Callable[[pytest.MonkeyPatch], None],
    payload: type[Payload],
    save: Callable[[object, Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    save({"params": tensors(), "extra": payload(trace)}, path)
    replace(monkeypatch)
    with pytest.raises(WeightsError, match=r"evil\.pth was refused"):
        read_weights(path)
    assert not trace.exists()
    with contextlib.suppress(RuntimeError):  # of what is no PyTorch file, once it has been run
        torch.load(path)
    assert trace.exists()


@REPLACED
@pytest.mark.parametrize("save", [zipped, legacy])
def test_sound_files_are_read_there(
    replace: Callable[[pytest.MonkeyPatch], None],
    save: Callable[[object, Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = {str(dtype): torch.zeros(2, dtype=dtype) for dtype in (torch.half, torch.bfloat16, torch.int8, torch.bool)}
    state = {**tensors(), **kinds, "parameter": torch.nn.Parameter(torch.ones(2))}
    save({"params": state, "some": {1, 2}, "size": torch.Size((2, 3)), "dtype": torch.half}, tmp_path / "w.pth")
    replace(monkeypatch)
    assert_same(read_weights(tmp_path / "w.pth").tensors, state)


def test_a_file_of_two_formats_is_not_read_in_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Harmless pickles of the second format as the first name in an archive of the first, which PyTorch tries first."""
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    harmless = [torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {}, {}, []]
    name = b"".join(pickle.dumps(part, protocol=2) for part in harmless).decode("latin-1")
    storages = pickle.dumps(Payload(trace), protocol=2)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo(name))
        member = tarfile.TarInfo("storages")
        member.size = len(storages)
        archive.addfile(member, io.BytesIO(storages))
    read_by_force("torch.load", "torch.serialization.load")(monkeypatch)
    with pytest.raises(WeightsError, match=r"evil\.pth"):
        read_weights(path)
    assert not trace.exists()
    with pytest.raises(EOFError):
        torch.load(path)
    assert trace.exists()


class FolderPayload(Payload):
    """Of a module that PyTorch does not refuse by itself."""

    def __reduce__(self) -> tuple[object, ...]:
        return tempfile.mkdtemp, (None, "trace", str(self.path))


def test_what_others_have_allowed_is_not_allowed_here(tmp_path: Path) -> None:
    zipped({"params": tensors(), "extra": FolderPayload(tmp_path)}, tmp_path / "evil.pth")
    with torch.serialization.safe_globals([tempfile.mkdtemp]):
        before = set(torch.serialization.get_safe_globals())
        with pytest.raises(WeightsError, match=r"asks for tempfile\.mkdtemp"):
            read_weights(tmp_path / "evil.pth")
        assert set(torch.serialization.get_safe_globals()) == before
    assert [file.name for file in tmp_path.iterdir()] == ["evil.pth"]


def test_the_payload_of_these_tests_is_real(tmp_path: Path) -> None:
    for payload in (Payload, ShellPayload):
        path, trace = tmp_path / "evil.pth", tmp_path / payload.__name__
        zipped(payload(trace), path)
        torch.load(path, weights_only=False)
        assert trace.exists()


def test_a_refusal_names_what_was_asked_for_and_does_not_advise_to_load_it_anyway(tmp_path: Path) -> None:
    zipped(ShellPayload(tmp_path / "trace"), tmp_path / "evil.pth")
    with pytest.raises(WeightsError) as failure:
        read_weights(tmp_path / "evil.pth")
    assert "Nothing was run" in str(failure.value)
    assert f"{os.name}.system" in str(failure.value)
    assert "weights_only" not in str(failure.value)


def test_a_whole_network_is_refused(tmp_path: Path) -> None:
    zipped(torch.nn.Linear(2, 2), tmp_path / "network.pth")
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_weights(tmp_path / "network.pth")


def test_a_file_that_contains_itself_ends(tmp_path: Path) -> None:
    loop: dict[str, object] = {}
    loop["params"] = loop
    zipped(loop, tmp_path / "loop.pth")
    with pytest.raises(WeightsError, match="no tensors"):
        read_weights(tmp_path / "loop.pth")


# Damaged files and what is no weight file


@pytest.mark.parametrize("save", [zipped, legacy])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.99])
def test_truncated_pickles(save: Callable[[object, Path], None], share: float, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    save({"params": {"a": torch.randn(50, 50)}}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=r"w\.pth is cut short or is no PyTorch file.*download"):
        read_weights(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), old=st.booleans())
def test_damage_is_an_error_of_its_own_or_goes_unnoticed(data: st.DataObject, old: bool, tmp_path: Path) -> None:
    """Any few bytes may be wrong: no other exception comes out than the one that callers expect."""
    path = tmp_path / "w.pth"
    (legacy if old else zipped)({"params": tensors()}, path)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        read_weights(path)
    except WeightsError as error:
        assert "w.pth" in str(error)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.onnx", "w"])
def test_the_format_is_told_by_the_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for save in (zipped, legacy):
        save(tensors(), path)
        assert file_format(path) == "pickle"
        assert_same(read_weights(path).tensors, tensors())
    save_file(tensors(), path)
    assert file_format(path) == "safetensors"
    assert_same(read_weights(path).tensors, tensors())
    path.write_bytes(b"\x08\x07\x12\x07pytorch")
    assert file_format(path) == "onnx"
    with pytest.raises(WeightsError, match=f"{name} is an ONNX network"):
        read_weights(path)


def test_an_empty_file(tmp_path: Path) -> None:
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).touch()
        with pytest.raises(WeightsError, match=rf"{name} is empty"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("\n <!DOCTYPE html><html><body>Not found</body></html>", "web page"),
        ("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 3\n", "Git LFS"),
        ('{"error": "Repository not found"}', "text file"),
        ("Entry not found", "text file"),
    ],
)
def test_what_failed_downloads_leave(name: str, content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(WeightsError, match=rf"{name}.*{told}"):
        read_weights(tmp_path / name)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder"):
        read_weights(tmp_path)
    (tmp_path / "x.safetensors").mkdir()
    with pytest.raises(WeightsError, match="is a folder"):
        read_weights(tmp_path / "x.safetensors")
    with pytest.raises(FileNotFoundError, match="No weight file at"):
        read_weights(tmp_path / "missing.pth")


def test_no_tensors_and_other_archives(tmp_path: Path) -> None:
    zipped({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no tensors"):
        read_weights(tmp_path / "w.pth")
    scripted = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), scripted)
    (tmp_path / "program.pt").write_bytes(scripted.getvalue())
    with pytest.raises(WeightsError, match="TorchScript"):
        read_weights(tmp_path / "program.pt")


def header(content: object, length: int | None = None) -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    "content",
    [
        header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),  # the numbers are missing
        header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}) + bytes(8),  # too few for the shape
        header({"a": {"dtype": "NONE", "shape": [1], "data_offsets": [0, 4]}}) + bytes(4),
        header("not a table") + bytes(4),
        header({}, length=2**62),  # a header that would not fit into memory
        header({}, length=10**6),
        b"\x07\x00\x00",
        b"\xff" * 64,
    ],
    ids=["cut", "shape", "dtype", "header", "huge", "long", "tiny", "noise"],
)
def test_damaged_safetensors(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.safetensors is cut short or is no safetensors file"):
        read_weights(tmp_path / "w.safetensors")


# Conversion


@pytest.mark.parametrize("save", [zipped, legacy])
def test_conversion_keeps_every_bit(save: Callable[[object, Path], None], tmp_path: Path) -> None:
    base = torch.randn(6, 5)
    state = {
        **tensors(),
        "view": base[:, 1],
        "transposed": base.t(),
        "tied": base,
        "again": base,
        "half": base.to(torch.bfloat16),
        "flags": base > 0,
        "odd": torch.tensor([float("nan"), float("inf"), -0.0]),
        "none": torch.zeros(0, 3),
    }
    save({"params_ema": state}, tmp_path / "w.pth")
    target = convert(tmp_path / "w.pth")
    assert target == tmp_path / "w.safetensors"
    written = read_weights(target).tensors
    assert written.keys() == state.keys()
    for name, tensor in state.items():
        assert written[name].dtype == tensor.dtype
        assert torch.equal(
            written[name].flatten().view(torch.uint8), tensor.contiguous().flatten().view(torch.uint8)
        ), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.pth", "w.safetensors"]


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.randn(2).to(torch.complex128), r"torch\.complex128"),
        (torch.eye(3).to_sparse(), "a is sparse"),
        (torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8), "a is quantised"),
        (torch.empty(3, device="meta"), "a is without its numbers"),
    ],
    ids=["complex", "sparse", "quantised", "meta"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_safetensors_does_not_hold_are_told(tensor: Tensor, words: str, tmp_path: Path) -> None:
    zipped({"a": tensor}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=rf"w\.pth: .*{words}"):
        convert(tmp_path / "w.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    zipped(tensors(), tmp_path / "w.pth")
    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match=r"cannot be written to .*No space left"):
        convert(tmp_path / "w.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("kind", ["pth", "old.pth", "safetensors"])
def test_a_lack_of_memory_is_not_taken_for_damage(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"large.{kind}"
    tensors = {"weight": torch.zeros(50_000_000)}
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "pth")
    # In a process of its own, in which others have not yet left memory to be used again.
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from visage.models.restorers import load_restorer\n"
        "from visage.models.host import TorchHost\n"
        "from visage.models.weights import WeightsError, read_weights\n"
        "import safetensors.torch\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))\n"
        "for read in (read_weights, lambda path: load_restorer(path, TorchHost('cpu'))):\n"
        "    try:\n"
        "        read(Path(sys.argv[1]))\n"
        "    except WeightsError as error:\n"
        "        print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    told = f"There is not enough memory to load {path.name}. Close other programs, or take a smaller model."
    assert run.stdout.splitlines() == [told, told]


@pytest.mark.parametrize("error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), RuntimeError("shapes")])
def test_a_lack_of_memory_while_a_network_is_built_is_told_from_damage(error: RuntimeError) -> None:
    def make() -> torch.nn.Module:
        raise error

    damage = "tensors are missing" if "shapes" in str(error) else "not enough memory to load a.pth"
    with pytest.raises(WeightsError, match=damage):
        built_as("a network", "a.pth", make, {})


def test_conversion_does_not_overwrite_unasked(tmp_path: Path) -> None:
    zipped(tensors(), tmp_path / "w.pth")
    (tmp_path / "w.safetensors").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="--overwrite"):
        convert(tmp_path / "w.pth")
    assert (tmp_path / "w.safetensors").read_bytes() == b"precious"
    convert(tmp_path / "w.pth", overwrite=True)
    assert_same(read_weights(tmp_path / "w.safetensors").tensors, tensors())


def test_a_failed_conversion_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    zipped(tensors(), tmp_path / "w.pth")
    monkeypatch.setattr(convert_module, "_convert_tensors", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "w.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_conversion_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "w.safetensors")
    (tmp_path / "w.onnx").write_bytes(b"\x08\x07")
    zipped(tensors(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="already"):
        convert(tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="ONNX"):
        convert(tmp_path / "w.onnx")
    with pytest.raises(WeightsError, match=r"must be named \.safetensors"):
        convert(tmp_path / "w.pth", tmp_path / "w.bin")
    with pytest.raises(FileNotFoundError):
        convert(tmp_path / "missing.pth")


def test_known_weights_keep_their_architecture_and_licence(data: Path, tmp_path: Path) -> None:
    source = data / "weights" / "detection_mobilenet0.25_Final.pth"
    target = convert(source, tmp_path / "new" / "mobilenet.safetensors")
    weights = read_weights(target)
    assert_same(weights.tensors, read_weights(source).tensors)
    assert weights.metadata["architecture"] == "RetinaFace mobilenet0.25"
    assert weights.metadata["licence"] == "MIT"
    assert weights.metadata["source"] == source.name


def test_yolo_pickles_are_recognised_without_loading_them(data: Path) -> None:
    weights = data / "weights"
    asks = yolo_files.asks_for_ultralytics
    assert asks(weights / "yolov8n-face.pt")
    assert not asks(weights / "realesr-general-x4v3.pth")
    assert not asks(weights / "detection_mobilenet0.25_Final.pth")


def test_a_yolo_pickle_is_converted_with_what_builds_its_network(data: Path, tmp_path: Path) -> None:
    from visage.models.detectors.yolo_files import read_yolo_pickle

    source = data / "weights" / "yolov8n-face.pt"
    target = convert(source, tmp_path / "yolo.safetensors")
    weights = read_weights(target)
    assert_same(weights.tensors, dict(read_yolo_pickle(source).tensors))
    assert len(weights.tensors) > 300
    assert weights.metadata
