"""Trains the second network of visage-detect: ``python -m visage.training.landmarks``.

It learns on what the first network takes for faces in composites, so that it meets the mistakes that it is to mend.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou

from ..models.detectors.face_views import seen, views_of
from ..models.detectors.visage_landmarks import FRAMING, LandmarkNetwork
from ..models.detectors.visage_proposer import VisageProposer, build_visage
from ..models.host import TorchHost
from ..models.weights import read_weights
from . import checkpoints
from .averaged import AveragedTraining
from .composites import CompositeRecipe, Sources, Truth, composites
from .detector_export import export, remeasured
from .pictures import generator_of
from .run import CHECKPOINT, Pace, mixed, pick_device, run
from .sources import training_sources, varied

_MEASURING_BATCHES = 20
_MEASURING_SEED = 78
_WEIGHT_DECAY = 0.02
# What the first network is asked for, and how much its boxes may overlap with one another.
_LEAST_SCORE, _OVERLAP = 0.2, 0.4
# Overlap with a true face from which a found one is that face, and below which it is none.
_FACE, _NO_FACE = 0.4, 0.1
# Standard deviations by which found landmarks are moved: all together, each alone (shares of the distance of the
# eyes), in size and in roll (radians). Half of the faces are moved by less than that, as after a first round.
_SHIFT, _APART, _GROWTH, _TURN = 0.08, 0.05, 0.08, 0.12
_FACE_WEIGHT = 0.2


@dataclass(frozen=True)
class LandmarkPlan:
    """A whole run.

    Attributes:
        recipe: of the pictures.
        batch: pictures in a step.
        steps: of the run.
        rate: highest learning rate, of AdamW.
        sheet: side in pixels of the pictures from which composites are made.
        widths: of the network.
        warm_up: steps in which the learning rate rises.
        turned_by: degrees to which heads are turned to the side, see :func:`.sources.varied`.
        seed: of the first weights and of all pictures.
    """

    recipe: CompositeRecipe = CompositeRecipe(smallest=14.0, most_faces=12, most_decoys=8, grids=0.25, covered=0.25)
    batch: int = 10
    steps: int = 4_000
    rate: float = 2e-3
    sheet: int = 256
    widths: tuple[int, ...] = (24, 48, 72)
    warm_up: int = 200
    turned_by: float = 50.0
    seed: int = 3


@dataclass(frozen=True)
class ViewBatch:
    """What is to be learned from.

    Attributes:
        views: ``[K, 3, 64, 64]``.
        faces: ``[K]``: 1 for a face, 0 for none, -1 for what may be either.
        points: ``[K, 5, 2]``: its landmarks in the view; anything where it is none.
    """

    views: Tensor
    faces: Tensor
    points: Tensor


class LandmarkJob(AveragedTraining[LandmarkNetwork]):
    """The training of the second network, see :class:`~.run.Job`."""

    def __init__(self, plan: LandmarkPlan, sources: Sources, finder: VisageProposer, device: torch.device) -> None:
        self.plan = plan
        self.device = device
        self._sources = sources.to(device)
        self._finder = finder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            network = LandmarkNetwork(plan.widths, normalised=True)
        super().__init__(network, device, plan.rate, _WEIGHT_DECAY)

    @property
    def steps(self) -> int:
        return self.plan.steps

    @property
    def settings(self) -> dict[str, Any]:
        return {**asdict(self.plan), "widths": list(self.plan.widths)}

    def batch(self, seed: int, number: int) -> ViewBatch:
        generator = generator_of(seed, number)
        pictures, truth = composites(self._sources, self.plan.recipe, self.plan.batch, generator)
        found = self._finder.find(pictures, _LEAST_SCORE, _OVERLAP)
        rows = [_compared(one.boxes, truth, index) for index, one in enumerate(found)]
        kinds = torch.cat([kind for kind, _ in rows])
        true = torch.cat([points for _, points in rows]).to(self.device)
        owners = torch.cat([torch.full_like(one.labels, index) for index, one in enumerate(found)])
        given = torch.cat([one.landmarks.clone() + 0.5 for one in found if one.landmarks is not None])
        views = views_of(_moved(given, generator), FRAMING)
        shown = seen(pictures, owners, views).contiguous(memory_format=torch.channels_last)
        return ViewBatch(shown, kinds.to(self.device), views.to_view(true))

    def step(self, number: int) -> Mapping[str, Tensor]:
        batch = self.batch(self.plan.seed, number)
        self.network.train()
        with mixed(self.device):
            points, logits = self.network(batch.views)
        told = _losses(points, logits, batch)
        self.advance(sum(told.values(), start=logits.new_zeros(())), number, self.steps, self.plan.warm_up)
        return {name: value.detach() for name, value in told.items()}

    def finished(self) -> LandmarkNetwork:
        """The averaged network with statistics of its own, ready for :func:`~.detector_export.export`."""
        return remeasured(self.average.module, self.measuring()).fused()

    def measuring(self) -> Iterator[Tensor]:
        for number in range(_MEASURING_BATCHES):
            yield self.batch(_MEASURING_SEED, number).views


def _compared(boxes: Tensor, truth: Truth, index: int) -> tuple[Tensor, Tensor]:
    """Which found boxes of a picture are faces (``[K]``, as in :class:`ViewBatch`), and landmarks of the nearest."""
    there = truth.present[index] | truth.ignored[index]
    if not bool(there.any()) or not len(boxes):
        return torch.zeros(len(boxes)), torch.zeros(len(boxes), 5, 2)
    overlaps = box_iou(boxes.cpu() + 0.5, truth.boxes[index])
    most, nearest = overlaps.masked_fill(~there, -1).max(1)
    kinds = torch.full((len(boxes),), -1.0)
    kinds[(most >= _FACE) & truth.present[index][nearest]] = 1
    kinds[most < _NO_FACE] = 0
    return kinds, truth.landmarks[index][nearest]


def _moved(landmarks: Tensor, generator: torch.Generator) -> Tensor:
    """Landmarks ``[K, 5, 2]`` that are somewhat off."""
    count = len(landmarks)

    def draw(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator).to(landmarks)

    eyes = (landmarks[:, 1] - landmarks[:, 0]).norm(dim=1)[:, None, None]
    amount = (draw(1, 1).abs() * 0.75).clamp(max=2)
    middle = landmarks.mean(1, keepdim=True)
    angle, growth = (_TURN * amount * draw(1, 1))[..., 0], torch.exp(_GROWTH * amount * draw(1, 1))
    x, y = ((landmarks - middle) * growth).unbind(-1)
    turned = torch.stack((angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y), -1)
    moved: Tensor = middle + turned + eyes * amount * (_SHIFT * draw(1, 2) + _APART * draw(5, 2))
    return moved


def _losses(points: Tensor, logits: Tensor, batch: ViewBatch) -> dict[str, Tensor]:
    """Distance of the landmarks over the distance of the eyes, and the entropy of the judgement."""
    mean = FRAMING.mean_face(points)
    face, decided = (batch.faces == 1).to(points), (batch.faces >= 0).to(points)
    # A landmark far outside the view cannot be seen: it pulls no harder than one at its edge.
    wanted = batch.points.clamp(-FRAMING.side / 4, FRAMING.side * 5 / 4)
    away = F.smooth_l1_loss(points, wanted, reduction="none", beta=0.5).mean((1, 2)) / (mean[1, 0] - mean[0, 0])
    doubt = F.binary_cross_entropy_with_logits(logits, batch.faces.clamp(min=0), reduction="none")
    return {
        "landmarks": (away * face).sum() / face.sum().clamp(min=1),
        "face": _FACE_WEIGHT * (doubt * decided).sum() / decided.sum().clamp(min=1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains the second network of visage-detect, going on from the checkpoint in the output folder if there is one."""
    parser = argparse.ArgumentParser(prog="python -m visage.training.landmarks", description=main.__doc__)
    parser.add_argument(
        "--detector", type=Path, required=True, help="file of the first network, from training.detector --export"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with faces512 and portraits")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: checkpoint and log")
    parser.add_argument("--device", default=None, help="cpu, cuda, ... (the best there is)")
    parser.add_argument("--threads", type=int, default=None, help="of the CPU")
    parser.add_argument("--minutes", type=float, default=None, help="stop after that time, to go on later")
    parser.add_argument("--begin", type=Path, default=None, help="folder of a run, or exported networks, to go on from")
    parser.add_argument(
        "--without-faces", type=Path, nargs="+", default=[], help="folders of more pictures in which there is no face"
    )
    parser.add_argument("--steps", type=int, default=LandmarkPlan.steps, help="length of the whole run")
    parser.add_argument("--rate", type=float, default=LandmarkPlan.rate, help="highest learning rate")
    parser.add_argument("--batch", type=int, default=LandmarkPlan.batch, help="pictures in a step")
    parser.add_argument("--seed", type=int, default=LandmarkPlan.seed)
    parser.add_argument("--most", type=int, default=None, help="use at most this many pictures of each data folder")
    parser.add_argument("--export", type=Path, default=None, help="write both networks to this file at the end")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    first = read_weights(options.detector)
    finder = VisageProposer(options.detector.name, first.tensors, TorchHost(str(device), quiet=True))
    plan = replace(LandmarkPlan(), steps=options.steps, rate=options.rate, batch=options.batch, seed=options.seed)
    sources = training_sources(options.data, plan.sheet, without_faces=options.without_faces, most=options.most)
    sources = replace(sources, faces=varied(sources.faces, plan.turned_by))
    job = LandmarkJob(plan, sources, finder, device)
    if options.begin is not None and not (options.out / CHECKPOINT).exists():
        _begin(job, options.begin)
    run(job, options.out, Pace(options.minutes))
    if options.export is not None:
        export(finder.resident.module.detect, job.finished(), options.export, steps=int(first.metadata.get("steps", 0)))


def _begin(job: LandmarkJob, path: Path) -> None:
    """Gives a job what another one has learned."""
    if path.is_dir():
        job.begin_with(checkpoints.load(path / CHECKPOINT).state["average"])
        return
    job.go_on_from(second_of(path))


def second_of(path: Path) -> LandmarkNetwork:
    """The second network of an exported file.

    Raises:
        SystemExit: it holds the first network only.
    """
    points = build_visage(path.name, read_weights(path).tensors).points
    if points is None:
        raise SystemExit(f"{path} holds the first network only: `training.landmarks --export` adds a second one.")
    return points


if __name__ == "__main__":
    main()
