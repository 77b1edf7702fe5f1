"""Pickles of PyTorch: what they ask for, told without running them, and reading them as plain data.

``torch.load(weights_only=True)`` runs nothing, as long as it is PyTorch's own. Others in the same process put readers
in its place that run everything, and allow names for all who read. So the names in a file are looked at before anything
reads it, and it is read by PyTorch's own function, with nothing allowed but what is given here.
"""

from __future__ import annotations

import os
import pickle
import re
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

# What PyTorch writes for tensors. The newer format, an archive, is asked about by PyTorch itself; it has nothing for
# the older one, which is five pickles and then the numbers.
_PICKLES = 5
_PLAIN = frozenset(
    (
        *("collections.OrderedDict", "collections.Counter", "_codecs.encode", "torch.Size", "torch.Tensor"),
        *("builtins.bytearray", "builtins.complex", "builtins.set", "torch.device", "torch.nn.parameter.Parameter"),
        *("torch.serialization._get_layout", "torch.storage.TypedStorage", "torch.storage.UntypedStorage"),
        *(f"torch._utils._rebuild_{what}" for what in ("tensor", "tensor_v2", "tensor_v3", "parameter")),
        *(f"torch._utils._rebuild_{what}" for what in ("parameter_with_state", "qtensor", "sparse_tensor")),
        *(str(value) for value in vars(torch).values() if isinstance(value, torch.dtype | torch.qscheme)),
    )
)
_STORAGE = re.compile(r"torch\.(cuda\.)?[A-Z]\w*Storage")
# The only instructions that the restricted reader of PyTorch knows, and how many bytes follow each; or how many of
# these say how many there are. None but GLOBAL brings in a name.
_FOLLOWING = {
    **dict.fromkeys((pickle.NEWOBJ, pickle.REDUCE, pickle.BUILD, pickle.APPEND, pickle.APPENDS, pickle.SETITEM), 0),
    **dict.fromkeys((pickle.SETITEMS, pickle.MARK, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3), 0),
    **dict.fromkeys((pickle.NONE, pickle.NEWFALSE, pickle.NEWTRUE, pickle.EMPTY_TUPLE, pickle.EMPTY_LIST), 0),
    **dict.fromkeys((pickle.EMPTY_DICT, pickle.EMPTY_SET, pickle.BINPERSID), 0),
    **dict.fromkeys((pickle.BININT1, pickle.BINGET, pickle.BINPUT, pickle.PROTO), 1),
    **dict.fromkeys((pickle.BININT, pickle.LONG_BINGET, pickle.LONG_BINPUT), 4),
    pickle.BININT2: 2,
    pickle.BINFLOAT: 8,
}
_COUNTED = {pickle.BINUNICODE: 4, pickle.SHORT_BINSTRING: 1, pickle.LONG1: 1}
_LONGEST_NAME = 1000
# The first version of PyTorch whose restricted reader is not known to run code.
_SAFE = "2.6"
# Modules that Python 2 called otherwise, and so the older pickles do.
_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_LOCK = threading.Lock()


class Placeholder:
    """Stands for any object of a file: takes every argument, keeps the state it is given, does nothing."""

    state: dict[str, Any]

    def __new__(cls, *_: object, **__: object) -> Placeholder:
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.state = state


class OldPyTorchError(Exception):
    """PyTorch before 2.6, whose restricted reader could be made to run code (CVE-2025-32434) and does not tell what a
    file asks for."""


class ReplacedReaderError(Exception):
    """PyTorch's own reader is not to be found, and with any other one the file might run."""


def names_asked_for(path: Path) -> Iterator[str]:
    """Every function and class that a file asks for beyond what tensors need, perhaps more than once.

    The file is only looked through. Where it turns out to be damaged, the names up to there have been given.

    Raises:
        OldPyTorchError: it cannot be told.
        OSError, RuntimeError, ValueError, pickle.UnpicklingError and others: no PyTorch file, damaged, TorchScript.
    """
    if torch.__version__ < _SAFE:
        raise OldPyTorchError
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":  # what PyTorch takes for an archive
            with _allowing([]):
                names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
            yield from names
            return
        if _is_of_the_oldest_kind(path):
            raise ValueError("the archive of the oldest versions of PyTorch")
        file.seek(0)
        for _ in range(_PICKLES):
            yield from (name for name in _globals(file) if name not in _PLAIN and not _STORAGE.fullmatch(name))


def load(path: Path, placeholders: frozenset[str]) -> object:
    """What is in a file, on the CPU, with inert objects for all that has one of these names.

    The names in the file must have been looked at, by :func:`names_asked_for`.

    Raises:
        ReplacedReaderError: something else in the process has put its own reader in place of PyTorch's.
        pickle.UnpicklingError: the file asks for another name.
        OSError, RuntimeError, ValueError and others: it is damaged.
    """
    read = _pytorchs_own()
    if read is None:
        if placeholders:
            raise ReplacedReaderError
        read = torch.load  # With names of tensors alone it has nothing to run either.
    # Opened here, since newer versions (2.15) go by the name of a path and take what is called .safetensors for that.
    with _allowing([(Placeholder, name) for name in placeholders]), path.open("rb") as file:
        return read(file, map_location="cpu", weights_only=True)


def _is_of_the_oldest_kind(path: Path) -> bool:
    """Opened as PyTorch does it, which takes for such an archive what begins as another file."""
    try:
        with tarfile.open(path, "r:"):
            return True
    except tarfile.TarError:
        return False


def _pytorchs_own() -> Callable[..., object] | None:
    """``torch.load``, wherever PyTorch's own function still is. What others put around it has other globals."""
    candidates: tuple[Callable[..., object], ...] = (torch.serialization.load, torch.load)
    own = vars(torch.serialization)
    return next((found for found in candidates if getattr(found, "__globals__", None) is own), None)


def _globals(file: IO[bytes]) -> Iterator[str]:
    """The names in one pickle, after which the file stands behind it."""
    while (instruction := file.read(1)) != pickle.STOP:
        if instruction == pickle.GLOBAL:
            module, name = _line(file), _line(file)
            yield f"{_RENAMED.get(module, module)}.{name}"
        elif instruction in _COUNTED:
            file.seek(int.from_bytes(file.read(_COUNTED[instruction]), "little"), os.SEEK_CUR)
        elif instruction in _FOLLOWING:
            file.seek(_FOLLOWING[instruction], os.SEEK_CUR)
        else:
            raise pickle.UnpicklingError(f"the instruction {instruction!r}")


def _line(file: IO[bytes]) -> str:
    line = file.readline(_LONGEST_NAME)
    if not line.endswith(b"\n"):
        raise pickle.UnpicklingError("a name without an end")
    return line[:-1].decode()


@contextmanager
def _allowing(allowed: Sequence[Any]) -> Iterator[None]:
    """Inside, the restricted reader of PyTorch takes these and nothing that others have allowed."""
    with _LOCK:
        others = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals([*allowed])
        try:
            yield
        finally:
            # What another thread has allowed in the meantime stays.
            others += [found for found in torch.serialization.get_safe_globals() if found not in allowed]
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(others)
