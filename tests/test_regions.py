"""Masks of the regions of a face, against OpenCV and closed forms."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from visage.faces.regions import FACE_REGIONS, REGIONS, region_mask


def maps_of(mask: Tensor, region: str = "hair") -> Tensor:
    """Region maps ``[N, R, S, S]``: ``region`` where the mask ``[N, S, S]`` is 1, background elsewhere."""
    maps = torch.zeros(len(mask), len(REGIONS), *mask.shape[1:])
    maps[:, REGIONS.index(region)] = mask
    maps[:, 0] = 1 - mask
    return maps


def disc(size: int, radius: float) -> Tensor:
    place = torch.arange(size) - (size - 1) / 2
    return (torch.hypot(place[None, :], place[:, None]) <= radius).float()[None]


def test_probabilities_of_the_regions_add_up(generator: torch.Generator) -> None:
    maps = (torch.randn(3, len(REGIONS), 20, 20, generator=generator) * 4).softmax(1)
    mask = region_mask(maps, ["upper lip", "lower lip", "mouth"])
    expected = sum(maps[:, REGIONS.index(name)] for name in ("upper lip", "lower lip", "mouth"))
    assert torch.allclose(mask, ((expected - 0.02) / 0.96).clamp(0, 1), atol=1e-6)
    assert bool((mask[expected < 0.02] == 0).all())
    assert bool((mask[expected > 0.98] == 1).all())
    assert torch.allclose(region_mask(maps, REGIONS), torch.ones(3, 20, 20))
    assert not region_mask(maps, []).any()


def test_neither_order_nor_repetition_of_the_names_matters(generator: torch.Generator) -> None:
    maps = torch.randn(1, len(REGIONS), 20, 20, generator=generator).softmax(1)
    one = region_mask(maps, ["hair", "skin", "hat"])
    assert torch.equal(one, region_mask(maps, ["hat", "hair", "skin", "hair"]))


def test_what_is_pasted_is_what_facexlib_pastes() -> None:
    # Its table for ParseNet, by the numbers of that network.
    from visage.models.parsers.loading import ARCHITECTURES

    kept = [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0]
    parsenet = next(kind for kind in ARCHITECTURES if kind.name == "ParseNet")
    assert {name for name, keep in zip(parsenet.regions, kept, strict=True) if keep} == set(FACE_REGIONS)


@pytest.mark.parametrize("size", [512, 130])
def test_the_feather_is_opencvs_blur(size: int) -> None:
    generator = torch.Generator().manual_seed(7)
    mask = torch.nn.functional.interpolate(torch.rand(1, 1, 12, 12, generator=generator), (size, size))[0].round()
    # facexlib: twice with a kernel of 101 and a deviation of 11, which is once with 15.6.
    once = cv2.GaussianBlur(mask[0].numpy().astype(np.float64), (101, 101), 11)
    theirs = cv2.GaussianBlur(once, (101, 101), 11)
    ours = region_mask(maps_of(mask), ["hair"], feather=math.sqrt(2) * 11 / size)[0]
    assert float((ours.double() - torch.from_numpy(theirs)).abs().max()) < 1e-3


def test_the_feather_looks_the_same_at_every_size() -> None:
    large = region_mask(maps_of(disc(512, 150)), ["hair"], feather=0.03)
    small = region_mask(maps_of(disc(128, 37.5)), ["hair"], feather=0.03)
    shrunk = torch.nn.functional.avg_pool2d(large[:, None], 4)[:, 0]
    # A disc of whole pixels is coarser at the small size: half a pixel of its edge is a twentieth of the feather.
    assert float((shrunk - small).abs().max()) < 0.05
    assert float((shrunk - small).abs().mean()) < 0.002


@pytest.mark.parametrize("grow", [0.1, 0.03, -0.03, -0.1])
def test_growing_moves_the_edge_by_as_much_in_every_direction(grow: float) -> None:
    size, radius = 512, 120.0
    grown = region_mask(maps_of(disc(size, radius)), ["hair"], grow=grow)[0]
    wanted = radius + round(grow * size)
    middle = (size - 1) / 2
    for degrees in range(0, 360, 15):
        turn = math.radians(degrees)
        x, y = middle + math.cos(turn) * torch.arange(256), middle + math.sin(turn) * torch.arange(256)
        found = int(grown[y.round().long(), x.round().long()].sum())
        assert -1.5 <= (found - wanted) * math.copysign(1, grow) <= 1.5 + 0.08 * abs(grow) * size


def test_growing_and_shrinking_are_each_others_mirror(generator: torch.Generator) -> None:
    maps = torch.randn(2, len(REGIONS), 40, 40, generator=generator).softmax(1)
    others = [name for name in REGIONS if name not in FACE_REGIONS]
    grown = region_mask(maps, FACE_REGIONS, grow=0.1)
    shrunk = region_mask(maps, others, grow=-0.1)
    assert torch.allclose(grown, 1 - shrunk, atol=1e-5)
    assert bool((grown >= region_mask(maps, FACE_REGIONS) - 1e-6).all())


@given(
    st.integers(1, 33),
    st.floats(-0.3, 0.3),
    st.floats(0, 0.4),
    st.lists(st.sampled_from(REGIONS), max_size=19),
    st.integers(0, 9),
)
def test_masks_stay_masks(size: int, grow: float, feather: float, regions: list[str], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = (torch.randn(1, len(REGIONS), size, size, generator=generator) * 5).softmax(1)
    before = maps.clone()
    mask = region_mask(maps, regions, grow, feather)
    assert mask.shape == (1, size, size)
    assert bool(((mask >= 0) & (mask <= 1)).all())
    assert torch.equal(maps, before)
    assert torch.equal(mask, region_mask(maps, regions, grow, feather))


def test_what_are_no_maps_is_refused() -> None:
    for shape in [(19, 8, 8), (1, 18, 8, 8), (1, 19, 8, 9)]:
        with pytest.raises(ValueError, match=r"\[N, 19, S, S\]"):
            region_mask(torch.zeros(shape), ["hair"])
    with pytest.raises(ValueError, match="negative"):
        region_mask(torch.zeros(1, 19, 8, 8), ["hair"], feather=-0.1)
