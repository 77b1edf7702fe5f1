"""Ways from noise to a picture. Each walks down a schedule of noise, and asks at each step what the picture is.

Names are those of ComfyUI. All work on pictures to which noise was added without dimming them, so that neither the
model nor its training matters here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Walk:
    """What a sampler is given.

    Attributes:
        denoise: the picture that a noisy one, at that sigma, seems to come from.
        sigmas: falling, the last one 0.
        noise: new noise of unit variance in the shape of the picture, for samplers that add some on their way.
        done: called after each step.
    """

    denoise: Callable[[Tensor, float], Tensor]
    sigmas: Sequence[float]
    noise: Callable[[], Tensor]
    done: Callable[[], None]


Sampler = Callable[[Tensor, Walk], Tensor]

# The picture that a step began with, and the logarithm by which the noise fell in it.
_Step = tuple[Tensor, float]


def euler(x: Tensor, walk: Walk) -> Tensor:
    """Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, first order."""
    for here, there in pairwise(walk.sigmas):
        x = _line(x, walk.denoise(x, here), there / here)
        walk.done()
    return x


def heun(x: Tensor, walk: Walk) -> Tensor:
    """The same paper's algorithm 1 without churn: second order, twice the time."""
    for here, there in pairwise(walk.sigmas):
        picture = walk.denoise(x, here)
        guess = _line(x, picture, there / here)
        if there > 0:
            slope = ((x - picture) / here + (guess - walk.denoise(guess, there)) / there) / 2
            guess = x + slope * (there - here)
        x = guess
        walk.done()
    return x


def euler_ancestral(x: Tensor, walk: Walk) -> Tensor:
    """Steps that go too far, and back up by new noise."""
    for here, there in pairwise(walk.sigmas):
        up = min(there, there * math.sqrt(here**2 - there**2) / here)
        down = math.sqrt(there**2 - up**2)
        x = _line(x, walk.denoise(x, here), down / here)
        if up > 0:
            x = x + walk.noise() * up
        walk.done()
    return x


def lcm(x: Tensor, walk: Walk) -> Tensor:
    """All the way at each step, and back by new noise: for models distilled to that (Luo et al., "Latent Consistency
    Models", 2023)."""
    for here, there in pairwise(walk.sigmas):
        x = walk.denoise(x, here)
        if there > 0:
            x = x + walk.noise() * there
        walk.done()
    return x


def dpmpp_2m(x: Tensor, walk: Walk) -> Tensor:
    """DPM-Solver++(2M): Lu et al., "DPM-Solver++", 2022, algorithm 2."""
    before: _Step | None = None
    for here, there in pairwise(walk.sigmas):
        ahead, before = _ahead(walk.denoise(x, here), here, there, before)
        x = _line(x, ahead, there / here)
        walk.done()
    return x


def dpmpp_2m_sde(x: Tensor, walk: Walk) -> Tensor:
    """The stochastic form of the same (the paper's SDE-DPM-Solver++(2M)), midpoint, all noise new."""
    before: _Step | None = None
    for here, there in pairwise(walk.sigmas):
        ahead, before = _ahead(walk.denoise(x, here), here, there, before)
        ratio = there / here
        x = _line(x, ahead, ratio**2)
        if there > 0:
            x = x + walk.noise() * (there * math.sqrt(1 - ratio**2))
        walk.done()
    return x


def _ahead(picture: Tensor, here: float, there: float, before: _Step | None) -> tuple[Tensor, _Step | None]:
    """The picture in the middle of a step, as it has changed since the step before; and what the next one is told."""
    if there == 0:
        return picture, before
    length = math.log(here / there)
    ahead = picture if before is None else picture + (picture - before[0]) * (length / (2 * before[1]))
    return ahead, (picture, length)


def uni_pc_bh2(x: Tensor, walk: Walk) -> Tensor:
    """UniPC of second order with B(h) = exp(h) - 1: Zhao et al., "UniPC", 2023, algorithms 1 and 2, on the picture.

    ComfyUI's goes up to the third order.
    """
    past: list[tuple[Tensor, float]] = []
    start, ratio, length = x, 1.0, 0.0
    for here, there in pairwise(walk.sigmas):
        picture = walk.denoise(x, here)
        if past:
            x = _corrected(start, picture, past, ratio, length)
        past = [*past[-1:], (picture, here)]
        start, ratio = x, there / here
        if there > 0:
            length = math.log(here / there)
            x = _line(x, picture, ratio)
            if len(past) == 2:
                x = x + _turn(past, length) * ((1 - ratio) * 0.5)
        else:
            x = picture
        walk.done()
    return x


def _corrected(
    start: Tensor, picture: Tensor, past: Sequence[tuple[Tensor, float]], ratio: float, length: float
) -> Tensor:
    """The last step again, now that the picture at its end is known."""
    last, _ = past[-1]
    x = _line(start, last, ratio)
    if len(past) == 1:
        return x + (picture - last) * ((1 - ratio) * 0.5)
    # The 2 x 2 system of the paper's theorem 3.1, for the places ``place`` and 1, solved by hand.
    place = -math.log(past[0][1] / past[1][1]) / length
    gone = -math.expm1(-length)
    phi = 1 - gone / length
    first, second = phi / gone, (1 - 2 * phi / length) / gone
    bend = (second - first * place) / (1 - place)
    return x + (_turn(past, length) * (first - bend) + (picture - last) * bend) * (1 - ratio)


def _turn(past: Sequence[tuple[Tensor, float]], length: float) -> Tensor:
    """How the picture changed over the last step, taken to one of another length."""
    (older, before), (newer, here) = past
    change: Tensor = (older - newer) * (-length / math.log(before / here))
    return change


def _line(x: Tensor, picture: Tensor, ratio: float) -> Tensor:
    """Straight on to the picture, until ``ratio`` of the noise is left."""
    return picture + (x - picture) * ratio


SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    # Without noise of its own it is Euler's method, written for dimmed pictures (Song et al., "DDIM", 2021, section 4).
    "ddim": euler,
    "uni_pc_bh2": uni_pc_bh2,
    "lcm": lcm,
}
