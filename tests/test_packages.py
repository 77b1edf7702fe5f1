"""A package that is missing or broken is told plainly, with how to install it; nothing else stops."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from visage import cli
from visage.cli.encoders import encode
from visage.cli.metadata import Metadata
from visage.faces.distance import to_mask
from visage.faces.sampling import area_resize
from visage.models import packages, pickles
from visage.models.detectors.outlines import outlines_of
from visage.models.detectors.retinaface import build_retinaface
from visage.models.detectors.yolo_files import YoloFile, YoloLayout, build_yolo
from visage.models.detectors.yunet import YuNetProposer
from visage.models.embedders.loading import load_network as load_embedder
from visage.models.host import TorchHost
from visage.models.packages import needed_by, package_problems, pip_install
from visage.models.parsers.loading import ARCHITECTURES
from visage.models.refiners.diffusers_engine import load_inpainter
from visage.models.restorers.loading import load_network as load_restorer
from visage.models.weights import WeightsError, read_weights
from visage.opencv import opencv

LIBRARY = "libGL.so.1: cannot open shared object file: No such file or directory"


class _Unusable:
    """Finds some packages missing, and others there but broken."""

    def __init__(self, missing: str, broken: str) -> None:
        self.missing, self.broken = missing, broken

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        top = name.split(".", maxsplit=1)[0]
        if top == self.missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importlib.machinery.ModuleSpec(name, self) if top == self.broken else None  # type: ignore[arg-type]

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        raise ImportError(LIBRARY)


@pytest.fixture
def unusable_package(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def make(missing: str = "", broken: str = "") -> None:
        for name in [name for name in sys.modules if name.split(".")[0] in (missing, broken)]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [_Unusable(missing, broken), *sys.meta_path])

    return make


def some_upscaler(folder: Path) -> Path:
    path = folder / "4x.pth"
    torch.save({"conv_first.weight": torch.zeros(3)}, path)
    return path


def some_arcface(folder: Path) -> Path:
    path = folder / "arcface.pth"
    torch.save({"a": torch.zeros(3)}, path)
    return path


def some_model(folder: Path) -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    return folder / "model"


LOADING: dict[str, tuple[str, Callable[[Path], object]]] = {
    "RetinaFace": ("facexlib", lambda folder: build_retinaface("RetinaFace", "mobile0.25", {})),
    "ParseNet": ("facexlib", lambda folder: ARCHITECTURES[0].build()),
    "BiSeNet": ("facexlib", lambda folder: ARCHITECTURES[1].build()),
    "arcface.pth": ("facexlib", lambda folder: load_embedder(some_arcface(folder))),
    "4x.pth": ("spandrel_extra_arches", lambda folder: load_restorer(some_upscaler(folder))),
    "yolo.pt": ("ultralytics", lambda folder: build_yolo("yolo.pt", YoloFile(YoloLayout({}, {}, "detect"), {}))),
    "model": ("diffusers", lambda folder: load_inpainter(some_model(folder), TorchHost("cpu"))),
}


@pytest.mark.parametrize("what", LOADING)
def test_a_missing_package_is_named_with_how_to_install_it(
    what: str, tmp_path: Path, unusable_package: Callable[..., None]
) -> None:
    package, load = LOADING[what]
    unusable_package(missing=package)
    with pytest.raises(WeightsError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{what} needs the package {package} (No module named '{package}")
    assert f"-m pip install {package} " in str(caught.value)


def test_what_is_missing_may_be_behind_the_package(unusable_package: Callable[..., None]) -> None:
    """facexlib imports OpenCV; installing facexlib once more would do nothing."""
    unusable_package(missing="cv2")
    with pytest.raises(WeightsError, match="needs the package facexlib") as caught, needed_by("RetinaFace", "facexlib"):
        import cv2  # noqa: F401
    assert "-m pip install opencv-python " in str(caught.value)


def test_a_package_that_is_there_and_broken_is_not_to_be_installed(unusable_package: Callable[..., None]) -> None:
    unusable_package(broken="ultralytics")
    with pytest.raises(WeightsError, match="libGL") as caught:
        LOADING["yolo.pt"][1](Path())
    assert "pip install" not in str(caught.value)
    assert "docs/troubleshooting.md" in str(caught.value)


def test_the_command_keeps_what_comfyui_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's newest diffusers wants a huggingface_hub with which transformers 4, and so ComfyUI, does not start."""
    monkeypatch.setattr(packages, "version", {"numpy": "1.26.4", "transformers": "4.57.1"}.__getitem__)
    monkeypatch.setattr(sys, "executable", "/My ComfyUI/python")
    assert pip_install("diffusers") == (
        '"/My ComfyUI/python" -m pip install diffusers numpy==1.26.4 transformers==4.57.1'
    )


def test_nothing_is_said_where_all_is_there() -> None:
    assert package_problems() == []


def test_what_is_missing_is_told_at_the_start(unusable_package: Callable[..., None]) -> None:
    there = importlib.util.find_spec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None if name in ("facexlib", "cv2") else there(name))
        lines = package_problems()
    assert lines[0] == "The package opencv-python is not installed: all work on pixels will not run."
    assert lines[1].startswith("The package facexlib is not installed: RetinaFace, ")
    assert "-m pip install opencv-python facexlib " in lines[2]
    assert len(lines) == 3


def test_an_opencv_that_lacks_a_library_is_told_at_the_start(unusable_package: Callable[..., None]) -> None:
    unusable_package(broken="cv2")
    assert package_problems() == [f"OpenCV cannot be loaded ({LIBRARY}): all work on pixels will not run."]


IN_USE: dict[str, Callable[[], object]] = {
    "frames shrunk for a detector": lambda: area_resize(torch.rand(8, 8, 3), 4, 4),
    "a mask of the graph": lambda: to_mask(torch.rand(8, 8)),
    "YuNet": lambda: YuNetProposer(Path(__file__)),
    "an outline": lambda: outlines_of(torch.rand(1, 8, 8), torch.tensor([[0.0, 0, 30, 30]]), 32, 32),
    "a picture of 16 bits": lambda: encode(np.zeros((2, 2, 3), np.uint16), "PNG", Metadata(), False),
}


@pytest.mark.parametrize("what", IN_USE)
def test_an_opencv_that_lacks_a_library_is_told_where_it_is_used(
    what: str, unusable_package: Callable[..., None]
) -> None:
    """On the node itself, that is: its raw error names a library and no remedy."""
    unusable_package(broken="cv2")
    with pytest.raises(ImportError, match=r"^OpenCV cannot be loaded \(libGL.so.1: .*docs/troubleshooting.md"):
        IN_USE[what]()


def test_the_command_line_tells_it_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_run", lambda argv: opencv())
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert cli.main([]) == 1
    assert capsys.readouterr().err.startswith("OpenCV cannot be loaded (import of cv2 halted")


def test_an_old_pytorch_is_not_taken_for_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "GFPGANv1.4.pth"
    torch.save({"params_ema": {"a": torch.zeros(3)}}, path)
    monkeypatch.setattr(pickles, "_SAFE", "99")
    with pytest.raises(WeightsError, match=r"PyTorch than 2\.6") as caught:
        read_weights(path)
    assert torch.__version__ in str(caught.value)
    assert "`visage models convert` makes one, with a newer PyTorch" in str(caught.value)
    assert "download" not in str(caught.value)
