"""What time, lenses, cameras and networks do to faces, on batches of tensors, from seeds.

The order is that of GFPGAN (Wang et al., "Towards Real-World Blind Face Restoration with Generative Facial Prior",
2021, section 4.1): blur, shrinking, noise, JPEG, and back to the old size. Added are motion blur, film grain, noise
that grows with brightness, noise without colour, and repeated JPEG.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.restorers.visage.bands import luma
from . import jpeg

Resampling = Literal["area", "bilinear", "bicubic"]
Span = tuple[float, float]
_MODES: tuple[Resampling, ...] = ("area", "bilinear", "bicubic")
_GROWING: tuple[Resampling, ...] = ("bilinear", "bicubic")
# Kernels of 41 pixels, as GFPGAN's.
_RADIUS = 20


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


def degrade(images: Tensor, recipes: Sequence[DegradationRecipe], noise: torch.Generator) -> Tensor:
    """Degrades pictures, each by its own recipe.

    Args:
        images: ``[N, 3, H, W]`` float32, RGB, 0..1.
        noise: draws the noise; on the device of ``images``. On a CPU JPEG is the real codec, elsewhere tensors.

    Returns:
        The same shape, 0..1 and, but for pictures whose recipe is empty, in whole levels of 255.
    """
    blurred = add_grain(blur(images, recipes), recipes, noise)
    done = torch.empty_like(images)
    groups: dict[tuple[int, int, Resampling, Resampling], list[int]] = {}
    for index, recipe in enumerate(recipes):
        if recipe == DegradationRecipe():
            done[index] = images[index]
            continue
        height, width = (max(4, round(side / recipe.shrink)) for side in images.shape[2:])
        groups.setdefault((height, width, recipe.shrink_by, recipe.grow_by), []).append(index)
    for (height, width, shrink_by, grow_by), members in groups.items():
        chosen = [recipes[index] for index in members]
        small = add_noise(resize(blurred[members], (height, width), shrink_by), chosen, noise)
        small = compress(small, chosen)
        grown = resize(small, (images.shape[2], images.shape[3]), grow_by)
        done[members] = (grown * 255).round_().div_(255).clamp_(0, 1)
    return done


def blur(images: Tensor, recipes: Sequence[DegradationRecipe]) -> Tensor:
    """Gaussian and motion blur, as one product in the frequency domain; borders are reflected."""
    if not any(recipe.blur[0] > 0 or recipe.motion > 0 for recipe in recipes):
        return images
    padded = F.pad(images, (_RADIUS,) * 4, mode="reflect")
    size = padded.shape[2:]
    spectra = torch.fft.rfft2(_centred(_gaussians(recipes, images), size))
    if any(recipe.motion > 0 for recipe in recipes):
        spectra = spectra * torch.fft.rfft2(_centred(_lines(recipes, images), size))
    whole: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * spectra[:, None], s=size)
    return whole[..., _RADIUS:-_RADIUS, _RADIUS:-_RADIUS].clamp(0, 1)


def _offsets(angles: Sequence[float], like: Tensor) -> tuple[Tensor, Tensor]:
    """How far each pixel of a kernel lies from its centre, along and across directions; each ``[N, K, K]``."""
    places = torch.arange(-_RADIUS, _RADIUS + 1, dtype=like.dtype, device=like.device)
    y, x = torch.meshgrid(places, places, indexing="ij")
    angle = like.new_tensor(angles)[:, None, None]
    return x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()


def _gaussians(recipes: Sequence[DegradationRecipe], like: Tensor) -> Tensor:
    """Kernels ``[N, K, K]`` of sum 1. A standard deviation of 0 gives a single one."""
    along, across = _offsets([recipe.blur_angle for recipe in recipes], like)
    sigmas = like.new_tensor([recipe.blur for recipe in recipes]).clamp_min(0.05)[..., None, None]
    kernels: Tensor = torch.exp(-0.5 * ((along / sigmas[:, 0]) ** 2 + (across / sigmas[:, 1]) ** 2))
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def _lines(recipes: Sequence[DegradationRecipe], like: Tensor) -> Tensor:
    """Kernels ``[N, K, K]`` of sum 1: lines with soft edges. A length of 0 gives a single one."""
    along, across = _offsets([recipe.motion_angle for recipe in recipes], like)
    half = like.new_tensor([recipe.motion / 2 for recipe in recipes])[:, None, None]
    kernels = (half + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp(0, 1)
    single = (half == 0) & (along.abs() < 0.5) & (across.abs() < 0.5)
    kernels = torch.where(half == 0, single.to(like.dtype), kernels)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def _centred(kernels: Tensor, size: torch.Size) -> Tensor:
    """Kernels on a plane of that size, their centre at its origin, as a circular convolution wants them."""
    plane = F.pad(kernels, (0, size[1] - kernels.shape[2], 0, size[0] - kernels.shape[1]))
    return plane.roll((-_RADIUS, -_RADIUS), dims=(1, 2))


def add_grain(images: Tensor, recipes: Sequence[DegradationRecipe], noise: torch.Generator) -> Tensor:
    """Grain of silver: grey lumps, strongest in mid-tones, none in black and white."""
    grained = [index for index, recipe in enumerate(recipes) if recipe.grain > 0]
    if not grained:
        return images
    done = images.clone()
    height, width = images.shape[2:]
    for index in grained:
        recipe = recipes[index]
        size = math.ceil(height / recipe.grain_size), math.ceil(width / recipe.grain_size)
        lumps = torch.randn((1, 1, *size), generator=noise, device=images.device)
        lumps = F.interpolate(lumps, (height, width), mode="bicubic", align_corners=False)
        lumps = lumps / lumps.std().clamp_min(1e-6)
        middle = 4 * images[index] * (1 - images[index])
        done[index] += lumps[0] * middle * (recipe.grain / 255)
    return done.clamp_(0, 1)


def add_noise(images: Tensor, recipes: Sequence[DegradationRecipe], noise: torch.Generator) -> Tensor:
    """Noise of the sensor: some everywhere, some that grows with the root of brightness."""
    levels = [(recipe.noise, recipe.shot, float(recipe.grey_noise)) for recipe in recipes]
    even, shot, grey = images.new_tensor(levels).T[..., None, None, None]
    drawn = torch.randn(images.shape, generator=noise, device=images.device)
    drawn = torch.where(grey > 0, drawn[:, :1], drawn)
    deviation = torch.sqrt(even.square() + shot.square() * images.clamp(0, 1)) / 255
    return (images + drawn * deviation).clamp_(0, 1)


def compress(images: Tensor, recipes: Sequence[DegradationRecipe]) -> Tensor:
    """As many JPEG files as each recipe names."""
    codec: Callable[[Tensor, Sequence[int]], Tensor]
    codec = jpeg.through_codec if images.device.type == "cpu" else jpeg.in_tensors
    for turn in range(max((len(recipe.qualities) for recipe in recipes), default=0)):
        members = [index for index, recipe in enumerate(recipes) if len(recipe.qualities) > turn]
        images = images.clone()
        images[members] = codec(images[members], [recipes[index].qualities[turn] for index in members])
    return images


def resize(images: Tensor, size: tuple[int, int], by: Resampling) -> Tensor:
    """To another size. Without smoothing first, as OpenCV does it for GFPGAN, so that aliasing is learned too."""
    if tuple(images.shape[2:]) == size:
        return images
    if by == "area":
        return F.interpolate(images, size, mode="area")
    return F.interpolate(images, size, mode=by, align_corners=False).clamp_(0, 1)


def recoloured(images: Tensor, chance: random.Random, rate: float = 0.15, grey: float = 0.04) -> Tensor:
    """Other colours for some pictures of a batch, before they are degraded: they are to be kept, not corrected.

    GFPGAN makes one in a hundred grey and shifts channels by up to 20 levels, the latter in its input only; so it
    learns to guess colours. Here the truth is changed with the input.

    Args:
        rate: share whose channels are scaled by 0.85..1.15 and shifted by up to 20 levels of 255, then mixed with
            their grey.
        grey: share that becomes grey.
    """
    done = []
    for image in images:
        tone = luma(image[None])[0]
        kind = chance.random()
        if kind < grey:
            done.append(tone.expand_as(image))
        elif kind < grey + rate:
            gain = image.new_tensor([chance.uniform(0.85, 1.15) for _ in range(3)])[:, None, None]
            shift = image.new_tensor([chance.uniform(-20, 20) / 255 for _ in range(3)])[:, None, None]
            done.append(torch.lerp(tone.expand_as(image), image * gain + shift, chance.uniform(0.5, 1.1)).clamp(0, 1))
        else:
            done.append(image)
    return torch.stack(done)
