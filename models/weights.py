"""Reading weight files without running anything that is in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

# Training scripts wrap the tensors; the averaged ("ema") ones are the ones meant for use.
_WRAPPERS = ("params_ema", "g_ema", "params", "state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "netG.")


class WeightsError(Exception):
    """A weight file that cannot be used. The message names the file and says what to do."""


@dataclass(frozen=True)
class Weights:
    """The tensors of one file by name, and the text that came with them (safetensors only)."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def read_weights(path: Path) -> Weights:
    """Reads a safetensors file or a pickle that holds nothing but tensors, on the CPU.

    Pickles are read by ``torch.load(weights_only=True)``, which runs no code from the file.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the file is empty, cut short, not a weight file, or holds more than tensors.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No weight file at {path}.")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path.name} is empty: the download failed. Delete it and download it again.")
    if path.suffix.lower() in (".safetensors", ".sft"):
        return _read_safetensors(path)
    return Weights(path, _state_dict(path, read_pickle(path)))


def read_pickle(path: Path) -> object:
    """What a PyTorch pickle holds, refused if it asks for anything that is not plain data or already allowed.

    Raises:
        WeightsError: as :func:`read_weights`.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(_explain_pickle(path, error)) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile, ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError(
            f"{path.name} is cut short or is no PyTorch file ({error}). Delete it and download it again."
        ) from error


def _explain_pickle(path: Path, error: pickle.UnpicklingError) -> str:
    reason = str(error).splitlines()[0]
    if "Unsupported" in str(error) or "global" in str(error).lower():
        return (
            f"{path.name} was refused: it wants to run code while it is read ({reason}). Nothing was run. "
            "Use a safetensors file, or a copy from the model's own page."
        )
    return f"{path.name} is cut short or is no PyTorch file ({reason}). Delete it and download it again."


def _read_safetensors(path: Path) -> Weights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return Weights(path, tensors, dict(file.metadata() or {}))
    except SafetensorError as error:
        raise WeightsError(
            f"{path.name} is cut short or is no safetensors file ({error}). Delete it and download it again."
        ) from error


def _state_dict(path: Path, loaded: object) -> dict[str, Tensor]:
    """Takes the wrapping off: the first known wrapper, then prefixes of data-parallel training."""
    if isinstance(loaded, Mapping):
        for name in _WRAPPERS:
            if isinstance(loaded.get(name), Mapping):
                return _state_dict(path, loaded[name])
        tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
        if tensors:
            for prefix in _PREFIXES:
                if all(name.startswith(prefix) for name in tensors):
                    tensors = {name[len(prefix) :]: value for name, value in tensors.items()}
            return tensors
    raise WeightsError(f"{path.name} holds no tensors: it is not a file of network weights.")
