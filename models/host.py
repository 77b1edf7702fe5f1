"""The host: where networks compute, how they get there, how progress is told and how an interrupt is noticed.

ComfyUI and the command line differ in these few things and in nothing else. ``nodes`` brings the ComfyUI host;
:class:`TorchHost` below is the plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import torch
from torch import nn

M_co = TypeVar("M_co", bound=nn.Module, covariant=True)
M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")
R = TypeVar("R")

# What is said of it by MPS, and by CUDA and ROCm where they notice it late (``AcceleratorError`` since PyTorch 2.8); by
# cuDNN, cuBLAS and MIOpen, and by cuDNN where no way of convolving finds room; by Intel's GPUs; by CPUs under Linux and
# under Windows; and of a tensor beyond what MPS takes at all.
_OUT_OF_MEMORY = (
    "out of memory",
    "_ALLOC_FAILED",
    "miopenStatusAllocFailed",
    "Unable to find a valid cuDNN algorithm",
    "unable to find an engine to execute",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "OUT_OF_DEVICE_MEMORY",
    "OUT_OF_HOST_MEMORY",
    "can't allocate memory",
    "not enough memory",
    "Invalid buffer size",
)


class Resident(Protocol[M_co]):
    """A network that a host looks after. The weights may be anywhere until :meth:`bring` is called."""

    @property
    def module(self) -> M_co: ...

    @property
    def dtype(self) -> torch.dtype:
        """The type that inputs of the network must have."""
        ...

    def bring(self, working_bytes: int) -> torch.device:
        """Puts the weights where the network computes, with that much room left for one call.

        Call it before every use: another network may have pushed this one out. Returns the device for inputs.
        """
        ...


class Progress(Protocol):
    """Told of every step. ``advance`` raises if the user asked to stop."""

    def advance(self, steps: int = 1) -> None: ...


class Host(Protocol):
    """What ``models`` and ``pipeline`` need of their surroundings."""

    def adopt(self, module: M, dtype: torch.dtype) -> Resident[M]:
        """Takes over a network in evaluation mode, its weights cast to ``dtype``."""
        ...

    def free_bytes(self) -> int:
        """Memory that the working tensors of a network may use now."""
        ...

    def progress(self, total: int, label: str) -> Progress: ...

    def check_interrupt(self) -> None:
        """Raises if the user asked to stop."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool: ...

    def release(self) -> None:
        """Gives unused memory back after an out-of-memory error."""
        ...


def in_batches(
    host: Host, network: str, items: Sequence[T], batch: int, run: Callable[[Sequence[T]], R]
) -> Iterator[R]:
    """Runs ``run`` over ``items`` in batches and gives what it returns for each.

    Out of memory halves the batch and tries the same items again, outside the handler, because the exception's
    frames would keep the tensors of the failed call alive.

    Args:
        network: its name, for the message.

    Raises:
        MemoryError: a single item does not fit.
    """
    start = 0
    batch = max(1, min(batch, len(items)))
    while start < len(items):
        host.check_interrupt()
        failure: str | None = None
        try:
            done = run(items[start : start + batch])
        except (RuntimeError, MemoryError) as error:
            if not host.is_out_of_memory(error):
                raise
            failure = str(error)
        if failure is None:
            start += batch
            yield done
            continue
        host.release()
        if batch == 1:
            raise MemoryError(f"Out of memory in {network}, even with one picture at a time: {failure}")
        batch = max(1, batch // 2)


def layout_on(device: torch.device, on_cpus: torch.memory_format = torch.preserve_format) -> torch.memory_format:
    """How networks, and pictures for them, lie in memory: channels first, on CPUs as given.

    Where a convolution looks at some of the channels of what lies otherwise, as in YOLO, MPS misreads them (PyTorch's
    issue 180984, up to 2.11 at least). Results lie as either the pictures or the weights do.
    """
    return on_cpus if device.type == "cpu" else torch.contiguous_format


def ready(module: M, dtype: torch.dtype, device: torch.device) -> M:
    """A network as hosts keep it: for that device, in evaluation mode, its weights of that type."""
    # The stubs of torch know only the layout of tensors here.
    return module.to(dtype=dtype, memory_format=layout_on(device)).eval()  # type: ignore[call-overload,no-any-return]


class _Settled(Resident[M]):
    """A network of the plain host: it moves to the device at its first use and stays there."""

    def __init__(self, module: M, dtype: torch.dtype, device: torch.device) -> None:
        self._module = ready(module, dtype, device)
        self._dtype = dtype
        self._device = device
        self._moved = False

    @property
    def module(self) -> M:
        return self._module

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    def bring(self, working_bytes: int) -> torch.device:
        if not self._moved:
            self._module.to(self._device)
            self._moved = True
        return self._device


class _Bar:
    """A tqdm bar that closes itself at its last step."""

    def __init__(self, total: int, label: str, hidden: bool) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, desc=label, disable=hidden, leave=False)

    def advance(self, steps: int = 1) -> None:
        self._bar.update(steps)
        if self._bar.total is not None and self._bar.n >= self._bar.total:
            self._bar.close()


class TorchHost:
    """The host without ComfyUI: one device, everything stays on it, progress on the terminal.

    An interrupt needs no polling here: Ctrl-C raises ``KeyboardInterrupt`` by itself.
    """

    def __init__(self, device: torch.device | str | None = None, *, quiet: bool = False) -> None:
        self.device = torch.device(device) if device is not None else _best_device()
        self._quiet = quiet

    def adopt(self, module: M, dtype: torch.dtype) -> Resident[M]:
        return _Settled(module, dtype, self.device)

    def free_bytes(self) -> int:
        if self.device.type == "cuda":
            # What PyTorch keeps for itself and does not use is as good as free.
            kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
            return torch.cuda.mem_get_info(self.device)[0] + kept
        if self.device.type == "xpu":
            # What is free in it, integrated GPUs do not tell: PyTorch raises an error.
            total = torch.xpu.get_device_properties(self.device).total_memory
            return int(total) - torch.xpu.memory_allocated(self.device)
        import psutil

        return int(psutil.virtual_memory().available)

    def progress(self, total: int, label: str) -> Progress:
        return _Bar(total, label, self._quiet)

    def check_interrupt(self) -> None:
        return None

    def is_out_of_memory(self, error: BaseException) -> bool:
        return is_out_of_memory(error)

    def release(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "xpu":
            torch.xpu.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch says that memory is short. Only some devices have a type of error for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.xpu.is_available():
        return torch.device("xpu")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
