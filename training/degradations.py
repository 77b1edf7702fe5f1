"""What time, lenses, cameras and networks do to faces, on batches of tensors, as :mod:`.degradation_recipes` say.

The order is that of GFPGAN (Wang et al., "Towards Real-World Blind Face Restoration with Generative Facial Prior",
2021, section 4.1): blur, shrinking, noise, JPEG, and back to the old size. Added are motion blur, film grain, noise
that grows with brightness, noise without colour, and repeated JPEG.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.restorers.visage.bands import luma
from . import jpeg
from .degradation_recipes import DegradationRecipe, Resampling

# Kernels of 41 pixels, as GFPGAN's.
_RADIUS = 20


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
