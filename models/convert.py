"""Turns weight files that are pickles into safetensors files with the same numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..atomic import replacing
from .catalogue import by_sha256
from .detectors.yolo_files import asks_for_ultralytics, convert_yolo
from .download import sha256_of
from .file_format import ONNX, SAFETENSORS
from .weights import WeightsError, read_weights, write_safetensors


def convert(source: Path, target: Path | None = None, *, overwrite: bool = False) -> Path:
    """Writes the tensors of a pickle to a safetensors file and reads them back to compare. Returns its path.

    Networks of ultralytics keep what is needed to build them again as metadata. Other files hold their tensors under
    the names they have without the wrapping of the training script; the metadata says where they came from and, for
    weights in the catalogue, the architecture and the licence.

    Args:
        source: a ``.pth``, ``.pt`` or ``.ckpt`` file.
        target: default: beside the source, with the suffix ``.safetensors``.

    Raises:
        FileNotFoundError: no such source.
        FileExistsError: the target is there and ``overwrite`` is not set.
        OSError: the disk does not take it.
        WeightsError: the source cannot be used, is safetensors already, or holds tensors that safetensors does not.
    """
    if source.suffix.lower() in SAFETENSORS:
        raise WeightsError(f"{source.name} is a safetensors file already.")
    if source.suffix.lower() in ONNX:
        raise WeightsError(f"{source.name} is an ONNX file, a program with its weights: use it as it is.")
    target = target or source.with_suffix(".safetensors")
    if target.suffix.lower() not in SAFETENSORS:
        raise WeightsError(f"{target.name}: the converted file must be named .safetensors.")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} is there already. Remove it, or add --overwrite.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if asks_for_ultralytics(source):
        convert_yolo(source, target)
    else:
        with replacing(target) as unfinished:
            _convert_tensors(source, unfinished)
    return target


def _convert_tensors(source: Path, target: Path) -> None:
    tensors = read_weights(source).tensors
    write_safetensors(target, tensors, _metadata(source), source.name)
    written = read_weights(target).tensors
    if written.keys() != tensors.keys() or not all(_same(written[name], tensors[name]) for name in tensors):
        raise WeightsError(f"{source.name}: what was written does not read back the same. The disk may be faulty.")


def _same(one: Tensor, other: Tensor) -> bool:
    """Equal bit for bit, so that NaN equals itself."""
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and torch.equal(one.contiguous().flatten().view(torch.uint8), other.contiguous().flatten().view(torch.uint8))
    )


def _metadata(source: Path) -> dict[str, str]:
    sha256 = sha256_of(source)
    metadata = {"format": "pt", "source": source.name, "source_sha256": sha256}
    known = by_sha256(sha256)
    if known is not None:
        metadata |= {"architecture": known.architecture, "licence": known.licence.name}
    return metadata
