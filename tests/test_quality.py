"""The quality of a face: each measure rises with the damage it is for, and hardly moves with any other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from visage.faces.alignment import FFHQ
from visage.faces.face import Face, Faces
from visage.faces.pose import pitch_of, yaw_of
from visage.faces.quality import FaceQuality, face_qualities, measuring, words
from visage.faces.quality.blocks import blockiness
from visage.faces.quality.exposure import exposure
from visage.faces.quality.noise import noise_level
from visage.faces.quality.sharpness import sharpness
from visage.training.degradation_recipes import DegradationRecipe, level_recipe
from visage.training.degradations import blur, compress, degrade
from visage.training.pictures import as_float, picture_files, read_pictures

# Found by yolov8n-face in scikit-image's photograph of an astronaut.
ASTRONAUT = Face(
    (180.4, 56.6, 270.3, 176.7),
    landmarks=((202.1, 100.6), (247.0, 102.7), (223.1, 128.5), (204.4, 138.2), (243.7, 139.9)),
)
ALIGNED = Face((96, 100, 416, 452), landmarks=FFHQ.points)
# How damage is done to pictures [N, 3, H, W].
Damage = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module")
def astronaut() -> Tensor:
    from skimage import data

    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def aligned(data: Path) -> Tensor:
    return as_float(read_pictures(picture_files(data / "faces512" / "val")[::65]))


def measured(pictures: Tensor, face: Face) -> list[FaceQuality]:
    frames = pictures.movedim(1, -1)
    faces = Faces(frames.shape[2], frames.shape[1], ((face,),) * len(frames))
    return [quality for (quality,) in face_qualities(frames, faces)]


def blurred(sigma: float) -> Damage:
    return lambda pictures: blur(pictures, [DegradationRecipe(blur=(sigma, sigma))] * len(pictures))


def noisy(level: float) -> Damage:
    def damaged(pictures: Tensor) -> Tensor:
        drawn = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(3))
        return (pictures + drawn * level / 255).clamp(0, 1)

    return damaged


def compressed(quality: int) -> Damage:
    return lambda pictures: compress(pictures, [DegradationRecipe(qualities=(quality,))] * len(pictures))


def lit(gain: float) -> Damage:
    return lambda pictures: (pictures * gain).clamp(0, 1)


def falls(values: Sequence[float]) -> bool:
    return all(one > two for one, two in itertools.pairwise(values))


DAMAGES: dict[str, Damage] = {
    "none": lambda pictures: pictures,
    **{f"blur {sigma}": blurred(sigma) for sigma in (1, 2, 4)},
    **{f"noise {level}": noisy(level) for level in (2, 5, 20)},
    **{f"jpeg {quality}": compressed(quality) for quality in (80, 50, 30)},
    **{f"light {gain}": lit(gain) for gain in (0.02, 0.1, 0.5, 1.5, 2)},
}
# What each measure falls with, from its highest value to its lowest, and what it hardly moves with.
FALLS = {
    "sharpness": ("none", "blur 1", "blur 2", "blur 4"),
    "noise": ("noise 20", "noise 5", "noise 2", "none"),
    "blockiness": ("jpeg 30", "jpeg 50", "jpeg 80"),
    "brightness": ("light 2", "light 1.5", "none", "light 0.5", "light 0.1"),
    "white": ("light 2", "light 1.5", "none"),
    "black": ("light 0.02", "light 0.1", "light 0.5"),
}


def each_measure_is_for_its_own_damage(pictures: Tensor, face: Face) -> None:
    after = {name: measured(damage(pictures), face) for name, damage in DAMAGES.items()}
    for place in range(len(pictures)):

        def values(attribute: str, *damages: str, place: int = place) -> list[float]:
            return [getattr(after[damage][place], attribute) for damage in damages]

        for attribute, damages in FALLS.items():
            assert falls(values(attribute, *damages)), attribute
        clean = after["none"][place]
        alike = values("sharpness", "noise 5", "noise 20", "jpeg 50", "jpeg 30", "light 0.5")
        assert alike == pytest.approx([clean.sharpness] * 5, rel=0.15)
        assert max(values("noise", "blur 1", "blur 4", "jpeg 50", "light 0.5")) < clean.noise + 0.3
        assert max(values("blockiness", "blur 1", "blur 4", "noise 5", "light 0.5")) < clean.blockiness + 0.03
        alike = values("brightness", "blur 4", "noise 5", "jpeg 30")
        assert alike == pytest.approx([clean.brightness] * 3, abs=0.02)
        assert max(values("white", "blur 4", "noise 5", "jpeg 30")) < clean.white + 0.03
        assert max(values("black", "blur 4", "noise 5", "jpeg 30")) < clean.black + 0.03


def test_each_measure_is_for_its_own_damage_in_a_photograph(astronaut: Tensor) -> None:
    each_measure_is_for_its_own_damage(astronaut, ASTRONAUT)


def test_each_measure_is_for_its_own_damage_in_aligned_faces(aligned: Tensor) -> None:
    each_measure_is_for_its_own_damage(aligned, ALIGNED)


def test_words_say_what_was_done(aligned: Tensor) -> None:
    """The thresholds, on a sample of the faces that they were measured on."""

    def told(pictures: Tensor) -> list[tuple[str, ...]]:
        return [words(quality) for quality in measured(pictures, ALIGNED)]

    assert set(told(aligned)) == {("sharp",)}
    assert set(told(noisy(5)(aligned))) == {("sharp", "noisy")}
    assert set(told(compressed(30)(aligned))) == {("sharp", "JPEG blocks")}
    assert set(told(lit(0.3)(aligned))) == {("sharp", "dark")}
    assert set(told(lit(1.5)(aligned))) == {("sharp", "overexposed")}
    assert set(told(blurred(4)(aligned))) <= {("blurred",), ("soft",)}
    recipes = [level_recipe("strong", index) for index in range(len(aligned))]
    strong = told(degrade(aligned, recipes, torch.Generator().manual_seed(1)))
    assert ("sharp",) not in strong


def test_a_face_of_few_pixels_is_not_sharp(astronaut: Tensor) -> None:
    found = []
    for side in (512, 256, 128):
        small = F.interpolate(astronaut, (side, side), mode="area")
        scale = side / 512
        face = replace(
            ASTRONAUT,
            box=tuple((value + 0.5) * scale - 0.5 for value in ASTRONAUT.box),
            landmarks=tuple(tuple((value + 0.5) * scale - 0.5 for value in point) for point in ASTRONAUT.landmarks),
        )
        found += [quality.sharpness for quality in measured(small, face)]
    assert falls(found)
    assert found[-1] < 0.6


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5, 4.0])
def test_sharpness_is_one_over_the_width_of_an_edge(sigma: float) -> None:
    place = torch.arange(96.0) - 47.3
    edge = (0.5 + 0.3 * torch.erf(place / (sigma * math.sqrt(2)))).expand(2, 96, -1)
    edges = torch.stack((edge[0], 0.5 * edge[0].T))
    assert sharpness(edges, torch.ones_like(edges)).tolist() == pytest.approx([1 / sigma] * 2, rel=0.06)


def test_only_edges_in_the_mask_count() -> None:
    place = torch.arange(96.0) - 30
    soft, hard = (torch.special.expit((place - shift) / width) for shift, width in ((0.0, 3.0), (40.0, 0.4)))
    both = (soft + hard)[None, None].expand(1, 96, -1) / 2
    mask = torch.zeros_like(both)
    mask[..., :48] = 1
    assert sharpness(both, mask).item() < 0.3
    assert sharpness(both, 1 - mask).item() > 0.8


def test_noise_is_its_standard_deviation() -> None:
    drawn = torch.randn(200, 200, generator=torch.Generator().manual_seed(5))
    slope = torch.linspace(0, 1, 200).expand(200, -1)
    for level in (1.0, 5.0, 20.0):
        assert noise_level(slope + drawn * level / 255) == pytest.approx(level, rel=0.03)
    assert noise_level(slope) < 0.01


def test_blocks_are_found_wherever_the_picture_was_cut() -> None:
    generator = torch.Generator().manual_seed(6)
    blocks = F.interpolate(torch.rand(1, 1, 20, 20, generator=generator), scale_factor=8)[0, 0] * 0.1
    picture = blocks + torch.rand(160, 160, generator=generator) * 0.1
    whole = blockiness(picture)
    assert whole > 0.05
    assert blockiness(picture[3:, 5:]) == pytest.approx(whole, rel=0.1)
    assert blockiness(torch.rand(160, 160, generator=generator)) < 0.05
    assert blockiness(torch.full((40, 40), 0.5)) == 0


def test_exposure_is_counted_where_the_mask_is() -> None:
    pixels = torch.zeros(4, 4, 3)
    pixels[:2] = 0.5
    pixels[0, 0] = torch.tensor([1.0, 0.2, 0.2])
    mask = torch.ones(4, 4)
    light = exposure(pixels, pixels.mean(-1), mask)
    assert (light.black, light.white) == (0.5, 1 / 16)
    mask[2:] = 0
    light = exposure(pixels, pixels.mean(-1), mask)
    assert (light.black, light.white) == (0, 1 / 8)
    assert light.brightness == pytest.approx((7 * 0.5 + 1.4 / 3) / 8)


def test_noise_around_a_small_face_is_measured(generator: torch.Generator) -> None:
    frames = 0.5 + 5 / 255 * torch.randn(1, 200, 200, 3, generator=generator)
    small, large = Face((90.0, 90.0, 110.0, 110.0)), Face((20.0, 20.0, 180.0, 180.0), index=1)
    ((one, other),) = face_qualities(frames, Faces(200, 200, ((small, large),)))
    assert one.noise == pytest.approx(other.noise, rel=0.05)


def test_order_is_that_of_the_faces_and_alpha_makes_no_difference(
    astronaut: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Face((300.0, 200.0, 460.0, 400.0))
    frames = torch.cat((astronaut, astronaut.flip(3), astronaut)).movedim(1, -1)
    faces = Faces(512, 512, ((ASTRONAUT, other), (), (other,)))
    qualities = face_qualities(frames, faces)
    assert [len(frame) for frame in qualities] == [2, 0, 1]
    assert qualities[0][1] == qualities[2][0] != qualities[0][0]
    alpha = torch.cat((frames, torch.rand(3, 512, 512, 1)), dim=-1)
    assert face_qualities(alpha, faces) == qualities
    # As many as are looked at at once.
    monkeypatch.setattr(measuring, "_GROUP", 2)
    assert face_qualities(frames, faces) == qualities


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((1, 1), (-0.5, -0.5, 0.5, 0.5)),
        ((40, 30), (5.0, 5.0, 25.0, 25.0)),
        ((90, 90), (40.0, 40.0, 40.0, 40.0)),
        ((200, 200), (-500.0, -500.0, -300.0, -300.0)),
    ],
)
def test_what_cannot_be_told_is_left_open(size: tuple[int, int], box: tuple[float, float, float, float]) -> None:
    width, height = size
    frames = torch.full((1, height, width, 3), 0.5)
    ((quality,),) = face_qualities(frames, Faces(width, height, ((Face(box),),)))
    assert quality.sharpness is None
    if min(size) < 48:
        assert quality.noise is None
        assert quality.blockiness is None
    if box[2] < 0:
        assert quality.brightness is None
        assert words(quality) == ()
    else:
        assert quality.brightness == pytest.approx(0.5)


def test_a_face_that_hangs_over_the_border_is_judged_by_what_is_seen(astronaut: Tensor) -> None:
    cut = astronaut[..., 227:]

    def moved(face: Face) -> Face:
        left, top, right, bottom = face.box
        marks = tuple((x - 227, y) for x, y in face.landmarks)
        return replace(face, box=(left - 227, top, right - 227, bottom), landmarks=marks)

    (whole,), (half,) = measured(astronaut, ASTRONAUT), measured(cut, moved(ASTRONAUT))
    assert half.sharpness == pytest.approx(whole.sharpness, rel=0.25)
    assert half.brightness == pytest.approx(whole.brightness, abs=0.1)


def test_frames_of_another_size_are_refused(astronaut: Tensor) -> None:
    with pytest.raises(ValueError, match="found in 1 image"):
        face_qualities(astronaut.movedim(1, -1), Faces(500, 512, ((ASTRONAUT,),)))


def test_pitch_is_level_at_the_usual_place_and_follows_the_nose() -> None:
    def face(nose: float, turn: float = 0.0) -> list[tuple[float, float]]:
        points = [(-50.0, 0.0), (50.0, 0.0), (0.0, nose * 100), (-40.0, 100.0), (40.0, 100.0)]
        cos, sin = math.cos(turn), math.sin(turn)
        return [(x * cos - y * sin, x * sin + y * cos) for x, y in points]

    assert pitch_of(face(0.6)) == pytest.approx(0)
    assert pitch_of(face(0.4)) > 20
    assert pitch_of(face(0.8)) < -20
    # Whatever the roll, and without a yaw.
    assert pitch_of(face(0.4, 0.7)) == pytest.approx(pitch_of(face(0.4)))
    assert yaw_of(face(0.4, 0.7)) == pytest.approx(0)
    assert pitch_of([(0.0, 0.0)] * 5) is None


def test_pitch_follows_a_head_that_nods() -> None:
    """A flat face with the nose of the model, from far away."""
    for degrees in (-30, -10, 0, 20, 40):
        angle = math.radians(degrees)
        depth = 130 / 450 * 90 / 63 * 100
        # Bent back, the nose in front of the plane goes up in the picture.
        seen = [
            (x, y * math.cos(angle) - z * math.sin(angle))
            for x, y, z in ((-50, 0, 0), (50, 0, 0), (0, 60, depth), (-40, 100, 0), (40, 100, 0))
        ]
        assert pitch_of(seen) == pytest.approx(degrees, abs=0.01)
