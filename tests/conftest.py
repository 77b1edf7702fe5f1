"""What several test modules share: the development data, a seeded generator, the nodes, the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings
from visage.tests import comfy_side
from visage.training.data import VARIABLE, data_folder

if TYPE_CHECKING:
    from visage.models.detectors import Detector
    from visage.models.host import Host

DATA = data_folder()

# How quick an example is depends on what else the machine does.
settings.register_profile("unhurried", parent=settings.default, deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def data() -> Path:
    """Real photographs and small real weights, which are no part of the checkout."""
    if not DATA.is_dir():
        pytest.skip(f"needs the development data in {DATA}, or where {VARIABLE} says: see docs/data.md")
    return DATA


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20)


@pytest.fixture
def image(generator: torch.Generator) -> torch.Tensor:
    """Three pictures of 160 x 128 pixels."""
    return torch.rand(3, 128, 160, 3, generator=generator)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the one ComfyUI of this process."""
    return tmp_path_factory.getbasetemp() / "comfyui"


@pytest.fixture(scope="session")
def pack(base: Path) -> ModuleType:
    """The package of nodes, as ComfyUI has it after it has started."""
    comfy_side.begin(base)
    import visage.nodes

    asyncio.run(visage.nodes.VisageExtension().on_load())
    return visage.nodes


@pytest.fixture(scope="module")
def photograph(data: Path) -> torch.Tensor:
    """Six people, ``[332, 500, 3]``."""
    from visage.cli.images import load_image

    return load_image(data / "photos" / "dlib_faces" / "2008_002470.jpg").pixels


@pytest.fixture(scope="session")
def detector_loaded_once() -> Callable[[Path, Host], Detector]:
    """As ``load_detector``, but the network of a file is built at its first use only."""
    from visage.models.detectors import Detector, load_detector

    built: dict[Path, Detector] = {}

    def load(path: Path, host: Host) -> Detector:
        if path not in built:
            built[path] = load_detector(path, host)
        return Detector(built[path].proposer, host)

    return load


@pytest.fixture
def visage(
    data: Path,
    tmp_path: Path,
    upscaler_file: Callable[..., Path],
    detector_loaded_once: Callable[[Path, Host], Detector],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., int]:
    """Runs a command with the detector of the development data and a restorer that brightens."""
    from visage.cli import main, options

    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(options, "load_detector", detector_loaded_once)
    detector = str(data / "weights" / "yolov8n-face.pt")

    def run(command: str, *arguments: object, restorer: Path | None = None) -> int:
        given = [command, *map(str, arguments), "--detector", detector, "--device", "cpu"]
        if command == "restore":
            given += ["--restorer", str(restorer or upscaler_file(1, 0.2)), "--output", str(tmp_path / "out")]
        return main(given)

    return run


@pytest.fixture(scope="session")
def upscaler_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes real networks of the Real-ESRGAN compact kind that give back their input plus an offset."""
    folder = tmp_path_factory.mktemp("networks")

    def make(scale: int = 1, offset: float = 0.0) -> Path:
        from safetensors.torch import save_file
        from spandrel.architectures.Compact import Compact

        network = Compact(num_feat=4, num_conv=1, upscale=scale)
        tensors = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
        last = max(int(name.split(".")[1]) for name in tensors)
        tensors[f"body.{last}.bias"] += offset
        path = folder / f"compact-x{scale}-{offset}.safetensors"
        save_file(tensors, path)
        return path

    return make


@pytest.fixture
def filling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network that is loaded is one that fills hidden parts of faces."""
    from visage.models import restorers
    from visage.models.restorers.network import Network

    load = restorers.load_network

    def as_filling(path: Path) -> Network:
        network = load(path)
        return replace(network, architecture=replace(network.architecture, task="fill"))

    monkeypatch.setattr(restorers, "load_network", as_filling)
