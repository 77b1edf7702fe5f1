"""Reading weight files without running anything that is in them."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

# Training scripts wrap the tensors; the averaged ("ema") ones are the ones meant for use.
_WRAPPERS = ("params_ema", "g_ema", "params", "state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "netG.")

# What the restricted reader of PyTorch raises over a damaged file; found by cutting and flipping bytes of real ones.
# OSError is among it: a cut archive makes the reader seek before the start of the file.
DAMAGE = (
    OSError,
    RuntimeError,
    EOFError,
    zipfile.BadZipFile,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    OverflowError,
    struct.error,
)
_TRY_AGAIN = "Delete it and download it again."


class WeightsError(Exception):
    """A weight file that cannot be used. The message names the file and says what to do."""


@dataclass(frozen=True)
class Weights:
    """The tensors of one file by name, and the text that came with them (safetensors only)."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def read_weights(path: Path) -> Weights:
    """Reads a safetensors file or a pickle that holds nothing but tensors, on the CPU, whatever it is called.

    Pickles are read by ``torch.load(weights_only=True)``, which runs no code from the file.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: a folder, or a file that is empty, cut short, not a weight file, or holds more than tensors.
    """
    if path.suffix.lower() in (".safetensors", ".sft") or _begins_like_safetensors(path):
        return _read_safetensors(path)
    return Weights(path, _state_dict(path, read_pickle(path)))


def _begins_like_safetensors(path: Path) -> bool:
    """Eight bytes of length, then JSON."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def read_pickle(path: Path) -> object:
    """What a PyTorch pickle holds, refused if it asks for anything that is not plain data or already allowed.

    Raises:
        FileNotFoundError, WeightsError: as :func:`read_weights`.
    """
    _check_content(path)
    try:
        with warnings.catch_warnings():
            # PyTorch talks of pickle protocols and TorchScript here; what matters comes as an exception.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(_explain_pickle(path, error)) from error
    except DAMAGE as error:
        if "TorchScript" in str(error):
            raise WeightsError(f"{path.name} is a TorchScript program, not plain weights.") from error
        raise WeightsError(f"{path.name} is cut short or is no PyTorch file. {_TRY_AGAIN}") from error


def _check_content(path: Path) -> None:
    """Refuses what is no weight file at first sight: above all the text that a failed download leaves."""
    if path.is_dir():
        raise WeightsError(f"{path} is a folder. Name the weight file in it.")
    if not path.is_file():
        raise FileNotFoundError(f"No weight file at {path}.")
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise WeightsError(f"{path.name} is empty: the download failed. {_TRY_AGAIN}")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{path.name} is the pointer that Git LFS keeps in place of a file, not the weights. "
            "Download the file itself, or run `git lfs pull`."
        )
    if start.lstrip().startswith(b"<"):
        raise WeightsError(
            f"{path.name} is a web page, not weights: its address led to a page, perhaps an error or a log-in. "
            "Delete it and download it from the address of the file itself."
        )
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        raise WeightsError(f"{path.name} is a text file, not weights. {_TRY_AGAIN}")


def _explain_pickle(path: Path, error: pickle.UnpicklingError) -> str:
    """PyTorch's own text advises to read the file unsafely; only the name of what was asked for is taken from it."""
    asked_for = re.search(r"GLOBAL (\S+)", str(error))
    if asked_for:
        return (
            f"{path.name} was refused: it asks for {asked_for[1]}, which could run code. Nothing was run. "
            "Use a safetensors file, or a copy from the model's own page."
        )
    return f"{path.name} is cut short or is no PyTorch file. {_TRY_AGAIN}"


def _read_safetensors(path: Path) -> Weights:
    from safetensors import SafetensorError, safe_open

    _check_content(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return Weights(path, tensors, dict(file.metadata() or {}))
    except SafetensorError as error:
        raise WeightsError(f"{path.name} is cut short or is no safetensors file ({error}). {_TRY_AGAIN}") from error


def _state_dict(path: Path, loaded: object) -> dict[str, Tensor]:
    """Takes the wrapping off: known wrappers, then prefixes of data-parallel training."""
    # Lightning files wrap twice. The limit is for files that contain themselves.
    for _ in range(3):
        if isinstance(loaded, Mapping):
            loaded = next((loaded[name] for name in _WRAPPERS if isinstance(loaded.get(name), Mapping)), loaded)
    if isinstance(loaded, Mapping):
        tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
        if tensors:
            for prefix in _PREFIXES:
                if all(name.startswith(prefix) for name in tensors):
                    tensors = {name[len(prefix) :]: value for name, value in tensors.items()}
            return tensors
    raise WeightsError(f"{path.name} holds no tensors: it is not a file of network weights.")
