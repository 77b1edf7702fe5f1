"""The grain of a picture, which is kept where a clean part of it would show as a patch or look like plastic."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from visage.faces.alignment import FFHQ
from visage.faces.face import Face, Faces
from visage.faces.grain import grain_taken
from visage.models.host import TorchHost
from visage.models.restorers import Restorer
from visage.models.restorers.network import Architecture, Network
from visage.pipeline import BlendSettings, RestoreSettings, restore

HOST = TorchHost("cpu", quiet=True)
SETTINGS = RestoreSettings(blend=BlendSettings(colour=0))
SIDE = 640
NOISE = 10 / 255


def noise(seed: int = 0, side: int = SIDE, size: float = NOISE) -> Tensor:
    """``[side, side, 3]``, the same in red, green and blue."""
    grey = torch.randn(side, side, 1, generator=torch.Generator().manual_seed(seed)) * size
    return grey.expand(-1, -1, 3)


def portrait() -> Tensor:
    """``[SIDE, SIDE, 3]``: as plain as can be, so that all that changes is grain."""
    return torch.full((SIDE, SIDE, 3), 0.5)


def spread(image: Tensor, rows: slice, columns: slice) -> float:
    """In standard deviations of :func:`noise`."""
    return float(image[rows, columns].std()) / NOISE


def taken(before: Tensor, after: Tensor, scale: float = 1) -> Tensor:
    return grain_taken(before, after, torch.ones(before.shape[:2]), scale)


def restored(frame: Tensor, grain: float, crops_to: float = 0.0) -> Tensor:
    """``[SIDE, SIDE, 3]`` with a face whose crop covers the middle 512 pixels, after a network that takes all noise and
    leaves texture of its own of this strength."""
    texture = noise(7, 512, crops_to).movedim(-1, 0)

    def smooth(images: Tensor) -> Tensor:
        return images.mean((2, 3), keepdim=True) + texture

    kind = Architecture("smoothing", lambda module, images, options: smooth(images), False, 512, False, 100, False)
    restorer = Restorer(Network("smoothing", torch.nn.Conv2d(1, 1, 1), kind, 1), HOST)
    landmarks = tuple((x + 64, y + 64) for x, y in FFHQ.points)
    faces = Faces(SIDE, SIDE, ((Face((200.0, 180.0, 440.0, 500.0), landmarks=landmarks),),))
    return restore(frame[None], faces, restorer, HOST, replace(SETTINGS, grain=grain)).frames[0]


MIDDLE = slice(240, 400), slice(240, 400)


def test_grain_that_was_taken_is_what_comes_back() -> None:
    plain, grain = portrait(), noise()
    back = taken(plain + grain, plain)
    # Without the mean of 7 x 7 pixels, and without the few that lie far out.
    assert float((back - grain).std()) < 0.2 * NOISE


def test_colours_of_grain_stay() -> None:
    plain, grain = portrait(), noise() * torch.tensor([1.0, 0.2, -0.5])
    back = taken(plain + grain, plain)
    assert float(back[..., 1].std() / back[..., 0].std()) == pytest.approx(0.2, rel=0.01)
    assert float((back[..., 2] * back[..., 0]).mean()) < 0


def test_nothing_is_added_to_what_is_as_it_was() -> None:
    grainy = portrait() + noise()
    assert not taken(grainy, grainy.clone()).any()


def test_nothing_is_added_where_there_is_as_much_texture_of_another_kind() -> None:
    plain = portrait()
    assert float(taken(plain + noise(1), plain + noise(2)).std()) < 0.2 * NOISE


def test_what_is_missing_is_added_to_what_is_left() -> None:
    plain, grain = portrait(), noise()
    after = plain + 0.5 * grain
    assert float((after + taken(plain + grain, after) - plain).std()) == pytest.approx(NOISE, rel=0.1)


def test_a_line_that_was_taken_away_does_not_come_back_with_the_grain() -> None:
    scratched = portrait() + noise()
    scratched[300, :] += 0.4
    back = taken(scratched, portrait())
    assert float(back[300].mean()) < 4 * NOISE


def test_grain_of_a_larger_face_is_coarser() -> None:
    """A scan at twice the size shows each grain twice as wide."""
    fine = noise(side=SIDE // 2).movedim(-1, 0)[None]
    grain = F.interpolate(fine, scale_factor=2, mode="bilinear")[0].movedim(0, -1)
    plain = portrait()
    near, wide = (float((taken(plain + grain, plain, scale) - grain).std()) for scale in (1, 2))
    assert wide < 0.7 * near


def test_on_a_small_face_grain_is_looked_for_close_by() -> None:
    """Beside hair that stays as it was the skin's grain comes back all the same."""
    plain, grain = portrait(), noise()
    plain[:, :320] += torch.tensor([0.3, -0.3]).repeat(160)[:, None]
    back = taken(plain + grain, plain, 0.4)
    assert spread(back, slice(100, 500), slice(332, 344)) > 0.8


def test_what_is_no_number_beside_the_crop_does_no_harm() -> None:
    spoiled = portrait() + noise()
    spoiled[0, 0] = math.nan
    assert bool(taken(spoiled, portrait()).isfinite().all())


def test_a_face_without_skin_in_sight_gets_no_grain() -> None:
    assert not grain_taken(portrait() + noise(), portrait(), torch.zeros(SIDE, SIDE), 1).any()


@pytest.mark.parametrize("grain", [0.0, 0.5, 1.0])
def test_as_much_stays_on_the_face_as_is_asked_for(grain: float) -> None:
    frame = portrait() + noise()
    assert spread(restored(frame, grain), *MIDDLE) == pytest.approx(grain, abs=0.1)


def test_no_patch_without_grain_shows_around_the_face() -> None:
    frame = portrait() + noise()
    clean = restored(frame, 0)
    # From the border of the square to the face, in strips of 16 pixels.
    spreads = [spread(clean, slice(260, 380), slice(start, start + 16)) for start in range(64, 256, 16)]
    assert spreads[0] > 0.9
    assert spreads[-1] < 0.1
    assert max(one - other for one, other in itertools.pairwise(spreads)) < 0.4


def test_texture_that_the_restorer_draws_is_left_alone() -> None:
    frame = portrait() + noise()
    without, with_all = (restored(frame, grain, NOISE) for grain in (0.0, 1.0))
    assert spread(with_all - without, *MIDDLE) < 0.25
