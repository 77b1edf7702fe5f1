"""Degradations: each by itself against a closed form or OpenCV, all together repeatable, JPEG against the codec."""

import random
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from visage.training import jpeg
from visage.training.degradation_recipes import LEVELS, DegradationRecipe, Ranges, level_recipe
from visage.training.degradations import add_grain, add_noise, blur, degrade, recoloured
from visage.training.pictures import generator_of

# Shrink, JPEG qualities and noise of the fourth face at medium.
FROZEN = (4.9445, (62, 57), 6.775)


@pytest.fixture
def photo(generator: torch.Generator) -> torch.Tensor:
    """``[2, 3, 96, 96]``: smooth, with some texture, away from black and white."""
    coarse = torch.rand((2, 3, 6, 6), generator=generator) * 0.6 + 0.2
    smooth = torch.nn.functional.interpolate(coarse, (96, 96), mode="bicubic").clamp(0.15, 0.85)
    return (smooth + 0.04 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


def test_no_recipe_changes_no_bit(photo: torch.Tensor) -> None:
    assert torch.equal(degrade(photo, [DegradationRecipe(), DegradationRecipe()], generator_of(0, 0)), photo)


def test_the_same_seed_gives_the_same_bits_and_a_picture_is_not_touched_by_its_neighbours(photo: torch.Tensor) -> None:
    recipes = Ranges(nothing=0).draw_batch(random.Random(4), 2, 2)
    once, again = (degrade(photo, recipes, generator_of(1, 7)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, degrade(photo, recipes, generator_of(1, 8)))
    alone = degrade(photo[:1], recipes[:1], generator_of(1, 7))
    quiet = [replace(recipe, noise=0, shot=0, grain=0) for recipe in recipes]
    both = degrade(photo, quiet, generator_of(1, 7))
    assert torch.allclose(degrade(photo[1:], quiet[1:], generator_of(1, 7)), both[1:], atol=1.01 / 255)
    assert alone.shape == (1, 3, 96, 96)


@pytest.mark.parametrize("sigma", [0.8, 3.0])
def test_round_blur_is_that_of_opencv(photo: torch.Tensor, sigma: float) -> None:
    ours = blur(photo, [DegradationRecipe(blur=(sigma, sigma))] * 2)
    for image, result in zip(photo, ours, strict=True):
        theirs = cv2.GaussianBlur(image.permute(1, 2, 0).numpy(), (41, 41), sigma, borderType=cv2.BORDER_REFLECT_101)
        assert np.abs(result.permute(1, 2, 0).numpy() - theirs).max() < 1e-4


def test_a_long_blur_lies_along_its_angle() -> None:
    dot = torch.zeros(2, 3, 61, 61)
    dot[..., 30, 30] = 1
    along_x, along_y = blur(
        dot, [DegradationRecipe(blur=(5, 1)), DegradationRecipe(blur=(5, 1), blur_angle=torch.pi / 2)]
    )
    assert torch.allclose(along_x, along_y.transpose(1, 2), atol=1e-6)
    places = torch.arange(61.0) - 30
    assert (along_x[0].sum(0) * places**2).sum().item() == pytest.approx(25, rel=0.02)
    assert (along_x[0].sum(1) * places**2).sum().item() == pytest.approx(1, rel=0.02)


def test_motion_spreads_a_dot_over_a_line_of_its_length() -> None:
    dot = torch.zeros(1, 3, 61, 61)
    dot[..., 30, 30] = 1
    (smeared,) = blur(dot, [DegradationRecipe(motion=10)])
    assert smeared[0].sum().item() == pytest.approx(1, abs=1e-4)
    assert smeared[0, 30, 26:35].std().item() < 1e-5
    assert smeared[0, 30, 20:41].sum().item() == pytest.approx(1, abs=1e-4)
    (still,) = blur(dot, [DegradationRecipe(motion=0, blur=(1e-3, 1e-3))])
    assert torch.allclose(still, dot[0], atol=1e-5)


def test_noise_has_the_strength_and_the_colour_it_is_told() -> None:
    grey = torch.full((3, 3, 128, 128), 0.25)
    recipes = [DegradationRecipe(noise=10), DegradationRecipe(noise=10, grey_noise=True), DegradationRecipe(shot=20)]
    noisy = add_noise(grey, recipes, generator_of(0, 0)) - grey
    levels = noisy.std(dim=(1, 2, 3)) * 255
    assert levels.tolist() == pytest.approx([10, 10, 20 * 0.25**0.5], rel=0.03)
    assert torch.equal(noisy[1, 0], noisy[1, 1])
    assert (noisy[0, 0] * noisy[0, 1]).mean().abs() < 0.05 * noisy[0].var()


def test_grain_is_grey_lumpy_and_absent_in_black_and_white() -> None:
    tones = torch.tensor([0.0, 0.5, 1.0])[:, None, None, None].expand(3, 3, 120, 120).contiguous()
    grainy = add_grain(tones, [DegradationRecipe(grain=12, grain_size=3)] * 3, generator_of(0, 0)) - tones
    assert (grainy[0] == 0).all()
    assert (grainy[2] == 0).all()
    assert grainy[1].std().item() * 255 == pytest.approx(12, rel=0.05)
    beside = (grainy[1, 0, :, 1:] * grainy[1, 0, :, :-1]).mean() / grainy[1, 0].var()
    assert beside > 0.7


@pytest.mark.parametrize("quality", [25, 60, 92])
def test_jpeg_in_tensors_is_that_of_the_codec(photo: torch.Tensor, quality: int) -> None:
    smooth = blur(photo, [DegradationRecipe(blur=(1.2, 1.2))] * 2)[..., :90, :83]
    real, ours = (codec(smooth, [quality] * 2) for codec in (jpeg.through_codec, jpeg.in_tensors))
    assert real.shape == ours.shape
    loss = (real - smooth).abs().mean()
    assert (ours - real).abs().mean() * 255 < 0.8
    assert ((ours - smooth).abs().mean() / loss).item() == pytest.approx(1, abs=0.1)


def test_repeated_jpeg_goes_through_every_file(photo: torch.Tensor) -> None:
    once = degrade(photo, [DegradationRecipe(qualities=(30,))] * 2, generator_of(0, 0))
    twice = degrade(photo, [DegradationRecipe(qualities=(30, 60))] * 2, generator_of(0, 0))
    expected = jpeg.through_codec(jpeg.through_codec(photo, [30, 30]), [60, 60])
    assert not torch.equal(once, twice)
    assert torch.allclose(twice, expected, atol=1e-6)


def test_ranges_are_kept_and_a_batch_has_few_sizes() -> None:
    ranges = Ranges()
    recipes = ranges.draw_batch(random.Random(0), 400, 8)
    assert len({recipe.shrink for recipe in recipes if recipe != DegradationRecipe()}) <= 8
    empty = sum(recipe == DegradationRecipe() for recipe in recipes) / len(recipes)
    assert empty == pytest.approx(ranges.nothing, abs=0.04)
    changed = [recipe for recipe in recipes if recipe != DegradationRecipe()]
    assert sum(recipe.blur[0] > 0 for recipe in changed) / len(changed) == pytest.approx(ranges.blurred, abs=0.05)
    assert all(recipe.blur[1] <= recipe.blur[0] <= ranges.sigma[1] for recipe in changed)
    assert all(1 <= recipe.shrink <= ranges.shrink[1] for recipe in changed)
    assert all(ranges.quality[0] <= quality <= 100 for recipe in changed for quality in recipe.qualities)
    assert {len(recipe.qualities) for recipe in changed} == {0, 1, 2, 3}


def test_levels_are_frozen_and_grow_worse(photo: torch.Tensor) -> None:
    """These recipes stand behind published figures: a change of them is a change of the figures."""
    assert level_recipe("medium", 0) == level_recipe("medium", 0)
    assert level_recipe("medium", 0) != level_recipe("medium", 1)
    medium = level_recipe("medium", 3)
    assert (round(medium.shrink, 4), medium.qualities, round(medium.noise, 3)) == FROZEN
    errors = []
    for level in LEVELS:
        recipes = [level_recipe(level, index) for index in range(8)]
        big = photo.repeat(4, 1, 1, 1)
        errors.append((degrade(big, recipes, generator_of(0, 0)) - big).square().mean().item())
    assert errors == sorted(errors)


def test_other_colours_stay_a_picture(photo: torch.Tensor) -> None:
    grey = recoloured(photo, random.Random(0), rate=0, grey=1)
    assert (grey[:, 0] - grey[:, 2]).abs().max() < 1e-6
    shifted = recoloured(photo, random.Random(0), rate=1, grey=0)
    assert shifted.min() >= 0
    assert shifted.max() <= 1
    assert 0.005 < (shifted - photo).abs().mean() < 0.2
    assert torch.equal(recoloured(photo, random.Random(0), rate=0, grey=0), photo)
