"""From finished networks to the file that is shipped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..atomic import replacing
from ..models.detectors.visage_finder import VisageDetect
from ..models.detectors.visage_landmarks import LandmarkNetwork
from ..models.detectors.visage_proposer import VisageCascade

METADATA = {
    "visage": "visage-detect",
    "architecture": "visage-detect-2",
    "license": "GPL-3.0-or-later",
    "landmarks": "eye, eye, nose, mouth corner, mouth corner; left to right",
}

M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def remeasured(network: M, batches: Iterator[Tensor]) -> M:
    """Gives the batch normalisations of averaged weights the statistics of these weights, in place.

    They come with the statistics of the weights of single steps (as in Izmailov et al., "Averaging Weights Leads to
    Wider Optima and Better Generalization", 2018, section 3.2).

    Args:
        network: normalised.
        batches: what it takes, where it is.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    network.train()
    for pictures in batches:
        network(pictures)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()


@torch.no_grad()
def shifted(network: VisageDetect, threshold: float) -> VisageDetect:
    """Makes a score of ``threshold``, 0..1, come out as 0.5, the usual least confidence, in place."""
    tensors = network.predict.state_dict()
    tensors["bias"][0] -= math.log(threshold / (1 - threshold))
    return network


def export(detect: VisageDetect, points: LandmarkNetwork | None, path: Path, *, steps: int = 0) -> None:
    """Writes the networks in half precision, as safetensors.

    Args:
        detect: not normalised.
        points: likewise; ``None`` while it is not yet trained.
        steps: of the training of the first network, for the metadata.
    """
    from safetensors.torch import save_file

    tensors = VisageCascade(detect, points).cpu().state_dict()
    tensors = {name: value.half().contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        save_file(tensors, unfinished, metadata={**METADATA, "steps": str(steps)})
