"""Weights and inputs made from names and seeds, so that two codes get the same numbers and no weights are stored.

The numbers come from NumPy's Mersenne Twister, whose stream is frozen for good, through sums and products alone:
they are the same bits on every machine and with every version.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

# Parameters that stand in for an activation rather than multiply one: they get a variance of one.
_ACTIVATIONS = ("noises.", "constant_input.", "quantize.embedding.", "position_emb")


def uniform(name: str, shape: Sequence[int], seed: int) -> Tensor:
    """Float32 numbers of mean 0 and variance 1, evenly spread, that depend on nothing but the arguments."""
    twister = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()))
    numbers = twister.random_sample(tuple(shape)) * 2 - 1
    return torch.from_numpy(np.asarray(numbers * math.sqrt(3), dtype=np.float32))


def weights(shapes: Mapping[str, Sequence[int]], seed: int, gains: Mapping[str, float]) -> dict[str, Tensor]:
    """A state dict in which every parameter acts: no bias, noise strength or embedding is left at zero.

    Args:
        shapes: the shape of every parameter and buffer by name.
        seed: one seed for all of them; the name makes the difference.
        gains: factors by name on top of the scale that keeps variances through a layer (1 / sqrt(fan in)). They keep
            the output within the range of an image.
    """
    return {name: _parameter(name, shape, seed) * gains.get(name, 1.0) for name, shape in shapes.items()}


def _parameter(name: str, shape: Sequence[int], seed: int) -> Tensor:
    numbers = uniform(name, shape, seed)
    if any(part in name for part in _ACTIVATIONS):
        return numbers
    if name.endswith("modulation.bias"):
        return 1 + 0.1 * numbers
    if name.endswith("bias"):
        return 0.1 * numbers
    if len(shape) == 1:
        # One number is the strength of a noise, several are the gains of a normalisation.
        return 0.3 * numbers if shape[0] == 1 else 1 + 0.2 * numbers
    fan_in = math.prod(shape[2:]) if len(shape) == 5 else math.prod(shape[1:])
    return numbers / math.sqrt(fan_in)


def crop(seed: int) -> Tensor:
    """An input ``[1, 3, 512, 512]`` in 0..1: blocks of 32 px of random colour with fine grain on top."""
    blocks = uniform("blocks", (1, 3, 16, 16), seed).repeat_interleave(32, dim=2).repeat_interleave(32, dim=3)
    grain = uniform("grain", (1, 3, 512, 512), seed)
    return (0.5 + 0.2 * blocks + 0.05 * grain).clamp(0, 1)
