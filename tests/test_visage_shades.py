"""What the built-in restorer makes of shades before and after its network, with networks that can be seen through."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from visage.models.restorers.options import DEFAULT_OPTIONS
from visage.models.restorers.visage import SIDE, VISAGE


class Curve(nn.Module):
    """Bends shades, so that it counts how a crop was stretched; remembers how many crops it got."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[int] = []

    def forward(self, images: Tensor, amount: float) -> Tensor:
        self.given.append(len(images))
        return images + 0.01 * torch.sin(9 * images)


def scene(contrast: float) -> Tensor:
    """A head of that contrast in its shades, fine noise on everything, before something bright: ``[1, 3, S, S]``."""
    places = torch.linspace(0, 1, SIDE)
    waves = 0.5 + 0.5 * torch.sin(40 * places[:, None]) * torch.cos(40 * places)
    head = ((places[:, None] - 0.55).square() + (places - 0.5).square()).sqrt() < 0.35
    noise = 0.01 * torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return (torch.where(head, 0.8 * contrast * waves, 0.9) + noise).clamp(0, 1)[None]


def called(images: Tensor) -> tuple[Tensor, list[int]]:
    curve = Curve()
    return VISAGE.call(curve, images, DEFAULT_OPTIONS), curve.given


def test_a_face_with_the_contrast_of_its_crop_is_looked_at_once() -> None:
    crop = scene(1.0).clone()
    # All shades from black to white: nothing is stretched, and the network's result has its very bits.
    crop[..., :8], crop[..., -8:] = 0, 1
    restored, given = called(crop)
    assert given == [1]
    assert torch.equal(restored, Curve()(crop, 0.0))


def test_only_pale_faces_are_looked_at_twice_and_none_acts_on_another() -> None:
    crops = torch.cat([scene(contrast) for contrast in (1.0, 0.2, 0.9, 0.3)])
    restored, given = called(crops)
    assert given == [4, 2]
    assert torch.equal(restored, torch.cat([called(crop[None])[0] for crop in crops]))


@pytest.mark.parametrize("turned", [False, True], ids=["dark before bright", "pale before dark"])
def test_a_pale_face_is_given_to_the_network_at_full_contrast(turned: bool) -> None:
    crop = 1 - scene(0.25) if turned else scene(0.25)
    seen: list[Tensor] = []

    class Seen(Curve):
        def forward(self, images: Tensor, amount: float) -> Tensor:
            seen.append(images)
            return images

    restored = VISAGE.call(Seen(), crop, DEFAULT_OPTIONS)
    assert float((restored - crop).abs().amax()) < 1e-6
    first, second = (images[..., 200:380, 200:320] for images in seen)
    assert float(second.std()) > 2 * float(first.std())
    # The noise of the surroundings is still there, as strong as that of the face.
    corner = seen[1][..., :60, :60]
    assert float(corner.std()) > 0.02
    assert float(seen[1].amin()) > -0.25
    assert float(seen[1].amax()) < 1.25


def test_a_pale_face_of_much_damage_is_looked_at_once() -> None:
    """Stretched, its damage would be more than the network knows; what the first look changes tells how much it is."""

    class Much(Curve):
        def forward(self, images: Tensor, amount: float) -> Tensor:
            self.given.append(len(images))
            return images + 0.03

    much = Much()
    VISAGE.call(much, scene(0.25), DEFAULT_OPTIONS)
    assert much.given == [1]


def test_the_frames_of_a_video_do_not_jump() -> None:
    """From a face that is looked at once to one that is looked at twice, in steps of half a level."""
    frames = [scene(0.2 + step * 0.0025) for step in range(200)]
    looks, jumps = [], []
    for (one, looked), (other, _) in itertools.pairwise(map(called, frames)):
        looks.append(len(looked))
        jumps.append(float((other - one).abs().amax()))
    assert set(looks) == {1, 2}
    assert max(jumps) < 0.008
