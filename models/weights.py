"""Reading weight files without running anything that is in them, and writing them as safetensors."""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from . import pickles
from .file_format import ONNX, PICKLES, SAFETENSORS, file_format
from .host import is_out_of_memory

# Training scripts wrap the tensors; the averaged ("ema") ones are the ones meant for use. What is called "ema" alone
# may hold the counters of an average instead, so it comes last.
_WRAPPERS = ("params_ema", "params-ema", "g_ema", "params", "state_dict", "model_state_dict", "model", "net", "ema")
# What training leaves beside the tensors and nobody needs here. Each becomes a placeholder.
RECORDS = frozenset(
    (
        "argparse.Namespace",
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
        *("numpy.dtype", "numpy.ndarray"),
        *(f"pathlib{local}.{name}" for local in ("", "._local") for name in ("PosixPath", "WindowsPath")),
        *(
            f"{package}.callbacks.{name}"
            for package in ("pytorch_lightning", "lightning.pytorch")
            for name in ("model_checkpoint.ModelCheckpoint", "early_stopping.EarlyStopping")
        ),
    )
)
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
    pickle.UnpicklingError,
)
_USUAL = frozenset((*SAFETENSORS, *PICKLES, *ONNX, ".bin", ".pkl"))
_TRY_AGAIN = "Delete it and download it again."


class WeightsError(Exception):
    """A weight file that cannot be used. The message names the file and says what to do."""


class RefusedError(WeightsError):
    """A pickle that asks for more than plain data.

    Attributes:
        names: what it asks for, sorted.
    """

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self.names = sorted(names)
        super().__init__(
            f"{path.name} was refused: it asks for {', '.join(self.names[:3])}, which could run code. Nothing was run. "
            "Use a safetensors file, or a copy from the model's own page."
        )


@dataclass(frozen=True)
class Weights:
    """The tensors of one file by name, and the text that came with them (safetensors only)."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def read_weights(path: Path) -> Weights:
    """Reads a safetensors file or a pickle of tensors and plain data, on the CPU, whatever it is called.

    Nothing in a pickle is run: see :mod:`.pickles`.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: a folder, or a file that is empty, cut short, not a weight file, in ONNX, or holds more than
            tensors, or does not fit into memory.
    """
    form = file_format(path)
    if form == "safetensors":
        return _read_safetensors(path)
    if form == "onnx":
        check_content(path)
        raise WeightsError(f"{path.name} is an ONNX network. Get the PyTorch file (.pth or .safetensors) instead.")
    return Weights(path, _state_dict(path, read_pickle(path, RECORDS.__contains__)))


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], source: str) -> None:
    """Writes tensors with the very bits they have, each with memory of its own.

    Args:
        source: the file they come from, for the message.

    Raises:
        WeightsError: a tensor is of a kind that safetensors does not hold.
        OSError: the disk does not take it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    for name, value in tensors.items():
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            kind = "quantised" if value.is_quantized else "without its numbers" if value.is_meta else "sparse"
            raise WeightsError(f"{source}: the tensor {name} is {kind}, which safetensors does not hold.")
    try:
        save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()}, path, dict(metadata))
    except KeyError as error:
        raise WeightsError(f"{source}: there are tensors of {error}, a type that safetensors does not hold.") from error
    except SafetensorError as error:
        raise OSError(f"The safetensors file cannot be written to {path.parent} ({error}).") from error


def read_pickle(path: Path, is_inert: Callable[[str], bool] = lambda name: False) -> object:
    """What a PyTorch pickle holds, refused if it asks for anything that is not plain data.

    Args:
        is_inert: tells of what else a file may ask for. It gets a :class:`~.pickles.Placeholder` for it.

    Raises:
        FileNotFoundError, WeightsError: as :func:`read_weights`.
    """
    names = names_asked_for(path)
    strange = [name for name in names if not is_inert(name)]
    if strange:
        raise RefusedError(path, strange)
    try:
        with warnings.catch_warnings():
            # PyTorch talks of pickle protocols here; what matters comes as an exception.
            warnings.simplefilter("ignore", UserWarning)
            return pickles.load(path, names)
    except pickles.ReplacedReaderError as error:
        raise WeightsError(
            f"{path.name} was not read: another program in this process has put its own functions in place of "
            "torch.load and torch.serialization.load, with which a file could run code. Turn a file from a page you "
            "trust into safetensors with `visage models convert`, or remove the extension that does this."
        ) from error
    except DAMAGE as error:
        raise _damaged(path, error) from error


def names_asked_for(path: Path) -> frozenset[str]:
    """The functions and classes that a PyTorch pickle asks for beyond what tensors need. Nothing is loaded.

    A file that is damaged behind the first such name gives those before the damage.

    Raises:
        FileNotFoundError, WeightsError: as :func:`read_weights`.
    """
    check_content(path)
    names: set[str] = set()
    try:
        for name in pickles.names_asked_for(path):
            names.add(name)
    except pickles.OldPyTorchError as error:
        raise WeightsError(
            f"{path.name} was not read: older versions of PyTorch than 2.6 can be made to run what is in such a file, "
            f"and this is {torch.__version__}. Update PyTorch as ComfyUI's page says, or take a safetensors file: "
            "`visage models convert` makes one, with a newer PyTorch."
        ) from error
    except DAMAGE as error:
        if "torchscript" in str(error).lower():
            raise WeightsError(f"{path.name} is a TorchScript program, not plain weights.") from error
        if not names:
            raise _damaged(path, error) from error
    return frozenset(names)


def _damaged(path: Path, error: Exception) -> WeightsError:
    if is_out_of_memory(error):
        return no_room(path.name)
    return WeightsError(f"{path.name} is cut short or is no PyTorch file.{_advice(path)}")


def no_room(file: str) -> WeightsError:
    """What to raise where memory is short while a file is read, of which nothing is wrong with the file."""
    return WeightsError(f"There is not enough memory to load {file}. Close other programs, or take a smaller model.")


def _advice(path: Path) -> str:
    """Only for what is meant to be a weight file: it may be somebody's photograph that is named by mistake."""
    return f" {_TRY_AGAIN}" if path.suffix.lower() in _USUAL else ""


def check_content(path: Path) -> None:
    """Refuses what is no weight file at first sight: above all the text that a failed download leaves.

    Raises:
        FileNotFoundError, WeightsError: as :func:`read_weights`.
    """
    if path.is_dir():
        raise WeightsError(f"{path} is a folder. Name the weight file in it.")
    if not path.is_file():
        raise FileNotFoundError(f"No weight file at {path}.")
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise WeightsError(f"{path.name} is empty: the download failed.{_advice(path)}")
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
        raise WeightsError(f"{path.name} is a text file, not weights.{_advice(path)}")


def _read_safetensors(path: Path) -> Weights:
    from safetensors import SafetensorError, safe_open

    check_content(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return Weights(path, tensors, dict(file.metadata() or {}))
    except MemoryError as error:
        raise no_room(path.name) from error
    except SafetensorError as error:
        raise WeightsError(f"{path.name} is cut short or is no safetensors file ({error}). {_TRY_AGAIN}") from error


def _state_dict(path: Path, loaded: object) -> dict[str, Tensor]:
    """Takes the wrapping off: known wrappers, then prefixes of data-parallel training."""
    # Lightning files wrap twice. The limit is for files that contain themselves.
    tensors = _unwrapped(loaded, 3)
    if not tensors:
        raise WeightsError(f"{path.name} holds no tensors: it is not a file of network weights.")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name[len(prefix) :]: value for name, value in tensors.items()}
    return tensors


def _unwrapped(loaded: object, most: int) -> dict[str, Tensor]:
    """The tensors behind at most that many known wrappers; a table of one entry is one too. Empty if there are none."""
    if not isinstance(loaded, Mapping):
        return {}
    if most > 0:
        inner = [loaded[name] for name in _WRAPPERS if name in loaded]
        for part in inner or (loaded.values() if len(loaded) == 1 else ()):
            tensors = _unwrapped(part, most - 1)
            if tensors:
                return tensors
    return {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
