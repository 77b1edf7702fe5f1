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

NAMES = ("gfpgan", "codeformer", "restoreformer")


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

    def crop(self) -> Tensor:
        """The input, ``[1, 3, 512, 512]`` in 0..1."""
        return recipe.crop(self.seed)

    def distance(self, restored: Tensor) -> float:
        """Greatest difference to the authors' output at the 64 places, for a result in 0..1, in units of -1..1."""
        found = restored[0].flatten()[list(self.positions)] * 2 - 1
        return float((found - torch.tensor(self.values)).abs().max())


def read_fingerprint(name: str) -> Fingerprint:
    """The fingerprint of one of :data:`NAMES`."""
    return Fingerprint(**json.loads((_FOLDER / f"{name}.json").read_text()))


def write_checkpoint(fingerprint: Fingerprint, path: Path) -> None:
    """Writes the weights as the authors publish theirs: a pickle with the tensors in a dictionary."""
    tensors = recipe.weights(fingerprint.shapes, fingerprint.seed, fingerprint.gains)
    torch.save({fingerprint.wrapper: tensors}, path)
