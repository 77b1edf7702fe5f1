"""A device that is not there: it computes on the CPU, and is as strict as a GPU about where tensors lie.

A stand-in for machines without a GPU. It shows that tensors of two devices are never mixed and that none is read by
the CPU where it lies, and counts how often and how much is carried between the two; of speed and rounding it says
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyDeviceGuard

DEVICE = torch.device("privateuseone", 0)
"""Of PyTorch's own name for devices that others bring."""


class _Backend(ModuleType):
    """What PyTorch asks a device of others for before the first tensor."""

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def _lazy_init() -> None:
        return None

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        return None


torch._register_device_module(DEVICE.type, _Backend(DEVICE.type))
torch._C._acc.register_python_privateuseone_device_guard(_DummyDeviceGuard())

_aten = torch.ops.aten
# What may take tensors of both devices; indices may lie on the CPU.
_CARRYING = {_aten._to_copy.default, _aten.copy_.default}
_INDEXING = {_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default, _aten._index_put_impl_.default}

# PyTorch's issue 180984.
_MISREADING = {_aten.convolution.default, _aten.avg_pool2d.default}

# As PyTorch numbers them: what is beyond a picture is its border.
_BORDER = 1


class _There(Tensor):
    """A tensor of the device; ``held`` is what the CPU computes with."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> _There:
        made: _There = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy.")
        return self.cpu().numpy()

    def new_tensor(self, data: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        return torch.tensor(data, dtype=dtype or self.dtype).to(self.device if device is None else device)

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(_carried_index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_carried_index(index), value)

    def __repr__(self, **_: Any) -> str:
        return f"{self.held!r} on {DEVICE}"

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        raise RuntimeError(f"{operation} reached the pretended device outside of its `with`.")


@dataclass
class Carried:
    """What went from one side to the other: how often, and how many bytes."""

    times: int = 0
    bytes: int = 0

    def add(self, tensor: Tensor) -> None:
        self.times += 1
        self.bytes += tensor.numel() * tensor.element_size()


class _Making(TorchFunctionMode):
    """Makes tensors of plain numbers on the CPU and carries them there, as PyTorch does it for its own devices."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor) and _is_there(kwargs.get("device")):
            return function(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return function(*args, **kwargs)


@dataclass
class PretendedDevice(TorchDispatchMode):
    """Computes for tensors of :data:`DEVICE`; see :func:`pretended_device`.

    Attributes:
        refused: types that the device does not know, as MPS does not know float64.
        borders: it has ``grid_sample`` with the padding "border" after all.
        to_device, to_cpu: what was carried, numbers that were read one by one included.
    """

    refused: tuple[torch.dtype, ...] = ()
    borders: bool = False
    to_device: Carried = field(default_factory=Carried)
    to_cpu: Carried = field(default_factory=Carried)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self, operation: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if operation is _aten._has_compatible_shallow_copy_type.default:
            return False
        kwargs = dict(kwargs or {})
        if operation._can_decompose():
            # Where no gradients are kept, operations arrive here before they are taken apart.
            with self:
                return operation.decompose(*args, **kwargs)
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
        there = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, _There)}
        named = kwargs.get("device")
        stays = bool(there) if named is None else _is_there(named)
        if _is_there(named):
            kwargs["device"] = torch.device("cpu")
        if there and operation not in _CARRYING:
            self._check(operation, args, tensors)
        if operation is _aten._local_scalar_dense.default and there:
            self.to_cpu.add(args[0])
        made = operation(*tree_map(_held, args), **tree_map(_held, kwargs))
        if operation is _aten.copy_.default:
            self._count(args[1], isinstance(args[0], _There))
            return args[0]
        if operation is _aten._to_copy.default:
            self._count(args[0], stays)
        return tree_map(self._wrapping(there), made) if stays else made

    def _wrapping(self, there: dict[int, _There]) -> Callable[[Any], Any]:
        def wrapped(result: Any) -> Any:
            if not isinstance(result, Tensor):
                return result
            if result.dtype in self.refused:
                raise TypeError(f"The device does not know {result.dtype}.")
            # What was changed in place stays the tensor that it was.
            return there[id(result)] if id(result) in there else _There(result)

        return wrapped

    def _count(self, source: Tensor, to_device: bool) -> None:
        if to_device and not isinstance(source, _There):
            self.to_device.add(source)
        elif not to_device and isinstance(source, _There):
            self.to_cpu.add(source)

    def _check(self, operation: Any, args: tuple[Any, ...], tensors: Sequence[Tensor]) -> None:
        if operation is _aten.grid_sampler_2d.default and args[3] == _BORDER and not self.borders:
            raise RuntimeError("MPS: Unsupported Border padding mode")  # before 2.11
        if operation is _aten._adaptive_avg_pool2d.default and any(
            old % new for old, new in zip(args[0].shape[-2:], args[1], strict=True)
        ):
            raise RuntimeError("Adaptive pool MPS: input sizes must be divisible by output sizes.")
        if operation in _MISREADING and _some_channels_of_last(args[0]):
            raise RuntimeError(
                f"MPS misreads some of the channels of what lies with its channels last, in {operation}."
            )
        if operation in _INDEXING:
            tensors = [args[0], *args[2:3]]
        strangers = [tensor for tensor in tensors if isinstance(tensor, Tensor) and not isinstance(tensor, _There)]
        # Single numbers of the CPU may stand beside tensors of any device, where places are treated alike.
        alike = torch.Tag.pointwise in operation.tags or operation in _INDEXING
        if any(tensor.ndim > 0 or not alike for tensor in strangers):
            shapes = [(list(tensor.shape), tensor.device.type) for tensor in tensors if isinstance(tensor, Tensor)]
            raise RuntimeError(f"Expected all tensors to be on the same device, in {operation}: {shapes}")


def _some_channels_of_last(images: Tensor) -> bool:
    """Whether images lie with their channels last, but among others that are not theirs."""
    if images.ndim != 4 or images.is_contiguous() or images.is_contiguous(memory_format=torch.channels_last):
        return False
    image, channel, row, _ = images.stride()
    return channel == 1 and images.shape[1] > 1 and image >= images.shape[2] * row


def _held(value: Any) -> Any:
    return value.held if isinstance(value, _There) else value


def _carried_index(index: Any) -> Any:
    """Lists among indices are made into tensors of the device, as PyTorch does it for its own."""
    if isinstance(index, tuple):
        return tuple(_carried_index(part) for part in index)
    return torch.tensor(index).to(DEVICE) if isinstance(index, list) else index


def _is_there(device: torch.device | str | None) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


@contextmanager
def pretended_device(refused: tuple[torch.dtype, ...] = (), borders: bool = False) -> Iterator[PretendedDevice]:
    """Inside, tensors and modules can be sent to :data:`DEVICE`, and what is carried is counted."""
    with _Making(), PretendedDevice(refused, borders) as device:
        yield device
