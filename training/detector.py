"""Trains the first network of visage-detect: ``python -m visage.training.detector --data ... --out ...``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models.detectors.visage_finder import VisageDetect, Widths, cells_of, decoded
from ..models.detectors.visage_proposer import build_visage
from ..models.weights import read_weights
from .averaged import AveragedTraining
from .composites import CompositeRecipe, Sources, Truth, composites
from .detector_export import export, remeasured, shifted
from .detector_loss import losses
from .pictures import generator_of
from .run import CHECKPOINT, Pace, mixed, pick_device, run
from .sources import training_sources, varied

# Batches from which the statistics of the averaged network are measured, from a seed of their own.
_MEASURING_BATCHES = 40
_MEASURING_SEED = 77
_WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class DetectorPlan:
    """A whole run.

    Attributes:
        recipe: of the pictures.
        batch: pictures in a step.
        steps: of the run; the learning rate falls along them.
        rate: highest learning rate, of AdamW.
        sheet: side in pixels of the pictures from which composites are made.
        widths: of the network.
        warm_up: steps in which the learning rate rises.
        turned_by: degrees to which heads are turned to the side, see :func:`.sources.varied`.
        seed: of the first weights and of all pictures.
    """

    recipe: CompositeRecipe
    batch: int
    steps: int
    rate: float
    sheet: int
    widths: Widths = Widths()
    warm_up: int = 200
    turned_by: float = 50.0
    seed: int = 1


PLANS = {
    "cpu": DetectorPlan(CompositeRecipe(most_decoys=6, covered=0.25), batch=16, steps=5_400, rate=2e-3, sheet=256),
    "cuda": DetectorPlan(
        CompositeRecipe(side=640, largest=520.0, most_faces=14, most_decoys=6, covered=0.25),
        batch=64,
        steps=20_000,
        rate=2e-3,
        sheet=512,
    ),
}


class DetectorJob(AveragedTraining[VisageDetect]):
    """The training of one detector, see :class:`~.run.Job`."""

    def __init__(self, plan: DetectorPlan, sources: Sources, device: torch.device) -> None:
        self.plan = plan
        self.device = device
        self._sources = sources.to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            network = VisageDetect(plan.widths, normalised=True)
        super().__init__(network, device, plan.rate, _WEIGHT_DECAY)
        self._cells = cells_of(plan.recipe.side, plan.recipe.side, device)

    @property
    def steps(self) -> int:
        return self.plan.steps

    @property
    def settings(self) -> dict[str, Any]:
        return asdict(self.plan)

    def pictures(self, seed: int, number: int) -> tuple[Tensor, Truth]:
        """The batch of step ``number``, in the layout and on the device of the network."""
        generator = generator_of(seed, number)
        pictures, truth = composites(self._sources, self.plan.recipe, self.plan.batch, generator)
        return pictures.contiguous(memory_format=torch.channels_last), truth.to(self.device)

    def step(self, number: int) -> Mapping[str, Tensor]:
        pictures, truth = self.pictures(self.plan.seed, number)
        self.network.train()
        with mixed(self.device):
            maps = self.network(pictures)
        parts = losses(decoded(maps, self._cells), self._cells, truth)
        self.advance(parts.total, number, self.steps, self.plan.warm_up)
        told = {"loss": parts.total, "score": parts.score, "box": parts.box, "landmarks": parts.landmarks}
        return {name: value.detach() for name, value in told.items()}

    def finished(self) -> VisageDetect:
        """The averaged network with statistics of its own, ready for :func:`~.detector_export.export`."""
        return remeasured(self.average.module, self.measuring()).fused()

    def measuring(self) -> Iterator[Tensor]:
        for number in range(_MEASURING_BATCHES):
            yield self.pictures(_MEASURING_SEED, number)[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains the first network of visage-detect, going on from the checkpoint in the output folder if there is one."""
    parser = argparse.ArgumentParser(prog="python -m visage.training.detector", description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with faces512 and portraits")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: checkpoint and log")
    parser.add_argument("--device", default=None, help="cpu, cuda, ... (the best there is)")
    parser.add_argument("--minutes", type=float, default=None, help="stop after that time, to go on later")
    parser.add_argument("--steps", type=int, default=None, help="length of the whole run")
    parser.add_argument("--batch", type=int, default=None, help="pictures in a step")
    parser.add_argument("--side", type=int, default=None, help="side of the pictures in pixels, a multiple of 32")
    parser.add_argument("--rate", type=float, default=None, help="highest learning rate")
    parser.add_argument("--begin", type=Path, default=None, metavar="FILE", help="exported networks to go on from")
    parser.add_argument(
        "--without-faces", type=Path, nargs="+", default=[], help="folders of more pictures in which there is no face"
    )
    parser.add_argument("--threads", type=int, default=None, help="of the CPU")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, default=None, help="use at most this many pictures of each data folder")
    parser.add_argument("--export", type=Path, default=None, help="write the averaged network to this file at the end")
    parser.add_argument("--threshold", type=float, default=0.5, help="score that the exported file gives as 0.5")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    plan = PLANS["cuda" if device.type == "cuda" else "cpu"]
    plan = replace(
        plan,
        recipe=replace(plan.recipe, side=options.side or plan.recipe.side),
        steps=options.steps or plan.steps,
        batch=options.batch or plan.batch,
        rate=options.rate or plan.rate,
        seed=options.seed,
    )
    sources = training_sources(options.data, plan.sheet, without_faces=options.without_faces, most=options.most)
    sources = replace(sources, faces=varied(sources.faces, plan.turned_by))
    job = DetectorJob(plan, sources, device)
    if options.begin is not None and not (options.out / CHECKPOINT).exists():
        job.go_on_from(build_visage(options.begin.name, read_weights(options.begin).tensors).detect)
    done = run(job, options.out, Pace(options.minutes))
    if options.export is not None:
        export(shifted(job.finished(), options.threshold), None, options.export, steps=done)


if __name__ == "__main__":
    main()
