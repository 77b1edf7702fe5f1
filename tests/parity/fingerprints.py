"""What the authors' own code made of weights that anybody can make again.

``tests/fingerprints/*.json`` each hold the names and shapes of an official checkpoint, the recipe of its numbers, and
64 values of the output of the authors' network (their repository, commit and call are named in the file) for
:func:`~visage.tests.parity.recipe.crop`, in -1..1 and not clamped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from . import recipe

_FOLDER = Path(__file__).resolve().parent.parent / "fingerprints"

NAMES = (
    "gfpgan",
    "codeformer",
    "restoreformer",
    "restoreformer++",
    "vqfr-v1",
    "vqfr-v2",
    "elir",
    "gpen-512",
    "hifacegan",
)


@dataclass(frozen=True)
class Fingerprint:
    """One file of ``tests/fingerprints``; see there and above."""

    architecture: str
    upstream: str
    commit: str
    call: str
    wrapper: str
    seed: int
    fidelity: float
    input: str
    positions: tuple[int, ...]
    values: tuple[float, ...]
    gains: dict[str, float]
    shapes: dict[str, list[int]]
    side: int = 512

    def crop(self) -> Tensor:
        """The input, ``[1, 3, side, side]`` in 0..1: less than 512 where the network is slow and takes any side.

        Above 512 every pixel is repeated.
        """
        times = max(1, self.side // 512)
        crop = recipe.crop(self.seed).repeat_interleave(times, dim=2).repeat_interleave(times, dim=3)
        return crop[..., : self.side, : self.side]

    def distance(self, restored: Tensor) -> float:
        """Greatest difference to the authors' output at the 64 places, for a result in 0..1, in units of -1..1."""
        found = restored[0].flatten()[list(self.positions)] * 2 - 1
        return float((found - torch.tensor(self.values)).abs().max())


def read_fingerprint(name: str) -> Fingerprint:
    """The fingerprint of one of :data:`NAMES`."""
    return Fingerprint(**json.loads((_FOLDER / f"{name}.json").read_text()))


def write_checkpoint(fingerprint: Fingerprint, path: Path) -> None:
    """Writes the weights as the authors publish theirs: a pickle with the tensors, most in one more dictionary."""
    tensors = recipe.weights(fingerprint.shapes, fingerprint.seed, fingerprint.gains)
    torch.save({fingerprint.wrapper: tensors} if fingerprint.wrapper else tensors, path)
