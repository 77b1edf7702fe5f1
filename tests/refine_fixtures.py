"""What the tests of Refine Faces on a real ComfyUI share: a plugin of pytest with the engine, and crops to repaint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.faces.face import Face, Faces
from visage.faces.windows import Window, WindowSettings, plan_window
from visage.models.refiners import Repaint, Sampling
from visage.pipeline import RefineSettings
from visage.pipeline.refine_settings import EdgeSettings
from visage.tests import comfy_diffusion as tiny

SMALL = WindowSettings(guide_size=24, crop_factor=2.0, max_size=64)
EDGE = EdgeSettings(feather=3, noise_feather=4, dilation=0)


@pytest.fixture(scope="module", autouse=True)
def one_thread(pack: ModuleType) -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    """As ComfyUI runs its nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model(pack: ModuleType) -> Any:
    return tiny.model_of()


@pytest.fixture(scope="module")
def inpaint_model(pack: ModuleType) -> Any:
    return tiny.model_of(in_channels=9)


@pytest.fixture(scope="module")
def vae(pack: ModuleType) -> Any:
    return tiny.vae_of()


@pytest.fixture
def engine(model: Any, vae: Any) -> Callable[..., Any]:
    def make(**changes: Any) -> Any:
        from visage.nodes.refining import ComfyRefiner

        given = {"vae": vae, "model": model, "positive": tiny.conditioning(5), "negative": tiny.conditioning(6)}
        return ComfyRefiner(**given | changes)

    return make


class Counter:
    """A progress that stops the work when it is told to."""

    def __init__(self, stop_at: int = 10**9) -> None:
        self.steps, self.calls, self.stop_at = 0, 0, stop_at

    def advance(self, steps: int = 1) -> None:
        import comfy.model_management

        self.steps += steps
        self.calls += 1
        if self.calls >= self.stop_at:
            raise comfy.model_management.InterruptProcessingException


def a_repaint(side: int = 64, **changes: Any) -> Repaint:
    generator = torch.Generator().manual_seed(20)
    mask = torch.zeros(side, side)
    mask[side // 4 : -side // 4, side // 4 : -side // 4] = torch.linspace(0.2, 1, side // 2)
    given = {
        "pixels": torch.rand(side, side, 3, generator=generator),
        "mask": mask,
        "window": Window(0, side, side, torch.tensor([[1.0, 0, -8], [0, 1, -16]], dtype=torch.float64), 120, 100),
        "prompt": "",
        "negative": "",
        "seed": 7,
        "denoise": 0.5,
    }
    return Repaint(**given | changes)


def frames_with_faces(count: int = 1) -> tuple[Tensor, Faces]:
    """Two frames with two alike faces in each of the first ``count``."""
    generator = torch.Generator().manual_seed(21)
    frames = torch.rand(2, 80, 112, 3, generator=generator)
    frames[:, :, 56:] = frames[:, :, :56]
    pair = (Face((16, 24, 40, 56), index=0), Face((72, 24, 96, 56), index=1))
    return frames, Faces(112, 80, tuple(pair if frame < count else () for frame in range(2)))


def settings(mode: str = "noise mask", **changes: Any) -> RefineSettings:
    sampling = {"steps": 2, "mode": mode, "denoise": 0.5} | changes.pop("sampling", {})
    return RefineSettings(sampling=Sampling(**sampling), window=SMALL, edge=EDGE, **changes)


def host() -> Any:
    from visage.nodes.host import ComfyHost

    return ComfyHost()


def window_of(faces: Faces, index: int) -> Window:
    face = faces.frames[0][index]
    return plan_window(0, face.box, face.roll, faces.width, faces.height, SMALL, 8)
