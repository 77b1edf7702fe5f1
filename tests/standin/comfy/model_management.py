"""A stand-in: one CPU device on which every model fits."""

from __future__ import annotations

import weakref

import torch


class InterruptProcessingException(BaseException):
    pass


class _Args:
    fp16_intermediates = False


args = _Args()
_interrupted = False


def get_torch_device() -> torch.device:
    return torch.device("cpu")


def unet_offload_device() -> torch.device:
    return torch.device("cpu")


def intermediate_device() -> torch.device:
    return torch.device("cpu")


def intermediate_dtype() -> torch.dtype:
    return torch.float16 if args.fp16_intermediates else torch.float32


class LoadedModel:
    def __init__(self, model: object) -> None:
        self._model = weakref.ref(model)

    @property
    def model(self) -> object:
        return self._model()


current_loaded_models: list[LoadedModel] = []


def get_free_memory(dev: torch.device | None = None) -> int:
    return 4 * 1024**3


def extra_reserved_memory() -> int:
    return 400 * 1024**2


def free_memory(
    memory_required: float, device: torch.device, keep_loaded: tuple = (), for_dynamic: bool = False
) -> None:
    """Every model fits."""


def load_models_gpu(models: list, memory_required: int = 0, force_full_load: bool = False) -> None:
    for model in models:
        model.model.to(model.load_device)
        current_loaded_models.append(LoadedModel(model))


def is_oom(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError)


def soft_empty_cache() -> None:
    return None


def interrupt_current_processing(value: bool = True) -> None:
    global _interrupted  # noqa: PLW0603 - as ComfyUI does
    _interrupted = value


def throw_exception_if_processing_interrupted() -> None:
    global _interrupted  # noqa: PLW0603
    if _interrupted:
        _interrupted = False
        raise InterruptProcessingException
