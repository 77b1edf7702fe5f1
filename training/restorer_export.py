"""Makes the file that is shipped: ``python -m visage.training.restorer_export FOLDER FILE --version 1``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..atomic import replacing
from . import checkpoints
from .run import CHECKPOINT

_logger = logging.getLogger(__name__)

MOST_BYTES = 14_000_000
"""The file is to be no larger than this."""


def export(folder: Path, target: Path, version: str) -> int:
    """Writes the averaged weights of a run as float16 safetensors, which the restorer loads in float32.

    Args:
        folder: of the run of the restorer, or of the one that taught it gains.
        target: the file, ending in ``.safetensors``.

    Returns:
        Its bytes.

    Raises:
        FileNotFoundError: the folder holds no checkpoint.
        ValueError: the file would be larger than :data:`MOST_BYTES`.
    """
    from safetensors.torch import save_file

    checkpoint = checkpoints.load(folder / CHECKPOINT)
    tensors: dict[str, Tensor] = checkpoint.state["average"]
    halves = {name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}
    count = sum(tensor.nbytes for tensor in halves.values())
    if count > MOST_BYTES:
        raise ValueError(f"The network takes {count / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}.")
    metadata = {
        "visage": "visage-restore",
        "architecture": "visage-restore-3",
        "license": "GPL-3.0-or-later",
        "version": version,
        "steps": str(checkpoint.state.get("steps_before", checkpoint.step)),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as unfinished:
        save_file(halves, unfinished, metadata)
    return target.stat().st_size


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m visage.training.restorer_export", description="Write the weights.")
    parser.add_argument("folder", type=Path, help="of the run")
    parser.add_argument("file", type=Path, help="ending in .safetensors")
    parser.add_argument("--version", default="1")
    given = parser.parse_args(arguments)
    _logger.info("%s: %.2f MB", given.file, export(given.folder, given.file, given.version) / 1e6)


if __name__ == "__main__":
    main()
