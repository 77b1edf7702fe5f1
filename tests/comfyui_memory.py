"""Networks in the care of a real ComfyUI, on a pretended device: run by ``tests/test_nodes_memory.py``.

ComfyUI's own patchers and its own management run. Of the library that hands out memory under them (comfy-aimdo) only
what is asked of it here is pretended, as it needs a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from visage.tests import comfy_side
from visage.tests.pretend_device import DEVICE, PretendedDevice, pretended_device

GIB = 1024**3


class _HostBuffer:
    def __init__(self, *sizes: int) -> None:
        self.size = 0

    def truncate(self, *sizes: int, **more: bool) -> None:
        return None


class _Vbar:
    """Of a network of plain layers nothing is handed out on demand."""

    def __init__(self, *sizes: int) -> None:
        return None

    def prioritize(self) -> None:
        return None

    def loaded_size(self) -> int:
        return 0

    def free_memory(self, size: int) -> int:
        return 0


@pytest.fixture
def management(base: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """ComfyUI's management of a device with 60 GiB free."""
    comfy_side.begin(base)
    import comfy.model_management as management

    monkeypatch.setattr(management, "vram_state", management.VRAMState.NORMAL_VRAM)
    monkeypatch.setattr(management, "current_loaded_models", [])
    monkeypatch.setattr(management, "get_torch_device", lambda: DEVICE)
    monkeypatch.setattr(management, "soft_empty_cache", lambda *force: None)
    free(management, monkeypatch, 60 * GIB)
    return management


def free(management: Any, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    def get_free_memory(dev: Any = None, torch_free_too: bool = False) -> int | tuple[int, int]:
        return (size, size) if torch_free_too else size

    monkeypatch.setattr(management, "get_free_memory", get_free_memory)


@pytest.fixture
def dynamic(management: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dynamic memory, as ComfyUI has it on graphics cards of NVIDIA."""
    import comfy.model_patcher
    import comfy_aimdo.host_buffer
    import comfy_aimdo.model_vbar

    monkeypatch.setattr(comfy_aimdo.host_buffer, "HostBuffer", _HostBuffer)
    monkeypatch.setattr(comfy_aimdo.model_vbar, "ModelVBAR", _Vbar)
    monkeypatch.setattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcherDynamic)


@pytest.fixture
def device(management: Any) -> Iterator[PretendedDevice]:
    with pretended_device() as device, torch.inference_mode():
        yield device


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.PReLU(8))


def adopted(module: nn.Module) -> tuple[Any, Any]:
    from visage.nodes.host import ComfyHost

    host = ComfyHost()
    return host, host.adopt(module, torch.float32)


def places(resident: Any) -> set[str]:
    return {tensor.device.type for tensor in [*resident.module.parameters(), *resident.module.buffers()]}


def test_a_network_is_carried_over_once(management: Any, device: PretendedDevice) -> None:
    check_carried_once(device)


@pytest.mark.usefixtures("dynamic")
def test_a_network_is_carried_over_once_with_dynamic_memory(management: Any, device: PretendedDevice) -> None:
    host, _ = check_carried_once(device)
    assert host.patchers[0].is_dynamic()


def check_carried_once(device: PretendedDevice) -> tuple[Any, Any]:
    host, resident = adopted(network())
    size = sum(tensor.nbytes for tensor in [*resident.module.parameters(), *resident.module.buffers()])
    carried = []
    for _ in range(3):
        before = device.to_device.bytes
        assert resident.bring(GIB) == DEVICE
        carried.append(device.to_device.bytes - before)
    assert places(resident) == {DEVICE.type}
    assert carried == [size, 0, 0]
    return host, resident


@pytest.mark.parametrize("kind", ["plain", "dynamic"])
def test_what_was_pushed_out_comes_back(
    management: Any, device: PretendedDevice, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "dynamic":
        request.getfixturevalue("dynamic")
    _, resident = adopted(network())
    resident.bring(GIB)
    management.free_memory(1e30, DEVICE)
    assert places(resident) == {"cpu"}
    resident.bring(GIB)
    assert places(resident) == {DEVICE.type}


def test_a_network_is_whole_on_the_device_with_novram(
    management: Any, device: PretendedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management, "vram_state", management.VRAMState.NO_VRAM)
    host, resident = adopted(network())
    pictures = torch.rand(1, 3, 8, 8)
    resident.bring(GIB)
    assert places(resident) == {DEVICE.type}
    assert resident.module(pictures.to(DEVICE)).device == DEVICE
    management.free_memory(1e30, DEVICE)
    assert places(resident) == {"cpu"}
    assert host.patchers[0].loaded_size() == 0


@pytest.mark.parametrize("kind", ["plain", "dynamic"])
def test_short_memory_pushes_out_the_others_and_not_the_network_itself(
    management: Any, device: PretendedDevice, monkeypatch: pytest.MonkeyPatch, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "dynamic":
        request.getfixturevalue("dynamic")
    asked: list[tuple[list[Any], bool]] = []

    def free_memory(wanted: float, device: Any, keep_loaded: Any = (), for_dynamic: bool = False, **more: Any) -> None:
        asked.append(([entry.model for entry in keep_loaded], for_dynamic))

    host, resident = adopted(network())
    resident.bring(GIB)
    free(management, monkeypatch, GIB)
    monkeypatch.setattr(management, "free_memory", free_memory)
    before = device.to_device.bytes
    resident.bring(2 * GIB)
    assert asked == [(host.patchers, kind == "dynamic")]
    assert device.to_device.bytes == before


def test_what_cuda_noticed_late_is_not_raised_once_more(management: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[bool] = []
    monkeypatch.setattr(management, "discard_cuda_async_error", lambda: cleared.append(True))
    host, _ = adopted(network())
    assert host.is_out_of_memory(torch.AcceleratorError("CUDA error: out of memory"))
    assert cleared == [True]


@pytest.mark.usefixtures("dynamic")
def test_what_dynamic_neighbours_give_up_counts_as_free(management: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.memory_management
    import comfy_aimdo.model_vbar

    free(management, monkeypatch, GIB)
    host, _ = adopted(network())
    assert host.free_bytes() == GIB
    monkeypatch.setattr(comfy.memory_management, "aimdo_enabled", True)
    monkeypatch.setattr(comfy_aimdo.model_vbar, "vbars_analyze", lambda device=None: 6 * GIB)
    assert host.free_bytes() == 7 * GIB
