"""The work on a device other than the CPU, on one that is only pretended; see ``tests/pretend_device.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from visage.faces.face import Face, Faces
from visage.faces.windows import WindowSettings
from visage.models import builtin
from visage.models.detectors import DetectionSettings, load_detector
from visage.models.detectors.mtcnn import MtcnnProposer
from visage.models.embedders import load_embedder
from visage.models.host import TorchHost
from visage.models.parsers import load_parser
from visage.models.parsers.loading import ARCHITECTURES
from visage.models.refiners import Sampling
from visage.models.refiners.diffusers_engine import load_inpainter
from visage.models.restorers import load_restorer
from visage.models.upscaler import load_upscaler
from visage.pipeline import (
    BlendSettings,
    PromptSource,
    RefineSettings,
    RegionSettings,
    RestoreSettings,
    face_regions,
    refine,
    report_faces,
    report_text,
    restore,
    same_faces,
)
from visage.tests.pretend_device import DEVICE, pretended_device
from visage.tests.test_detectors_mtcnn import random_weights, together
from visage.tests.test_nodes_on_comfyui import NODE_TESTS
from visage.tests.tiny_diffusers import write_folder

TESTS = Path(__file__).resolve().parent
DETECTOR, RESTORER = (builtin.FOLDER / f"{name}.safetensors" for name in (builtin.DETECTOR, builtin.RESTORER))
# Boxes, landmarks and scores of the faces of a picture, and what decides about a batch.
FEW_BYTES = 2048


@dataclass(frozen=True)
class Place:
    """Where the networks are, and where the pictures are."""

    host: TorchHost
    pictures: torch.device


CPU = Place(TorchHost("cpu", quiet=True), torch.device("cpu"))
PLACES = {
    "pictures on the CPU": Place(TorchHost(DEVICE, quiet=True), torch.device("cpu")),
    "pictures on the device": Place(TorchHost(DEVICE, quiet=True), DEVICE),
}
Work = Callable[[Place, Tensor], Any]


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    """``[1, 320, 320, 3]``: one face."""
    from skimage.data import astronaut

    return torch.from_numpy(astronaut()[:320, 64:384].astype(np.float32) / 255)[None]


@pytest.fixture(scope="module")
def faces(photograph: Tensor) -> Faces:
    found = load_detector(DETECTOR, CPU.host).detect(photograph)
    assert [len(frame) for frame in found] == [1]
    return Faces(320, 320, tuple(tuple(frame) for frame in found))


@pytest.fixture(scope="module")
def bisenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (kind,) = (kind for kind in ARCHITECTURES if kind.name == "BiSeNet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        network = kind.build()
    path = tmp_path_factory.mktemp("parser") / "parsing_bisenet.pth"
    torch.save(network.state_dict(), path)
    return path


def compare(
    work: Work,
    pictures: Tensor,
    tolerance: float = 1e-4,
    refused: tuple[torch.dtype, ...] = (),
    borders: bool = False,
) -> int:
    """Has the work done on the CPU and in each place. Gives the most bytes that went to the CPU from pictures there."""
    with torch.inference_mode():
        expected = work(CPU, pictures)
    carried = 0
    for name, place in PLACES.items():
        with pretended_device(refused, borders) as device, torch.inference_mode():
            done = work(place, pictures.to(place.pictures))
            if place.pictures == DEVICE:
                carried = device.to_cpu.bytes
            done = done.cpu() if isinstance(done, Tensor) else done
        if isinstance(expected, Tensor):
            assert done.shape == expected.shape, name
            assert float((done - expected).abs().max()) < tolerance, name
        else:
            assert done == expected, name
    return carried


# The pretended device itself


def test_tensors_of_two_devices_are_not_mixed() -> None:
    with pretended_device() as device:
        there = torch.arange(6.0).view(2, 3).to(DEVICE)
        assert there.device == DEVICE
        assert ((there * 2 + torch.tensor(1.0))[1] - 3).tolist() == [4, 6, 8]
        there[:, [0, 2]] = 7
        assert there.cpu().tolist() == [[7, 1, 7], [7, 4, 7]]
        for mixed in (
            lambda: there + torch.ones(2, 3),
            lambda: torch.cat([there, torch.ones(1, 3)]),
            lambda: torch.ones(2, 3).add_(there),
            lambda: nn.Linear(3, 2)(there),
            lambda: nn.Linear(3, 2).to(DEVICE)(torch.ones(1, 3)),
        ):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert (device.to_cpu.times, device.to_cpu.bytes) == (2, 36)
    with pytest.raises(RuntimeError, match="outside"):
        there + 1
    with pretended_device((torch.float64,)), pytest.raises(TypeError, match="float64"):
        torch.ones(3, dtype=torch.float64).to(DEVICE)


# What is done to pictures


def found_by(path: Path, settings: DetectionSettings) -> Work:
    def work(place: Place, pictures: Tensor) -> Tensor:
        frames = load_detector(path, place.host).detect(pictures, settings)
        assert [len(found) for found in frames] == [1] * len(pictures)
        return torch.tensor([(*face.box, face.score) for found in frames for face in found])

    return work


def test_faces_are_found_there(photograph: Tensor) -> None:
    assert compare(found_by(DETECTOR, DetectionSettings(rotations=True)), photograph, tolerance=0.05) < FEW_BYTES


@pytest.mark.parametrize(
    "name",
    [
        "yolov8n-face.pt",
        "yolov8n-seg.pt",
        "detection_mobilenet0.25_Final.pth",
        "face_detection_yunet_2023mar.onnx",
    ],
)
def test_every_kind_of_detector_finds_them_there(photograph: Tensor, data: Path, name: str) -> None:
    compare(found_by(data / "weights" / name, DetectionSettings()), photograph, tolerance=0.05)


def test_mtcnn_finds_the_same_there() -> None:
    """With random weights, whose boxes are everywhere; the last networks see parts of all sizes."""
    pictures = torch.rand(2, 3, 97, 83, generator=torch.Generator().manual_seed(4))

    def work(place: Place, given: Tensor) -> list[tuple[Any, ...]]:
        found = MtcnnProposer("random", together(random_weights()), place.host).propose(given, 0.0, 1.0)
        return [tuple(part.cpu().round(decimals=2).tolist() for part in (one.boxes, one.landmarks)) for one in found]

    compare(work, pictures)


def test_what_apples_gpu_lacks_is_refused() -> None:
    with pretended_device():
        there = torch.rand(1, 1, 6, 9).to(DEVICE)
        grid = torch.zeros(1, 2, 2, 2).to(DEVICE)
        nn.functional.grid_sample(there, grid, align_corners=False)
        nn.functional.interpolate(there, (3, 3), mode="area")
        with pytest.raises(RuntimeError, match="Border"):
            nn.functional.grid_sample(there, grid, padding_mode="border", align_corners=False)
        with pytest.raises(RuntimeError, match="divisible"):
            nn.functional.interpolate(there, (3, 4), mode="area")
        images = torch.rand(2, 4, 6, 6).to(memory_format=torch.channels_last).to(DEVICE)
        kernel = torch.rand(1, 2, 1, 1).to(DEVICE)
        nn.functional.conv2d(images[:, 2:].contiguous(), kernel)
        nn.functional.avg_pool2d(images, 2)
        for misread in (nn.functional.avg_pool2d, nn.functional.conv2d):
            with pytest.raises(RuntimeError, match="channels last"):
                misread(images[:, 2:], kernel if misread is nn.functional.conv2d else 2)


def restored_with(faces: Faces, bisenet: Path, settings: RestoreSettings) -> Work:
    def work(place: Place, pictures: Tensor) -> Tensor:
        parser = load_parser(bisenet, place.host) if settings.blend.mask == "parse" else None
        region = torch.ones(pictures.shape[:3], device=pictures.device)
        region[..., :160] = 0.5
        return restore(
            pictures, faces, load_restorer(RESTORER, place.host), place.host, settings, None, region, parser
        ).frames

    return work


@pytest.mark.parametrize("mask", ["ellipse", "hull", "parse"])
def test_pictures_that_lie_there_are_restored_without_leaving(
    photograph: Tensor, faces: Faces, bisenet: Path, mask: Any
) -> None:
    work = restored_with(faces, bisenet, RestoreSettings(blend=BlendSettings(mask=mask)))
    # Windows of pictures that lie there are read with their borders; ComfyUI keeps pictures on the CPU.
    assert compare(work, photograph, borders=True) < FEW_BYTES


def test_float64_is_needed_on_the_cpu_alone(photograph: Tensor, faces: Faces, bisenet: Path) -> None:
    """MPS, the GPU of Apple's machines, does not know it."""
    alpha = torch.cat([photograph, photograph[..., :1]], -1)
    refused = (torch.float64,)
    compare(found_by(DETECTOR, DetectionSettings()), photograph, tolerance=0.05, refused=refused)
    restored = restored_with(faces, bisenet, RestoreSettings(blend=BlendSettings(mask="parse")))
    compare(restored, alpha, refused=refused, borders=True)


def test_regions_are_made_there(photograph: Tensor, faces: Faces, bisenet: Path) -> None:
    def work(place: Place, pictures: Tensor) -> Tensor:
        return face_regions(pictures, faces, RegionSettings(), load_parser(bisenet, place.host))

    assert compare(work, photograph) < FEW_BYTES


def test_faces_are_judged_there(photograph: Tensor, faces: Faces, data: Path) -> None:
    def work(place: Place, pictures: Tensor) -> str:
        embedder = load_embedder(data / "weights" / "MobileFaceNet.onnx", place.host)
        return report_text(report_faces(pictures, faces, embedder, same_faces(pictures, faces)))

    compare(work, photograph)


def test_pictures_are_upscaled_there(photograph: Tensor, upscaler_file: Callable[..., Path]) -> None:
    def work(place: Place, pictures: Tensor) -> Tensor:
        return load_upscaler(upscaler_file(2, 0.1), place.host).upscale(pictures[:, :90, :70], 3)

    assert compare(work, photograph) < FEW_BYTES


def test_faces_are_repainted_there(photograph: Tensor, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "xl", "xl")
    faces = Faces(96, 96, ((Face((30, 30, 60, 66)),),))
    settings = RefineSettings(sampling=Sampling(steps=2), window=WindowSettings(guide_size=64, max_size=64))

    def work(place: Place, pictures: Tensor) -> Tensor:
        refiner = load_inpainter(folder, place.host, "fp32")
        return refine(pictures, faces, refiner, place.host, settings, PromptSource()).frames

    compare(work, photograph[:, 60:156, 130:226], tolerance=1e-3, refused=(torch.float64,))


def test_the_node_tests_pass_with_networks_on_a_device() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "visage.tests.on_pretended_device"]
        + [name for name in NODE_TESTS if name != "test_nodes_schema.py"],
        cwd=TESTS,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
