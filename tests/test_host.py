"""The plain host: what it takes for a lack of memory, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from visage.models.host import TorchHost, in_batches

HOST = TorchHost("cpu", quiet=True)

# As PyTorch's devices, cuDNN, cuBLAS and MIOpen say it.
SHORT = (
    "MPS backend out of memory (MPS allocated: 17.9 GB, other allocations: 1 GB, max allowed: 18.1 GB).",
    "Invalid buffer size: 24.00 GiB",
    "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.",
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "Unable to find a valid cuDNN algorithm to run convolution",
    "GET was unable to find an engine to execute this computation",
    "miopenStatusAllocFailed",
    "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
)


@pytest.mark.parametrize("words", SHORT)
@pytest.mark.parametrize("kind", [RuntimeError, getattr(torch, "AcceleratorError", RuntimeError)])
def test_a_lack_of_memory_is_told_from_other_errors(words: str, kind: type[Exception]) -> None:
    assert HOST.is_out_of_memory(kind(words))
    assert not HOST.is_out_of_memory(ValueError(words))


def test_other_errors_are_none() -> None:
    assert HOST.is_out_of_memory(MemoryError())
    assert HOST.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    for words in ("CUDA error: device-side assert triggered", "Expected all tensors to be on the same device", ""):
        assert not HOST.is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize("words", SHORT)
def test_batches_are_halved_on_every_device(words: str) -> None:
    def run(items: Sequence[int]) -> list[int]:
        if len(items) > 2:
            raise RuntimeError(words)
        return [2 * item for item in items]

    assert list(in_batches(HOST, "network", range(5), 5, run)) == [[0, 2], [4, 6], [8]]


def test_memory_is_given_back_where_it_was_short(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[str] = []
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: emptied.append("cuda"))
    monkeypatch.setattr("torch.xpu.empty_cache", lambda: emptied.append("xpu"))
    monkeypatch.setattr("torch.mps.empty_cache", lambda: emptied.append("mps"))
    for device in ("cpu", "cuda", "xpu", "mps"):
        TorchHost(device, quiet=True).release()
    assert emptied == ["cuda", "xpu", "mps"]


def test_what_pytorch_keeps_unused_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (1_000, 8_000))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 6_000)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 2_500)
    assert TorchHost("cuda", quiet=True).free_bytes() == 4_500


def test_integrated_gpus_of_intel_are_not_asked_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: torch.device) -> None:
        raise RuntimeError("The device (Intel(R) Graphics) doesn't support querying the available free memory.")

    monkeypatch.setattr("torch.xpu.mem_get_info", refuse)
    monkeypatch.setattr("torch.xpu.get_device_properties", lambda device: SimpleNamespace(total_memory=8_000))
    monkeypatch.setattr("torch.xpu.memory_reserved", lambda device: 6_000)
    monkeypatch.setattr("torch.xpu.memory_allocated", lambda device: 2_500)
    assert TorchHost("xpu", quiet=True).free_bytes() == 5_500


@pytest.mark.parametrize(("device", "last"), [("cpu", True), ("meta", False)])
def test_weights_that_are_laid_out_for_cpus_are_so_on_cpus_alone(device: str, last: bool) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 1), torch.nn.Conv2d(8, 8, 3))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    resident = TorchHost(device, quiet=True).adopt(network, torch.bfloat16)
    assert resident.bring(0).type == device
    assert [weight.stride(3) > 1 for weight in resident.module.parameters() if weight.ndim == 4] == [last, last]
