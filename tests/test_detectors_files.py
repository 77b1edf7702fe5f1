"""What a detector file is, is told from its content; what cannot be used is refused with a reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import save_file
from visage.models.detectors import load_detector
from visage.models.host import TorchHost
from visage.models.weights import WeightsError, read_weights

HOST = TorchHost("cpu", quiet=True)
FILES = (
    "yolov8n-face.pt",
    "face_yolov8n.pt",
    "yolov8n-seg.pt",
    "detection_mobilenet0.25_Final.pth",
    "face_detection_yunet_2023mar.onnx",
)


@pytest.mark.parametrize("name", FILES)
def test_real_files_are_recognised_under_any_name(data: Path, tmp_path: Path, name: str) -> None:
    detector = load_detector(data / "weights" / name, HOST)
    assert detector.name == name
    assert ("person" if "seg" in name else "face") in detector.proposer.labels
    assert (detector.proposer.resident is None) == name.endswith(".onnx")
    renamed = tmp_path / "weights.bin"
    shutil.copy(data / "weights" / name, renamed)
    again = load_detector(renamed, HOST)
    assert (again.name, again.proposer.labels) == ("weights.bin", detector.proposer.labels)


def test_yunet_loads_with_opencv_before_4_13(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has the levels of its messages in another place."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    for name in ("getLogLevel", "setLogLevel"):
        monkeypatch.setattr(cv2, name, getattr(logging, name), raising=False)
    monkeypatch.delattr(cv2.utils, "logging")
    detector = load_detector(data / "weights" / "face_detection_yunet_2023mar.onnx", HOST)
    assert detector.detect(torch.zeros(1, 64, 80, 3)) == [[]]
    assert logging.getLogLevel() == level


def test_retinaface_may_be_safetensors(data: Path, tmp_path: Path) -> None:
    source = data / "weights" / "detection_mobilenet0.25_Final.pth"
    save_file(read_weights(source).tensors, tmp_path / "retinaface.safetensors")
    frames = torch.rand(1, 64, 80, 3, generator=torch.Generator().manual_seed(0))
    one, two = load_detector(source, HOST), load_detector(tmp_path / "retinaface.safetensors", HOST)
    assert one.detect(frames) == two.detect(frames)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.3, 0.99])
def test_files_that_are_cut_short(data: Path, tmp_path: Path, name: str, share: float) -> None:
    content = (data / "weights" / name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=cut.name.replace(".", r"\.")) as caught:
        load_detector(cut, HOST)
    assert any(words in str(caught.value) for words in ("cut short", "empty", "download", "no face detector"))


@pytest.mark.parametrize("name", ["realesr-general-x4v3.pth", "MobileFaceNet.onnx"])
def test_other_networks_are_refused(data: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=f"{name} is no face detector that Visage knows. It reads YOLO"):
        load_detector(data / "weights" / name, HOST)


@pytest.mark.filterwarnings("ignore")
def test_a_program_is_called_one(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "program.pt")
    with pytest.raises(WeightsError, match=r"program\.pt is a TorchScript program"):
        load_detector(tmp_path / "program.pt", HOST)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no detector file .*nowhere\.pt"):
        load_detector(tmp_path / "nowhere.pt", HOST)
    with pytest.raises(WeightsError, match="no detector file"):
        load_detector(tmp_path, HOST)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        b"<!DOCTYPE html><html></html>",
        b"\x08\x00" * 99,
    ],
    ids=["empty", "pointer", "page", "noise"],
)
@pytest.mark.parametrize("suffix", [".pt", ".onnx", ".safetensors"])
def test_what_failed_downloads_leave(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"face{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"face\\{suffix}"):
        load_detector(path, HOST)


def test_retinaface_with_other_tensors(data: Path, tmp_path: Path) -> None:
    tensors = read_weights(data / "weights" / "detection_mobilenet0.25_Final.pth").tensors
    missing = dict(tensors)
    del missing["fpn.output1.0.weight"]
    save_file(missing, tmp_path / "missing.safetensors")
    wrong = tensors | {"fpn.output1.0.weight": torch.zeros(1)}
    save_file(wrong, tmp_path / "wrong.safetensors")
    for name in ("missing", "wrong"):
        with pytest.raises(WeightsError, match=rf"{name}\.safetensors looks like RetinaFace"):
            load_detector(tmp_path / f"{name}.safetensors", HOST)


def test_a_hostile_pickle_of_tensors(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(tmp_path / "trace"), "w")

    torch.save({"state_dict": {"body.stage1.0.0.weight": torch.zeros(1)}, "other": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth was refused"):
        load_detector(tmp_path / "evil.pth", HOST)
    assert not (tmp_path / "trace").exists()
