"""What befalls a face in training and evaluation: recipes for :mod:`.degradations`, drawn from seeds."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Literal

Resampling = Literal["area", "bilinear", "bicubic"]
Span = tuple[float, float]
_MODES: tuple[Resampling, ...] = ("area", "bilinear", "bicubic")
_GROWING: tuple[Resampling, ...] = ("bilinear", "bicubic")


@dataclass(frozen=True)
class DegradationRecipe:
    """What happens to one picture. Lengths in its pixels, noise in levels of 255, angles in radians.

    Attributes:
        blur: standard deviations of the Gaussian along and across ``blur_angle``; zeros for none.
        motion: length of the line along which it is smeared; 0 for none.
        grain: strength of the film's grain in mid-tones, with lumps of ``grain_size`` pixels.
        shrink: old side over new side, 1 for none.
        noise: standard deviation of the noise, the same in all channels if ``grey_noise``.
        shot: standard deviation of the noise that a white pixel has in addition; falls with the root of brightness.
        qualities: of the JPEG files that it goes through, one after the other.
    """

    blur: tuple[float, float] = (0.0, 0.0)
    blur_angle: float = 0.0
    motion: float = 0.0
    motion_angle: float = 0.0
    grain: float = 0.0
    grain_size: float = 1.0
    shrink: float = 1.0
    shrink_by: Resampling = "area"
    grow_by: Resampling = "bilinear"
    noise: float = 0.0
    grey_noise: bool = False
    shot: float = 0.0
    qualities: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ranges:
    """From what a recipe is drawn; the defaults are those of training.

    Blur, shrink, noise and the first JPEG are GFPGAN's (``train_gfpgan_v1.yml``: blur_sigma 0.1 to 10, half of them
    round; downsample_range 0.8 to 8; noise_range 0 to 20; jpeg_range 60 to 100), shrink and JPEG carried further, to
    12 and down to 30, which is what thumbnails and messengers leave. Sigmas and shrinks are drawn evenly on a
    logarithmic scale, so that light damage is as common as heavy. The rest is of our own choice.

    Attributes:
        nothing: share of pictures that stay as they are.
        blurred, shrunk, noisy, compressed: shares of the others to which that happens.
        round_blur: share of blurs that are the same in all directions.
        moved, grained, shot_noisy, grey_noisy, again: shares that are smeared, grained, noisy with brightness, noisy
            without colour (of the noisy), and go through a second and a third JPEG.
    """

    nothing: float = 0.06
    blurred: float = 0.9
    round_blur: float = 0.5
    sigma: Span = (0.3, 10.0)
    moved: float = 0.12
    motion: Span = (3.0, 19.0)
    grained: float = 0.15
    grain: Span = (3.0, 18.0)
    grain_size: Span = (1.0, 3.0)
    shrunk: float = 0.9
    shrink: Span = (1.0, 12.0)
    noisy: float = 0.8
    noise: Span = (0.0, 20.0)
    grey_noisy: float = 0.3
    shot_noisy: float = 0.3
    shot: Span = (2.0, 20.0)
    compressed: float = 0.9
    quality: Span = (30.0, 100.0)
    again: float = 0.15

    def draw(self, chance: random.Random) -> DegradationRecipe:
        """A recipe. Always takes the same road through ``chance`` for the same ranges."""
        if chance.random() < self.nothing:
            return DegradationRecipe()
        sigma = _even_in_log(chance, self.sigma)
        across = sigma if chance.random() < self.round_blur else _even_in_log(chance, (self.sigma[0], sigma))
        return DegradationRecipe(
            blur=(sigma, across) if chance.random() < self.blurred else (0.0, 0.0),
            blur_angle=chance.uniform(0, math.pi),
            motion=chance.uniform(*self.motion) if chance.random() < self.moved else 0.0,
            motion_angle=chance.uniform(0, math.pi),
            grain=chance.uniform(*self.grain) if chance.random() < self.grained else 0.0,
            grain_size=chance.uniform(*self.grain_size),
            shrink=_even_in_log(chance, self.shrink) if chance.random() < self.shrunk else 1.0,
            shrink_by=chance.choice(_MODES),
            grow_by=chance.choice(_GROWING),
            noise=chance.uniform(*self.noise) if chance.random() < self.noisy else 0.0,
            grey_noise=chance.random() < self.grey_noisy,
            shot=chance.uniform(*self.shot) if chance.random() < self.shot_noisy else 0.0,
            qualities=self._qualities(chance),
        )

    def draw_batch(self, chance: random.Random, count: int, sizes: int) -> list[DegradationRecipe]:
        """``count`` recipes with at most ``sizes`` different shrinkings, so that pictures go through in groups."""
        recipes = [self.draw(chance) for _ in range(count)]
        heads = recipes[:sizes]
        return [
            replace(recipe, shrink=head.shrink, shrink_by=head.shrink_by, grow_by=head.grow_by)
            if recipe != DegradationRecipe()
            else recipe
            for recipe, head in zip(recipes, (heads[index % sizes] for index in range(count)), strict=True)
        ]

    def _qualities(self, chance: random.Random) -> tuple[int, ...]:
        if chance.random() >= self.compressed:
            return ()
        times = 1 + (chance.random() < self.again) + (chance.random() < self.again / 3)
        return tuple(round(chance.uniform(*self.quality)) for _ in range(times))


def _even_in_log(chance: random.Random, span: Span) -> float:
    return math.exp(chance.uniform(math.log(span[0]), math.log(span[1])))


Level = Literal["mild", "medium", "strong"]

_ALWAYS = Ranges(nothing=0, blurred=1, shrunk=1, noisy=1, compressed=1)

LEVELS: dict[Level, Ranges] = {
    # A telephone's picture sent by a messenger; a face of 200 pixels and more.
    "mild": replace(
        _ALWAYS,
        sigma=(0.4, 1.5),
        shrink=(1.0, 2.5),
        noise=(1, 5),
        quality=(75, 95),
        moved=0,
        grained=0,
        shot_noisy=0,
        again=0,
    ),
    # A face of about 100 pixels in a compressed photograph. The middle of GFPGAN's ranges.
    "medium": replace(
        _ALWAYS, sigma=(1.0, 4.0), shrink=(3.0, 5.0), noise=(3, 12), grain=(3, 10), shot=(2, 10), quality=(55, 85)
    ),
    # A face of about 50 pixels. The upper end of GFPGAN's ranges, and beyond in JPEG.
    "strong": replace(_ALWAYS, sigma=(2.0, 8.0), shrink=(6.0, 10.0), noise=(8, 20), quality=(35, 70)),
}
"""What evaluation degrades with."""


def level_recipe(level: Level, index: int) -> DegradationRecipe:
    """What befalls picture ``index`` of an evaluation: the same wherever and whenever it is asked."""
    return LEVELS[level].draw(random.Random(f"{level}/{index}"))  # noqa: S311
