import cv2
import numpy as np
import torch
from visage.faces.colour import lab_to_rgb, match_colour, rgb_to_lab


def test_lab_is_opencvs(generator) -> None:
    rgb = torch.rand(64, 64, 3, generator=generator)
    reference = cv2.cvtColor(rgb.numpy(), cv2.COLOR_RGB2LAB)
    assert float(np.abs(rgb_to_lab(rgb).numpy() - reference).max()) < 0.5
    assert float(np.abs(rgb_to_lab(rgb).numpy() - reference).mean()) < 0.1


def test_there_and_back(generator) -> None:
    rgb = torch.rand(64, 64, 3, generator=generator)
    assert float((lab_to_rgb(rgb_to_lab(rgb)) - rgb).abs().max()) < 1e-4


def test_strength_zero_is_the_very_image(generator) -> None:
    image = torch.rand(2, 8, 8, 3, generator=generator)
    assert match_colour(image, image * 0.5, torch.ones(2, 8, 8), 0) is image


def test_a_colour_cast_is_taken_off(generator) -> None:
    original = torch.rand(1, 32, 32, 3, generator=generator) * 0.5 + 0.2
    tinted = (original + torch.tensor([0.1, 0.0, -0.08])).clamp(0, 1)
    matched = match_colour(tinted, original, torch.ones(1, 32, 32))
    before = (rgb_to_lab(tinted) - rgb_to_lab(original)).mean((1, 2)).abs()
    after = (rgb_to_lab(matched) - rgb_to_lab(original)).mean((1, 2)).abs()
    assert float(after.max()) < 0.5 < float(before.max())


def test_contrast_is_the_restorers_own(generator) -> None:
    original = torch.rand(1, 32, 32, 1, generator=generator).expand(-1, -1, -1, 3) * 0.2 + 0.4
    sharper = ((original - 0.5) * 2 + 0.5).clamp(0, 1)
    matched = match_colour(sharper, original, torch.ones(1, 32, 32))
    assert float(rgb_to_lab(matched)[..., 0].std()) > 1.8 * float(rgb_to_lab(original)[..., 0].std())


def test_grey_photographs_stay_grey(generator) -> None:
    grey = torch.rand(1, 32, 32, 1, generator=generator).expand(-1, -1, -1, 3)
    coloured = (grey + torch.rand(1, 32, 32, 3, generator=generator) * 0.2).clamp(0, 1)
    matched = match_colour(coloured, grey, torch.ones(1, 32, 32))
    assert float(rgb_to_lab(matched)[..., 1:].abs().mean()) < 0.3


def test_only_what_has_weight_counts(generator) -> None:
    original = torch.rand(1, 16, 16, 3, generator=generator)
    other = original.clone()
    other[:, :8] = torch.tensor([1.0, 0.0, 0.0])
    weights = torch.ones(1, 16, 16)
    weights[:, :8] = 0
    matched = match_colour(other, original, weights)
    assert float((matched[:, 8:] - original[:, 8:]).abs().max()) < 0.01
    assert torch.equal(match_colour(other, original, torch.zeros(1, 16, 16)), other)


def test_a_finer_image_is_compared_at_the_size_of_its_reference(generator) -> None:
    original = torch.rand(1, 16, 16, 3, generator=generator)
    finer = original.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert float((match_colour(finer, original, torch.ones(1, 16, 16)) - finer).abs().max()) < 1e-3


def test_noise_of_the_reference_is_not_taken_for_colour(generator) -> None:
    rows, columns = torch.meshgrid(torch.linspace(0.3, 0.7, 128), torch.linspace(0.3, 0.7, 128), indexing="ij")
    clean = torch.stack([rows, columns, 1 - rows], dim=-1)[None]
    noisy = (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    matched = match_colour(clean, noisy, torch.ones(1, 128, 128))
    assert float((matched - clean).abs().mean()) < 0.004


def test_each_image_is_matched_for_itself_however_it_lies_in_memory(generator) -> None:
    images, original = (torch.rand(3, 3, 32, 32, generator=generator) for _ in range(2))
    weights = torch.rand(3, 32, 32, generator=generator)
    weights[1] = 0
    planes, pixels, given = images.movedim(1, -1), images.movedim(1, -1).contiguous(), original.movedim(1, -1)
    alone = torch.cat([match_colour(pixels[[n]], given[[n]], weights[[n]], 0.7) for n in range(3)])
    assert torch.equal(match_colour(pixels, given, weights, 0.7), alone)
    assert torch.equal(match_colour(planes, given, weights, 0.7), alone)
