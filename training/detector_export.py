"""From a checkpoint of a run to the file that is shipped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ..models.atomic import replacing
from ..models.detectors.visage import VisageDetect

METADATA = {
    "visage": "visage-detect",
    "architecture": "visage-detect-1",
    "license": "GPL-3.0-or-later",
    "landmarks": "eye, eye, nose, mouth corner, mouth corner; left to right",
}


@torch.no_grad()
def remeasured(network: VisageDetect, batches: Iterator[Tensor]) -> VisageDetect:
    """Gives the batch normalisations of averaged weights the statistics of these weights, in place.

    They come with the statistics of the weights of single steps (as in Izmailov et al., "Averaging Weights Leads to
    Wider Optima and Better Generalization", 2018, section 3.2).

    Args:
        network: normalised.
        batches: pictures ``[N, 3, h, w]`` where the network is.
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
def export(network: VisageDetect, path: Path, *, threshold: float = 0.5, steps: int = 0) -> None:
    """Writes the fused network in half precision, as safetensors.

    Args:
        network: normalised, in evaluation mode.
        threshold: the score, 0..1, that is to come out as 0.5, the usual least confidence: the last bias is moved.
        steps: of the training, for the metadata.
    """
    from safetensors.torch import save_file

    plain = network.fused().cpu()
    tensors = plain.state_dict()
    tensors["predict.bias"][0] -= math.log(threshold / (1 - threshold))
    tensors = {name: value.half().contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        save_file(tensors, unfinished, metadata={**METADATA, "steps": str(steps)})
