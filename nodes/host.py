"""The host inside ComfyUI: networks are under its memory management, progress and interrupts are its own."""

from __future__ import annotations

import itertools
from typing import Any, Generic, TypeVar

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from torch import nn

from ..models.host import Progress, Resident, is_out_of_memory, ready

M = TypeVar("M", bound=nn.Module)


class _Patched(Generic[M]):
    """A network whose weights ComfyUI moves between the device and memory, whole."""

    def __init__(self, patcher: Any, dtype: torch.dtype) -> None:
        self._patcher = patcher
        self._dtype = dtype

    @property
    def module(self) -> M:
        module: M = self._patcher.model
        return module

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    def bring(self, working_bytes: int) -> torch.device:
        management = comfy.model_management
        device: torch.device = self._patcher.load_device
        loaded = [entry for entry in management.current_loaded_models if entry.model is self._patcher]
        if not loaded or not self._lies_on(device):
            # Without force_full_load the legacy patcher may leave plain layers behind on the CPU when memory is short.
            management.load_models_gpu([self._patcher], memory_required=working_bytes, force_full_load=True)
            if not self._lies_on(device):
                # With --novram it leaves them behind whatever it is asked for.
                self._patcher.model.to(device)
                self._patcher.model.model_loaded_weight_memory = self._patcher.model_size()
        elif device.type != "cpu":
            # The dynamic patcher would carry every plain layer over anew if it were told to load what is there.
            wanted = working_bytes + management.extra_reserved_memory()
            if management.get_free_memory(device) < wanted:
                management.free_memory(wanted, device, keep_loaded=loaded, for_dynamic=self._patcher.is_dynamic())
        return device

    def _lies_on(self, device: torch.device) -> bool:
        module = self._patcher.model
        return all(
            tensor.device.type == device.type and device.index in (None, tensor.device.index)
            for tensor in itertools.chain(module.parameters(), module.buffers())
        )


class Bar:
    """A node's progress bar, under which ComfyUI shows pictures of what is being made."""

    def __init__(self, total: int) -> None:
        self._bar = comfy.utils.ProgressBar(total)

    def advance(self, steps: int = 1) -> None:
        self._bar.update(steps)
        # The bar asks about interrupts too, but not at every step: it limits how often it is redrawn.
        comfy.model_management.throw_exception_if_processing_interrupted()

    def show(self, steps: int, picture: tuple[str, Any, int]) -> None:
        """Advances and shows a picture: its file format, the picture (PIL) and the longest side to show it at."""
        self._bar.update_absolute(self._bar.current + steps, preview=picture)
        comfy.model_management.throw_exception_if_processing_interrupted()


class ComfyHost:
    """One for each loaded model, so that ComfyUI can be told which networks belong to it.

    Attributes:
        patchers: the networks adopted so far.
    """

    def __init__(self) -> None:
        self.patchers: list[Any] = []

    def adopt(self, module: M, dtype: torch.dtype) -> Resident[M]:
        # By attribute at call time: ComfyUI exchanges the class when it starts with dynamic memory.
        device = comfy.model_management.get_torch_device()
        patcher = comfy.model_patcher.CoreModelPatcher(
            ready(module, dtype, device),
            load_device=device,
            offload_device=comfy.model_management.unet_offload_device(),
        )
        self.patchers.append(patcher)
        return _Patched(patcher, dtype)

    def free_bytes(self) -> int:
        device = comfy.model_management.get_torch_device()
        # A patcher counts what its dynamic neighbours give up on demand, too. Without that, batches and tiles would be
        # small whenever a diffusion model is loaded.
        return int((self.patchers[0] if self.patchers else comfy.model_management).get_free_memory(device))

    def progress(self, total: int, label: str) -> Progress:
        return Bar(total)

    def check_interrupt(self) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()

    def is_out_of_memory(self, error: BaseException) -> bool:
        # ComfyUI knows its devices' errors, of other versions too; PyTorch has more wordings. ComfyUI is asked first
        # because it also clears what CUDA noticed late, which the next call would raise once more.
        return bool(comfy.model_management.is_oom(error)) or is_out_of_memory(error)

    def release(self) -> None:
        comfy.model_management.soft_empty_cache()
