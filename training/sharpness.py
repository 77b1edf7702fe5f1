"""Teaches a trained restorer how much stronger its fine bands should be: ``python -m visage.training.sharpness``.

The rest of the network stays as it is, so this takes minutes.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.restorers.visage import VisageRestorer, layout
from ..models.restorers.visage.bands import bands
from . import checkpoints
from .batches import DegradedBatches
from .checkpoints import Checkpoint
from .degradation_recipes import Ranges
from .pictures import picture_files, read_pictures
from .run import CHECKPOINT, Pace, pick_device, run
from .schedule import cosine

# Sides in pixels of the squares in which strengths are compared, and how far apart these lie: as the gains do.
_SQUARE, _STEP = 9, 4
# Mean square below which a band counts as empty: a third of a level of 255.
_FLOOR = 1e-6
# What is half as sure counts for more than half: between the power 1, which leaves medium damage too soft, and 0, which
# makes noise stronger.
_TRUST = 0.4
# How much a gain is held back where the band is wrong.
_CAUTION = 2.0


@dataclass(frozen=True)
class SharpnessSettings:
    """A run.

    Attributes:
        steps: length of the run.
        parts: parts of faces in a batch.
        part: their side in pixels.
        sizes: different shrinkings in a batch at most.
        nothing: share of parts that stay as they are: more than usual, for sharp pictures are to stay so.
        rate: peak of the learning rate, of Adam.
    """

    steps: int = 600
    parts: int = 4
    part: int = 256
    sizes: int = 4
    nothing: float = 0.3
    rate: float = 1e-2
    seed: int = 7


class SharpnessJob:
    """The gains in training, see :class:`~.run.Job`.

    Attributes:
        network: with all its weights; only those of the gains change.
    """

    def __init__(self, settings: SharpnessSettings, before: Checkpoint, faces: Tensor, device: torch.device) -> None:
        """
        Args:
            before: the end of the run of the restorer.
            faces: uint8 ``[N, 3, 512, 512]``, FFHQ-aligned.
        """
        self._chosen = settings
        self._before = before.step
        network = VisageRestorer(*layout(before.state["average"]))
        network.load_state_dict(before.state["average"])
        ranges = Ranges(nothing=settings.nothing)
        self._batches = DegradedBatches(faces.to(device), network.unit, settings.sizes, settings.seed, ranges)
        self.network = network.to(device).requires_grad_(False)
        self.network.gain.requires_grad_(True)
        self._optimiser = torch.optim.Adam(self.network.gain.parameters(), settings.rate)

    @property
    def steps(self) -> int:
        return self._chosen.steps

    @property
    def settings(self) -> dict[str, Any]:
        return asdict(self._chosen)

    def state(self) -> dict[str, Any]:
        # Under the name by which runs of the restorer keep what is shipped.
        return {
            "average": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "steps_before": self._before,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])

    def step(self, number: int) -> dict[str, Tensor]:
        self._optimiser.param_groups[0]["lr"] = self._chosen.rate * cosine(number, self.steps, 1)
        batch = self._batches.draw(number, self._chosen.parts, self._chosen.part)
        likely, log_gains = self.network.seen_twice(batch.damaged, batch.corners)
        loss = weakness(log_gains, likely, batch.truth)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return {"weakness": loss.detach()}


def weakness(log_gains: Tensor, likely: Tensor, truth: Tensor) -> Tensor:
    """How far the bands of restored pictures are from the strength of the true ones, where they are right.

    The strength of a band in a square is taken for that of noise, whose likelihood is greatest at the true strength.
    How right a band is says its correlation with the true one; where it is wrong the gain is to be 1.

    Args:
        log_gains: ``[N, 3, H / 4, W / 4]``.
        likely, truth: ``[N, 3, H, W]``, 0..1.
    """
    given, wanted = torch.cat(bands(likely), 1), torch.cat(bands(truth), 1)
    have, want, common = (_means(planes) for planes in (given.square(), wanted.square(), given * wanted))
    sure = (common / (have * want).sqrt().clamp_min(_FLOOR)).clamp(0, 1) ** _TRUST
    made = torch.exp(2 * log_gains) * have + _FLOOR
    unlikely = made.log() + (want + _FLOOR) / made
    return (sure * unlikely + (1 - sure) * _CAUTION * log_gains.square()).mean()


def _means(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes, _SQUARE, _STEP, _SQUARE // 2, count_include_pad=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m visage.training.sharpness", description="Train the gains.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run of training.restorer")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run; export it in place of the other")
    parser.add_argument("--data", type=Path, required=True, help="folder with faces512")
    parser.add_argument("--device", help="cpu, cuda, ...; by default the best one")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--minutes", type=float, help="stop after that time; the same command goes on")
    parser.add_argument("--steps", type=int, default=SharpnessSettings.steps)
    parser.add_argument("--faces", type=int, help="take only so many faces of the data")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    faces = read_pictures(picture_files(given.data / "faces512" / "train")[: given.faces])
    settings = replace(SharpnessSettings(), steps=given.steps)
    before = checkpoints.load(given.run / CHECKPOINT)
    run(SharpnessJob(settings, before, faces, pick_device(given.device)), given.out, Pace(given.minutes))


if __name__ == "__main__":
    main()
