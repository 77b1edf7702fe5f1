"""What kind of file weights lie in, and how such files are named."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

FileFormat = Literal["safetensors", "onnx", "pickle"]

SAFETENSORS = (".safetensors", ".sft")
PICKLES = (".pth", ".pt", ".ckpt")
ONNX = (".onnx",)

_BY_SUFFIX: dict[str, FileFormat] = {
    **dict.fromkeys(SAFETENSORS, "safetensors"),
    **dict.fromkeys(ONNX, "onnx"),
}


def file_format(path: Path) -> FileFormat:
    """The format of a file, by how it begins, whatever it is called.

    What begins like none of them, or is no file, is taken for what its name says: what reads it then says of that
    format what is wrong. No name but these of safetensors and ONNX is known, so that all else counts as a pickle.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(9)
        if start[8:] == b"{":  # eight bytes of length, then JSON
            return "safetensors"
        if start[:1] == b"\x08":  # the first field: the version of ONNX
            return "onnx"
        if start[:1] == b"\x80" or start[:4] == b"PK\x03\x04":  # the protocol, or the archive of newer ones
            return "pickle"
    return _BY_SUFFIX.get(path.suffix.lower(), "pickle")
