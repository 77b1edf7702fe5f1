"""Averages trained first networks of visage-detect: ``python -m visage.training.soup FILE FILE --export FILE``.

Networks that went on from the same one with other pictures can be averaged weight by weight (Wortsman et al., "Model
soups", 2022): each of them takes other things for faces, and their mean only what most of them do.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..models.detectors.visage_finder import VisageDetect
from ..models.detectors.visage_proposer import build_visage
from ..models.weights import read_weights
from .detector_export import export, shifted
from .landmarks import second_of


@torch.no_grad()
def _mean_of(networks: Sequence[VisageDetect]) -> VisageDetect:
    """The first one with the mean weights of all, in place.

    Args:
        networks: not normalised, of one size.
    """
    states = [network.state_dict() for network in networks]
    means: dict[str, Tensor] = {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
    networks[0].load_state_dict(means)
    return networks[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Averages first networks and puts a second one beside them."""
    parser = argparse.ArgumentParser(prog="python -m visage.training.soup", description=main.__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="exported networks that went on from the same one")
    parser.add_argument("--landmarks", type=Path, required=True, help="exported networks, the second of which is taken")
    parser.add_argument("--export", type=Path, required=True, help="the file to be written")
    parser.add_argument("--threshold", type=float, default=0.5, help="score of the mean that comes out as 0.5")
    options = parser.parse_args(arguments)
    files = [read_weights(path) for path in options.files]
    networks = [build_visage(path.name, file.tensors) for path, file in zip(options.files, files, strict=True)]
    mean = shifted(_mean_of([network.detect for network in networks]), options.threshold)
    steps = max(int(file.metadata.get("steps", 0)) for file in files)
    export(mean, second_of(options.landmarks), options.export, steps=steps)


if __name__ == "__main__":
    main()
