"""What a detector file is, is told from its content; what cannot be used is refused with a reason."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import save_file
from visage.models.detectors import DetectionSettings, load_detector
from visage.models.detectors.candidates import MOST_CANDIDATES
from visage.models.embedders.onnx_graph import read_graph
from visage.models.host import TorchHost
from visage.models.inference import InvalidOutputError
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


@pytest.mark.parametrize(("height", "width"), [(96, 128), (61, 203)])
def test_yunet_finds_what_opencv_finds_with_it(data: Path, height: int, width: int) -> None:
    path = data / "weights" / "face_detection_yunet_2023mar.onnx"
    # Without a face in it, and with a limit so low that there are hundreds of candidates to choose among.
    picture = torch.randint(256, (height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    opencv = cv2.FaceDetectorYN.create("onnx", path.read_bytes(), b"", (width, height), 1e-4, 0.4, MOST_CANDIDATES)
    rows = torch.from_numpy(opencv.detect(picture.flip(2).numpy())[1])
    (found,) = load_detector(path, HOST).proposer.propose(picture.permute(2, 0, 1)[None] / 255, 1e-4, 0.4)
    assert len(found) == len(rows) > 20
    torch.testing.assert_close(found.boxes, torch.cat((rows[:, :2], rows[:, :2] + rows[:, 2:4]), 1) - 0.5)
    assert torch.equal(found.scores, rows[:, 14])
    assert found.landmarks is not None and torch.equal(found.landmarks, rows[:, 4:14].view(-1, 5, 2) - 0.5)


# OpenCV 5.0.0 ends the process over the first two, refuses to run the third, and gives the last no output.
DAMAGED = {
    "weights missing": (b"bbox_head.multi_level_cls.0.conv1.weight", b"bbox_head.multi_level_cls.0.conv1.weighs"),
    "no such operation": (b'"\x07Reshape', b'"\x07Resh\xe5pe'),
    "output missing": (b"kps_16\x12\x13", b"krs_16\x12\x13"),
    "last operation missing": (b"\n#\n\x03315\x12\x06cls_", b"J#\n\x03315\x12\x06cls_"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_yunet_is_refused_and_ends_nothing(data: Path, tmp_path: Path, kind: str) -> None:
    whole, damaged = DAMAGED[kind]
    content = (data / "weights" / "face_detection_yunet_2023mar.onnx").read_bytes()
    path = tmp_path / "yunet.onnx"
    path.write_bytes(content.replace(whole, damaged, 1))
    with pytest.raises(WeightsError, match=r"^yunet\.onnx is cut short, damaged or no YuNet .* Delete it and download"):
        load_detector(path, HOST)


def test_other_editions_of_yunet_are_tried_apart_first(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = data / "weights" / "face_detection_yunet_2023mar.onnx"
    other = tmp_path / "other.onnx"
    other.write_bytes(known.read_bytes() + b"\x32\x05words")  # a description of the network
    frames = torch.rand(1, 64, 80, 3, generator=torch.Generator().manual_seed(0))
    settings = DetectionSettings(confidence=0.01)
    expected = load_detector(known, HOST).detect(frames, settings)
    assert expected != [[]]
    assert load_detector(other, HOST).detect(frames, settings) == expected

    def no_process(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(subprocess, "run", no_process)
    load_detector(known, HOST)
    with pytest.raises(AssertionError):
        load_detector(other, HOST)


def test_yunet_with_damaged_weights_is_named(data: Path, tmp_path: Path) -> None:
    known = data / "weights" / "face_detection_yunet_2023mar.onnx"
    weights = read_graph(known).tensors["bbox_head.multi_level_bbox.0.conv2.bias"]
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(known.read_bytes().replace(bytes(weights.numpy()), bytes((weights * torch.nan).numpy())))
    with pytest.raises(InvalidOutputError, match=r"^damaged\.onnx gave invalid numbers"):
        load_detector(damaged, HOST).detect(torch.zeros(1, 64, 80, 3))


@pytest.mark.parametrize(
    ("code", "raised", "words"),
    [
        (cv2.Error.StsNoMem, MemoryError, r"^Out of memory in face_detection_yunet_2023mar\.onnx.*: pretended$"),
        (cv2.Error.StsAssert, RuntimeError, r"^face_detection_yunet_2023mar\.onnx failed: pretended$"),
    ],
    ids=["memory", "other"],
)
def test_errors_of_opencv_while_yunet_runs(data: Path, code: int, raised: type[Exception], words: str) -> None:
    class Failing:
        def setInput(self, picture: object) -> None:  # noqa: N802 - as OpenCV calls it
            pass

        def forward(self, names: object) -> None:
            error = cv2.error("pretended")
            error.code, error.err = code, "pretended"
            raise error

    detector = load_detector(data / "weights" / "face_detection_yunet_2023mar.onnx", HOST)
    detector.proposer._network = Failing()
    with pytest.raises(raised, match=words):
        detector.detect(torch.zeros(1, 64, 80, 3))


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
