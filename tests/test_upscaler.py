"""Upscaling frames: sizes, pixel centres, tiles that leave no seam, memory, progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from visage.faces.resizing import resize_frames, scaled_size
from visage.models import upscaler as upscaler_module
from visage.models.host import TorchHost
from visage.models.inference import InvalidOutputError
from visage.models.restorers.architectures import picture_architecture
from visage.models.restorers.network import Network
from visage.models.upscaler import Upscaler, load_upscaler

FACTORS = [0.5, 1.0, 1.5, 2.0, 2.37, 3.0, 4.0, 5.0]


class Interpolate(nn.Module):
    """An upscaler that looks one pixel far: bilinear, with its pixel centres in the right places."""

    def __init__(self, scale: int = 4, room: int = 10**9) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.scale = scale
        self.room = room
        self.sizes: list[tuple[int, int]] = []

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        self.sizes.append((height, width))
        if height * width > self.room:
            raise torch.OutOfMemoryError("out of memory")
        return F.interpolate(images, scale_factor=self.scale, mode="bilinear")


class CountingHost(TorchHost):
    """A host with as much memory as it is told, that keeps what progress it was told."""

    def __init__(self, free: int = 10**12) -> None:
        super().__init__("cpu", quiet=True)
        self.free = free
        self.totals: list[int] = []
        self.steps = 0
        self.stop_after: int | None = None

    def free_bytes(self) -> int:
        return self.free

    def progress(self, total: int, label: str) -> CountingHost:
        self.totals.append(total)
        self.steps = 0
        return self

    def advance(self, steps: int = 1) -> None:
        self.steps += steps

    def check_interrupt(self) -> None:
        if self.steps == self.stop_after:
            raise KeyboardInterrupt


def upscaler(module: Interpolate, host: TorchHost | None = None) -> Upscaler:
    architecture = picture_architecture("Compact", lambda network, images: network(images))
    return Upscaler(Network("interpolate", module, architecture, module.scale), host or CountingHost())


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscaler_module, "_LARGEST_TILE", 96)


def ramp(height: int, width: int) -> Tensor:
    """A frame ``[1, H, W, 3]`` whose values are planes over the pixel centres: good resampling keeps them."""
    return plane(torch.arange(height).view(-1, 1), torch.arange(width), max(height, width))[None]


def plane(y: Tensor, x: Tensor, side: int) -> Tensor:
    zero = torch.zeros(len(y), len(x))
    return torch.stack([zero + x, zero + y, (x + y) / 2], dim=-1) / side * 0.8 + 0.1


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(
    "resize", [resize_frames, lambda frames, factor: upscaler(Interpolate()).upscale(frames, factor)]
)
@pytest.mark.usefixtures("small_tiles")
def test_sizes_and_pixel_centres_are_exact(resize: Callable[[Tensor, float], Tensor], factor: float) -> None:
    height, width = 131, 203
    frames = ramp(height, width)
    resized = resize(frames, factor)
    found_height, found_width = resized.shape[1:3]
    assert (
        (found_height, found_width) == (round(factor * height), round(factor * width)) == scaled_size(131, 203, factor)
    )
    # x of the input lies at (x + 0.5) * s - 0.5 of the output; the border is left out, where no resampling can know.
    y = (torch.arange(found_height) + 0.5) / (found_height / height) - 0.5
    x = (torch.arange(found_width) + 0.5) / (found_width / width) - 0.5
    expected = plane(y.view(-1, 1), x, width)
    inside = (slice(12, -12), slice(12, -12)) if factor > 1 else (slice(4, -4), slice(4, -4))
    error = (resized[0][inside] - expected[inside]).abs()
    assert float(error.max()) * width / 0.8 < 0.01  # pixels of the input


def test_factor_one_without_a_network_changes_nothing() -> None:
    frames = torch.rand(2, 5, 7, 3)
    assert resize_frames(frames, 1.0) is frames
    assert resize_frames(frames, 1.04) is frames


def test_shrinking_averages_what_it_covers() -> None:
    checks = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(32, 32)[None, ..., None].expand(1, 64, 64, 3)
    assert float((resize_frames(checks, 0.25) - 0.5).abs().max()) < 0.02


def test_resizing_keeps_the_range() -> None:
    edge = torch.zeros(1, 16, 16, 3)
    edge[:, :, 8:] = 1
    resized = resize_frames(edge, 3)
    assert (float(resized.min()), float(resized.max())) == (0.0, 1.0)


class Blind(Interpolate):
    """Repeats pixels, and gives the negative of those within 16 pixels of an edge of what it is shown."""

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(tuple(images.shape[2:]))
        shown = 1 - images
        shown[..., 16:-16, 16:-16] = images[..., 16:-16, 16:-16]
        return repeated(shown, self.scale)


def repeated(images: Tensor, times: int) -> Tensor:
    return images.repeat_interleave(times, -1).repeat_interleave(times, -2)


@given(length=st.integers(1, 700), side=st.sampled_from([96, 128, 160, 256]), unit=st.integers(1, 4))
def test_what_a_tile_shows_near_its_border_counts_only_at_that_of_the_frame(length: int, side: int, unit: int) -> None:
    """The network did not see beyond it. All else counts as much as its neighbours: the frame comes out whole."""
    frame = torch.rand(1, length, 40, 3, generator=torch.Generator().manual_seed(length))
    module = Blind(unit)
    upscaled = upscaler(module, CountingHost(free=1200 * (side + 8) ** 2)).upscale(frame, unit)
    assert set(module.sizes) == {(min(length, side), 40)}
    expected = repeated(frame.movedim(-1, 1), unit).movedim(1, -1)
    inside = slice(16 * unit, -16 * unit)
    assert torch.allclose(upscaled[:, inside, inside], expected[:, inside, inside], atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 2.0, 3.3, 4.0])
@pytest.mark.parametrize("size", [(250, 97), (96, 96), (10, 300), (7, 5)])
@pytest.mark.usefixtures("small_tiles")
def test_tiles_join_without_a_trace(size: tuple[int, int], factor: float, generator: torch.Generator) -> None:
    frames = torch.rand(2, *size, 3, generator=generator)
    module = Interpolate()
    upscaled = upscaler(module).upscale(frames, factor)
    assert max(max(tile) for tile in module.sizes) <= 96
    whole = F.interpolate(frames.permute(0, 3, 1, 2), scale_factor=4, mode="bilinear").permute(0, 2, 3, 1)
    if factor <= 2:
        whole = resize_frames(whole, 0.25 if factor == 1 else 0.5)
    expected = F.interpolate(
        whole.permute(0, 3, 1, 2), size=scaled_size(*size, factor), mode="bicubic", antialias=True
    ).permute(0, 2, 3, 1)
    assert upscaled.shape == expected.shape
    assert float((upscaled - expected.clamp(0, 1)).abs().max()) < 1e-5


class Heights(TorchDispatchMode):
    """Notes the heights of all pictures that are made, tiles and whole frames."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operation(*args, **kwargs or {})
        if isinstance(made, Tensor) and 3 in made.shape[-3:-2]:
            self.seen.add(made.shape[-2])
        return made


@pytest.mark.parametrize(("factor", "unit"), [(0.5, 1), (1, 1), (1.5, 2), (2, 2), (2.5, 4), (4, 4), (7, 4)])
@pytest.mark.usefixtures("small_tiles")
def test_the_frame_never_exists_larger_than_needed(factor: float, unit: int) -> None:
    """Joined from its tiles it is as large as the result, or up to the next divisor of the network's own factor."""
    network, frames = upscaler(Interpolate()), torch.zeros(1, 1000, 8, 3)
    with Heights() as heights:
        network.upscale(frames, factor)
    # Tiles of 96 pixels come out of the network with 384.
    assert {height for height in heights.seen if height > 384} == {1000, 1000 * unit, round(1000 * factor)}


def test_tiles_are_as_large_as_free_memory_lets_them() -> None:
    module = Interpolate(scale=2)
    upscaler(module, CountingHost(free=1200 * 170 * 170)).upscale(torch.zeros(1, 400, 400, 3), 2)
    assert set(module.sizes) == {(160, 160)}


def test_tiles_are_halved_when_memory_runs_out(generator: torch.Generator) -> None:
    frames = torch.rand(2, 300, 300, 3, generator=generator)
    module, host = Interpolate(scale=2, room=160 * 160), CountingHost()
    upscaled = upscaler(module, host).upscale(frames, 2)
    assert module.sizes[:2] == [(300, 300), (150, 150)]
    assert set(module.sizes[1:]) == {(150, 150)}
    assert host.totals == [2, 18]
    assert host.steps == 18
    assert float((upscaled - upscaler(Interpolate(scale=2)).upscale(frames, 2)).abs().max()) < 1e-5


def test_too_little_memory_for_the_smallest_tile_is_reported() -> None:
    with pytest.raises(MemoryError):
        upscaler(Interpolate(room=95 * 95)).upscale(torch.zeros(1, 200, 200, 3), 2)


@pytest.mark.usefixtures("small_tiles")
def test_an_interrupt_is_noticed_between_two_tiles() -> None:
    module, host = Interpolate(), CountingHost()
    host.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        upscaler(module, host).upscale(torch.zeros(1, 200, 200, 3), 2)
    assert len(module.sizes) == 2


def test_invalid_numbers_are_reported() -> None:
    frames = torch.zeros(1, 20, 20, 3)
    frames[0, 3, 4, 1] = float("nan")
    with pytest.raises(InvalidOutputError, match="interpolate"):
        upscaler(Interpolate()).upscale(frames, 2)


def test_a_network_in_which_pytorch_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Interpolate, images: Tensor) -> Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Interpolate, "forward", fail)
    with pytest.raises(RuntimeError, match=r"^interpolate failed: CUDA error: an illegal"):
        upscaler(Interpolate()).upscale(torch.zeros(1, 20, 20, 3), 2)


# Real weights on real photographs.


@pytest.fixture(scope="module")
def real(data: Path) -> Upscaler:
    return load_upscaler(data / "weights" / "realesr-general-x4v3.pth", CountingHost())


@pytest.fixture(scope="module")
def photograph(data: Path) -> Tensor:
    pixels = cv2.cvtColor(cv2.imread(str(data / "photos" / "old_photos" / "old__a.webp")), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(pixels[40:170, 40:210].copy())[None].float() / 255


def test_real_tiles_leave_no_seam(real: Upscaler, photograph: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = real.upscale(photograph, 4)
    assert whole.shape == (1, 520, 680, 3)
    monkeypatch.setattr(upscaler_module, "_LARGEST_TILE", 128)
    tiled = real.upscale(photograph, 4)
    assert 0 < float((tiled - whole).abs().max()) < 0.25 / 255
    halved = resize_frames(whole, 0.5)
    assert float((real.upscale(photograph, 2) - halved).abs().max()) < 0.25 / 255


@pytest.mark.parametrize("factor", [1.0, 2.0, 3.1, 4.0])
def test_a_real_network_shifts_nothing(real: Upscaler, factor: float) -> None:
    """Soft dots at known places, on and between pixels, come out where the geometry says."""
    places = [(20.0, 22.0), (20.5, 60.25), (58.0, 21.75), (61.3, 59.6)]
    y, x = torch.arange(80).view(-1, 1), torch.arange(80)
    dots = sum(torch.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 2.5**2)) for py, px in places)
    assert isinstance(dots, Tensor)
    frame = (0.1 + 0.8 * dots)[None, ..., None].expand(1, 80, 80, 3)
    upscaled = real.upscale(frame, factor)[0].mean(dim=-1)
    scale = upscaled.shape[0] / 80
    for py, px in places:
        centre_y, centre_x = (py + 0.5) * scale - 0.5, (px + 0.5) * scale - 0.5
        y, x = torch.arange(len(upscaled)).view(-1, 1), torch.arange(len(upscaled))
        near = ((y - centre_y) ** 2 + (x - centre_x) ** 2) < (8 * scale) ** 2
        light = (upscaled - 0.12).clamp(min=0) * near
        found_y, found_x = float((light * y).sum() / light.sum()), float((light * x).sum() / light.sum())
        assert abs(found_y - centre_y) / scale < 0.1  # pixels of the input; half a pixel off would be 0.5
        assert abs(found_x - centre_x) / scale < 0.1


def test_a_real_network_keeps_the_picture(real: Upscaler, photograph: Tensor) -> None:
    upscaled = real.upscale(photograph, 2)
    assert upscaled.shape == (1, 260, 340, 3)
    back = resize_frames(upscaled, 0.5)
    assert float((back - photograph).abs().mean()) < 12 / 255
    assert float((back - photograph).mean(dim=(0, 1, 2)).abs().max()) < 5 / 255
