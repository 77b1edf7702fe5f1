"""Masks of the regions of faces, by landmarks and by a parser, in pixels of frames.

No weights of a real parser are at hand: the parsers here read regions off the colours of known pictures.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from visage.faces.alignment import FFHQ
from visage.faces.crops import plan_crops
from visage.faces.face import Face, Faces, Point
from visage.faces.geometry import apply
from visage.faces.landmark_regions import LandmarkRegion, landmarks_in, to_landmark_regions
from visage.faces.paste import places_of
from visage.faces.regions import REGIONS
from visage.fields import build
from visage.models.host import TorchHost
from visage.models.inference import InvalidOutputError
from visage.models.restorers import load_restorer
from visage.pipeline import (
    RegionSettings,
    Restoration,
    RestoreSettings,
    face_regions,
    refine,
    regions,
    restore,
)
from visage.pipeline.region_settings import LandmarkParts, ParserParts, chosen
from visage.tests.parser_models import bright_is_skin, parser_of
from visage.tests.test_refining import Painter, settings_of

HOST = TorchHost("cpu", quiet=True)
SIZE = 200
PER_FACE = {"masks": "per face"}


def face_at(x: float, y: float, side: float, roll: float = 0.0, index: int = 0, landmarks: bool = True) -> Face:
    """A face whose aligned square of ``side`` pixels has its middle at ``(x, y)``, turned clockwise by degrees."""
    unit = side / FFHQ.size
    cos, sin = math.cos(math.radians(roll)), math.sin(math.radians(roll))

    def placed(point: Point) -> Point:
        across, down = (point[0] - 255.5) * unit, (point[1] - 255.5) * unit
        return x + across * cos - down * sin, y + across * sin + down * cos

    one, two, three, four, five = map(placed, FFHQ.points)
    half = side / FFHQ.box_share / 2
    # The middle of the crop lies above that of the box.
    ax, ay = x - FFHQ.box_rise * 2 * half * sin, y + FFHQ.box_rise * 2 * half * cos
    return Face(
        (ax - half, ay - half, ax + half, ay + half),
        landmarks=(one, two, three, four, five) if landmarks else None,
        roll=None if landmarks else roll,
        index=index,
    )


def frames_of(count: int = 1, height: int = SIZE, width: int = SIZE) -> Tensor:
    return torch.full((count, height, width, 3), 0.3)


def masks_of(frames: Tensor, *found: Face, parser: Any = None, occluders: Any = None, **settings: Any) -> Tensor:
    faces = Faces(frames.shape[2], frames.shape[1], (found, *((),) * (len(frames) - 1)))
    return face_regions(frames, faces, build(RegionSettings, settings), HOST, parser, occluders)


def only(name: str) -> dict[str, Any]:
    return {"face_oval": False, name: True}


def at(mask: Tensor, point: Point) -> float:
    return float(mask[round(point[1]), round(point[0])])


# What can be chosen


def test_grown_regions_end_where_the_crop_of_the_face_does() -> None:
    face = face_at(100, 100, 90, roll=45)
    mask = masks_of(frames_of(), face, grow=0.25, feather=0.0)[0]
    crops = plan_crops([(0, face)], 512, SIZE, SIZE, 1)
    places = torch.stack(torch.meshgrid(*2 * [torch.arange(SIZE, dtype=torch.float64)], indexing="xy"), -1)
    seen = apply(crops.matrices[0], places)
    outside = ((seen < -0.5) | (seen > 511.5)).any(-1)
    assert float(mask[outside].max()) == 0
    assert float(mask[~outside].mean()) > 0.7


def test_every_region_of_a_parser_can_be_chosen_by_one_name() -> None:
    asked = [build(RegionSettings, only(part)).parsed for part in ParserParts.__dataclass_fields__]
    assert sorted(region for some in asked for region in some) == sorted(set(REGIONS) - {"background"})
    drawn = [
        build(RegionSettings, {"face_oval": False, name: True}).drawn for name in LandmarkParts.__dataclass_fields__
    ]
    assert [region for some in drawn for region in some] == list(get_args(LandmarkRegion))
    assert chosen(RegionSettings().landmarks) == ["face_oval"]
    assert chosen(RegionSettings().parser) == []


def test_what_only_a_parser_can_tell_is_an_error_without_one() -> None:
    face = face_at(100, 100, 150)
    with pytest.raises(ValueError, match=r"Only a face parser can tell glasses\. Connect one .* or switch it off"):
        masks_of(frames_of(), face, **only("glasses"))
    with pytest.raises(ValueError, match=r"can tell eyes, lips and hair\. .* switch them off and choose face_oval"):
        masks_of(frames_of(), face, hair=True, lips=True, eyes=True)
    with pytest.raises(ValueError, match="No region is chosen"):
        masks_of(frames_of(), face, face_oval=False)


# Regions by landmarks


def test_landmarks_lie_in_their_regions_and_nothing_else_does() -> None:
    face = face_at(100, 100, 150, roll=25)
    assert face.landmarks is not None
    one, two, nose, left, right = face.landmarks
    oval = masks_of(frames_of(), face)[0]
    eyes = masks_of(frames_of(), face, **only("eye_area"))[0]
    mouth = masks_of(frames_of(), face, **only("mouth_area"))[0]
    assert [at(oval, point) for point in face.landmarks] == [1] * 5
    assert [at(eyes, point) for point in (one, two, nose, left, right)] == [1, 1, 0, 0, 0]
    middle = (left[0] + right[0]) / 2, (left[1] + right[1]) / 2
    assert [at(mouth, point) for point in (one, two, nose, middle)] == [0, 0, 0, 1]
    assert min(at(mouth, left), at(mouth, right)) > 0.5
    both = masks_of(frames_of(), face, **only("eye_area"), mouth_area=True)[0]
    assert torch.equal(both, torch.maximum(eyes, mouth))
    assert bool((eyes <= oval).all())


def dlib_faces(data: Path) -> list[tuple[Face, Tensor]]:
    """Faces of the dlib photographs by five of their 68 landmarks, and all of these."""
    found = []
    for file in sorted((data / "photos" / "dlib_faces").glob("*_with_face_landmarks.xml")):
        for box in ElementTree.parse(file).getroot().iter("box"):  # noqa: S314 - our own file
            if len(box) < 68:
                continue
            places = {part.get("name"): (float(part.get("x", 0)), float(part.get("y", 0))) for part in box}
            points = torch.tensor([places[f"{number:02d}"] for number in range(68)], dtype=torch.float64)
            five = torch.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
            one, two, three, four, five_ = ((x, y) for x, y in five.tolist())
            found.append((Face((0, 0, 9, 9), landmarks=(one, two, three, four, five_)), points))
    return found


def test_regions_by_five_landmarks_fit_the_68_of_real_faces(data: Path) -> None:
    found = dlib_faces(data)
    assert len(found) >= 40
    distances: dict[str, list[Tensor]] = {"face oval": [], "eye area": [], "mouth area": []}
    parts = {"face oval": slice(0, 17), "eye area": slice(36, 48), "mouth area": slice(48, 68)}
    for face, points in found:
        crops = plan_crops([(0, face)], 512, 4000, 4000, 1)
        seen = apply(crops.matrices[0], points).float()
        for region, part in parts.items():
            x, y = seen[part, 0][None], seen[part, 1][None]
            distances[region].append(to_landmark_regions(landmarks_in(crops)[0].tolist(), 512, (region,), x, y)[0])
    # Pixels of a crop of 512. The oval ends at the jaw; eyes and mouths lie inside of their regions.
    jaw = torch.cat(distances["face oval"]).abs()
    assert float(jaw.median()) < 10
    assert float(jaw.quantile(0.9)) < 24
    for region in ("eye area", "mouth area"):
        beyond = torch.cat(distances[region])
        assert float((beyond < 2).float().mean()) > 0.97, region
        assert -35 < float(beyond.median()) < -3, region


def test_the_oval_follows_the_turn_of_the_head() -> None:
    face = face_at(100, 100, 150)
    assert face.landmarks is not None
    one, two, (x, y), four, five = face.landmarks
    turned = replace(face, landmarks=(one, two, (x + 8, y), four, five))
    straight, moved = (masks_of(frames_of(), each)[0].sum(0) for each in (face, turned))
    place = torch.arange(SIZE)
    shift = float((moved * place).sum() / moved.sum() - (straight * place).sum() / straight.sum())
    assert -14 < shift < -8


def test_without_landmarks_the_regions_lie_where_the_box_has_them() -> None:
    crops = plan_crops([(0, face_at(90, 110, 120, -15, landmarks=False))], 512, SIZE, SIZE, 1)
    expected = torch.tensor(FFHQ.points, dtype=torch.float64)
    assert torch.allclose(landmarks_in(crops)[0], expected)
    with_them = masks_of(frames_of(), face_at(90, 110, 120, -15), eye_area=True)
    without = masks_of(frames_of(), face_at(90, 110, 120, -15, landmarks=False), eye_area=True)
    # The crop of a box is a little off.
    assert float((with_them - without).abs().mean()) < 0.02
    # Points that are not those of a face: the crop is that of the box, and so are the regions.
    # The second ones lie in the crop of the box as those of a face might.
    box = face_at(90, 110, 120, landmarks=False)
    for points in (
        ((0, 0), (150, 0), (9, 199), (20, 0), (199, 199)),
        ((79, 95), (99, 112), (94, 127), (88, 139), (105, 133)),
    ):
        strange = replace(box, landmarks=points)
        assert torch.equal(masks_of(frames_of(), strange, eye_area=True), masks_of(frames_of(), box, eye_area=True))


@pytest.mark.parametrize(("side", "feather"), [(60, 0.02), (150, 0.02), (150, 0.05), (600, 0.02)])
def test_grow_and_feather_are_shares_of_the_crop(side: int, feather: float) -> None:
    """Along the row of the widest place of the oval its edge is the integral of a Gaussian where grow puts it."""
    size = round(1.2 * side)
    middle = (size - 1) / 2
    face = face_at(middle, middle, side)
    grow = 0.03
    mask = masks_of(frames_of(1, size, size), face, feather=feather, grow=grow)[0]
    row = round(middle + ((0.117 + 0.93) / 2 - 0.5) * side)
    x = torch.arange(size)
    edge = middle + (0.288 + grow) * side
    expected = (1 - torch.erf((x - edge) / (feather * side * math.sqrt(2)))) / 2
    right = x > middle + 0.15 * side
    inside_crop = x < middle + 0.4 * side
    assert float((mask[row] - expected)[right & inside_crop].abs().max()) < 0.02


def test_a_wide_feather_leaves_the_face_in_the_mask() -> None:
    mask = masks_of(frames_of(), face_at(100, 100, 150), feather=0.15)[0]
    assert float(mask[100, 100]) > 0.9
    assert not mask[:, :24].any()


def test_shrinking_and_growing_go_both_ways() -> None:
    face = face_at(100, 100, 150)
    small, usual, large = (masks_of(frames_of(), face, grow=grow)[0] for grow in (-0.05, 0.0, 0.05))
    assert bool((small <= usual).all())
    assert bool((usual <= large).all())
    areas = [float(mask.sum()) for mask in (small, usual, large)]
    # An ellipse of half axes 0.288 and 0.4065 of the side.
    for grow, area in zip((-0.05, 0.0, 0.05), areas, strict=True):
        assert area == pytest.approx(math.pi * (0.288 + grow) * (0.4065 + grow) * 150**2, rel=0.02)


@pytest.mark.parametrize("name", ["face_oval", "eye_area", "mouth_area"])
def test_a_face_has_the_same_regions_at_every_size(name: str) -> None:
    small = masks_of(frames_of(), face_at(99.5, 99.5, 150, 20), **only(name), feather=0.02)
    large = masks_of(frames_of(1, 800, 800), face_at(399.5, 399.5, 600, 20), **only(name), feather=0.02)
    assert float((F.avg_pool2d(large, 4) - small).abs().max()) < 0.02


# Where the pixels are


@pytest.mark.parametrize("roll", [0.0, 30.0, -140.0])
def test_beyond_the_crop_everything_is_exactly_0_and_deep_inside_exactly_1(roll: float) -> None:
    face = face_at(100, 100, 90, roll)
    parser, _ = parser_of(HOST)
    crops = plan_crops([(0, face)], 512, SIZE, SIZE, 1)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    seen = apply(crops.matrices[0], torch.stack([x, y], -1).double()).flatten(0, 1).reshape(SIZE, SIZE, 2)
    depth = (255.5 - (seen - 255.5).abs()).amin(-1) / 512 * 90
    for feather in (0.0, 0.03):
        # Everything is skin.
        mask = masks_of(frames_of() + 0.6, face, parser=parser, **only("skin"), feather=feather)[0]
        assert not mask[depth < -0.5].any()
        assert bool((mask[depth > 3 + 6 * feather * 90] == 1).all())
        kept = masks_of(frames_of() + 0.6, face, parser=parser, **only("skin"), feather=feather, invert=True)[0]
        assert torch.equal(kept, 1 - mask)
        assert not kept[depth > 3 + 6 * feather * 90].any()


@pytest.mark.parametrize(
    ("side", "roll"), [(48.0, 33.0), (130.0, 0.0), (130.0, 180.0), (512.0, -70.0), (900.0, 33.0), (900.0, 0.0)]
)
def test_what_a_parser_sees_comes_back_to_its_place(side: float, roll: float) -> None:
    """A bright disc in the frame, which the parser takes for skin, is where the mask is, within a tenth of a pixel."""
    size = round(side * 1.5)
    face = face_at(size / 2 + 0.3, size / 2 - 0.2, side, roll)
    parser, _ = parser_of(HOST)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for across, down in ((0.25, -0.15), (-0.2, 0.22)):
        centre = size / 2 + across * side, size / 2 + down * side
        radius = 0.1 * side
        distance = torch.hypot(x - centre[0], y - centre[1]) - radius
        disc = (0.5 - distance).clamp(0, 1)
        mask = masks_of(disc[None, ..., None].expand(-1, -1, -1, 3), face, parser=parser, **only("skin"), feather=0.0)
        found = mask[0]
        weight = found.sum()
        place = float((found * x).sum() / weight), float((found * y).sum() / weight)
        assert math.dist(place, centre) < 0.1
        # Its edge, too: as large as a disc whose edge lies within a pixel of the other's.
        assert math.sqrt(float(weight) / math.pi) == pytest.approx(radius, abs=0.4)


def test_parts_of_faces_beyond_the_frame_are_cut_off() -> None:
    for x, y in ((5.0, 5.0), (195.0, 100.0), (-500.0, 3000.0)):
        masks = masks_of(frames_of(), face_at(x, y, 100))
        large = masks_of(frames_of(1, 600, 600), face_at(x + 200, y + 200, 100))
        assert torch.allclose(masks, large[:, 200:400, 200:400], atol=1e-4)


def test_regions_are_united_with_what_landmarks_tell() -> None:
    frames = frames_of()
    frames[:, :, 100:] = 0.9
    face = face_at(100, 100, 150)
    parser, module = parser_of(HOST)
    skin = masks_of(frames, face, parser=parser, **only("skin"))
    oval = masks_of(frames, face, parser=parser)
    assert module.batches == [1]
    both = masks_of(frames, face, parser=parser, skin=True)
    assert torch.equal(both, torch.maximum(skin, oval))
    assert float(skin[0, 100, 60]) == 0
    assert float(skin[0, 100, 140]) == 1


# Several faces, several frames


def test_each_face_has_a_mask_and_their_union_is_that_of_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = face_at(80, 100, 120), face_at(130, 100, 120, 20, 1), face_at(60, 60, 60)
    faces = Faces(SIZE, SIZE, ((one, two), (), (three,)))
    frames = frames_of(3)
    union = face_regions(frames, faces, RegionSettings(), HOST)
    each = face_regions(frames, faces, build(RegionSettings, PER_FACE), HOST)
    assert each.shape == (3, SIZE, SIZE)
    assert torch.equal(union[0], torch.maximum(each[0], each[1]))
    assert not union[1].any()
    assert torch.equal(union[2], each[2])
    assert torch.equal(each[1], masks_of(frames_of(), two)[0])
    for mask, more in ((union, {}), (each, PER_FACE)):
        assert torch.equal(face_regions(frames, faces, build(RegionSettings, {"invert": True} | more), HOST), 1 - mask)
    # Many faces are worked on in groups.
    parser, module = parser_of(HOST)
    settings = build(RegionSettings, {"skin": True} | PER_FACE)
    together = face_regions(frames + 0.5, faces, settings, HOST, parser)
    monkeypatch.setattr(regions, "_GROUP", 2)
    assert torch.equal(together, face_regions(frames + 0.5, faces, settings, HOST, parser))
    assert sum(module.batches) == 6


def test_without_faces_nothing_is_in_a_region() -> None:
    frames = frames_of(2)
    masks = masks_of(frames)
    assert masks.shape == (2, SIZE, SIZE)
    assert masks_of(frames, **PER_FACE).shape == (0, SIZE, SIZE)
    assert not masks.any()
    assert bool((masks_of(frames, invert=True) == 1).all())
    # A parser that no face needs is not needed.
    assert not masks_of(frames, hair=True).any()


def test_the_smallest_images_and_alpha() -> None:
    dot = masks_of(torch.rand(1, 1, 1, 3), Face((-0.5, -0.5, 0.5, 0.5)))
    assert dot.shape == (1, 1, 1)
    assert bool(dot.isfinite().all())
    parser, _ = parser_of(HOST)
    face = face_at(100, 100, 150)
    alpha = torch.cat([frames_of() + 0.6, torch.zeros(1, SIZE, SIZE, 1)], -1)
    with_alpha = masks_of(alpha, face, parser=parser, **only("skin"))
    assert torch.equal(with_alpha, masks_of(alpha[..., :3], face, parser=parser, **only("skin")))


def test_frames_of_other_faces_are_an_error() -> None:
    with pytest.raises(ValueError, match="The faces were found in 1 image"):
        face_regions(frames_of(2), Faces(SIZE, SIZE, ((),)), RegionSettings(), HOST)


# What lies in front


def test_occluders_are_in_no_mask() -> None:
    face = face_at(100, 100, 150)
    hand = torch.zeros(1, SIZE, SIZE)
    hand[:, 120:160, 80:120] = 1
    hand[:, 60:64, :] = 0.25
    plain, kept = masks_of(frames_of(), face), masks_of(frames_of(), face, invert=True)
    masks = masks_of(frames_of(), face, occluders=hand)
    assert torch.equal(masks, plain * (1 - hand))
    assert torch.equal(masks_of(frames_of(), face, occluders=hand, **PER_FACE), masks)
    assert torch.equal(masks_of(frames_of(), face, occluders=hand, invert=True), kept * (1 - hand))
    # One for all frames, or one for each.
    faces = Faces(SIZE, SIZE, ((face,), (face,)))
    both = face_regions(frames_of(2), faces, RegionSettings(), HOST, None, hand)
    assert torch.equal(both, masks.expand(2, -1, -1))
    two = torch.cat([hand, 0 * hand])
    for more in ({}, PER_FACE):
        each = face_regions(frames_of(2), faces, build(RegionSettings, more), HOST, None, two)
        assert torch.equal(each, torch.cat([masks, plain]))


def test_occluders_that_do_not_fit_or_are_no_numbers_are_an_error() -> None:
    face = face_at(100, 100, 150)
    for wrong in (torch.zeros(1, SIZE, SIZE + 1), torch.zeros(2, SIZE, SIZE)):
        with pytest.raises(ValueError, match="Connect a mask of the same size"):
            masks_of(frames_of(), face, occluders=wrong)
    with pytest.raises(ValueError, match="values in the occluders that are no numbers"):
        masks_of(frames_of(), face, occluders=torch.full((1, SIZE, SIZE), float("nan")))


def test_rubbish_of_the_parser_is_reported_with_the_face() -> None:
    parser, _ = parser_of(HOST, lambda images: bright_is_skin(images) * float("nan"))
    with pytest.raises(InvalidOutputError, match=r"pretended gave invalid numbers .* face 1 of image 1"):
        masks_of(frames_of(), face_at(100, 100, 150), parser=parser, **only("skin"))


# Keeping a part of a face


def kept_and_restored(
    make: Callable[..., Path], region: Tensor, background: Tensor | None = None
) -> tuple[Tensor, Restoration]:
    """Two faces in noise, restored by a network that brightens everything."""
    frames = torch.rand(1, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(3)) * 0.6
    faces = Faces(SIZE, SIZE, ((face_at(80, 100, 110, 12), face_at(130, 110, 130, -8, 1)),))
    restorer = load_restorer(make(2, 0.2), HOST)
    return frames, restore(frames, faces, restorer, HOST, RestoreSettings(grain=0), background, region)


@pytest.mark.parametrize("feather", [0.0, 0.01])
def test_restoring_keeps_what_is_black_bit_by_bit(upscaler_file: Callable[..., Path], feather: float) -> None:
    faces = Faces(SIZE, SIZE, ((face_at(80, 100, 110, 12), face_at(130, 110, 130, -8, 1)),))
    settings = build(RegionSettings, {**only("eye_area"), "grow": 3 * feather, "feather": feather, "invert": True})
    region = face_regions(frames_of(), faces, settings, HOST)
    frames, done = kept_and_restored(upscaler_file, region)
    black = region == 0
    assert int(black.sum()) > 200
    assert torch.equal(done.frames[black], frames[black])
    assert not done.changed[black].any()
    # The rest of the faces is restored.
    assert float(done.changed[0, 125, 80]) > 0.9
    assert float((done.frames - frames)[0, 125, 80].abs().max()) > 0.05


def test_an_enlarged_background_is_kept_where_the_region_is_black(upscaler_file: Callable[..., Path]) -> None:
    region = torch.ones(1, SIZE, SIZE)
    region[:, 90:110, 60:120] = 0
    background = torch.rand(1, 2 * SIZE, 2 * SIZE, 3, generator=torch.Generator().manual_seed(5))
    _, done = kept_and_restored(upscaler_file, region, background)
    inner = slice(181, 219), slice(121, 239)
    assert torch.equal(done.frames[0][inner], background[0][inner])
    assert not done.changed[0][inner].any()
    assert float(done.changed[0, 260, 160]) > 0.9


@pytest.mark.parametrize("shape", ["box", "mask"])
def test_refining_paints_what_is_white_and_keeps_what_is_black_bit_by_bit(shape: str) -> None:
    frames = torch.rand(1, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(3))
    face = face_at(100, 100, 110, 12)
    faces = Faces(SIZE, SIZE, ((face,),))
    mask = face_regions(frames, faces, build(RegionSettings, only("mouth_area")), HOST)
    painter = Painter(lambda work: torch.ones_like(work.pixels))
    settings = settings_of(shape=shape, colour_match=0.0, feather=0)
    done = refine(frames, faces, painter, HOST, settings, region=mask)
    assert torch.equal(done.frames[mask == 0], frames[mask == 0])
    assert bool((done.frames[mask == 1] > 0.99).all())
    if shape == "mask":
        # Little else than the mouth is even painted.
        (work,) = painter.works
        assert float((work.mask > 0).float().mean()) < 0.3


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux does")
def test_masks_of_faces_take_memory_by_their_area_alone() -> None:
    """A hundred faces of 40 px in a frame of 4,000 x 3,000: 5 GB of zeros of which little is ever touched."""
    import resource

    faces = tuple(face_at(100 + 300 * (index % 10), 100 + 280 * (index // 10), 54, index=index) for index in range(100))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    masks = masks_of(torch.zeros(1, 1, 1, 3).expand(1, 3000, 4000, 3), *faces, **PER_FACE)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert masks.shape == (100, 3000, 4000)
    assert grown < 1500
    crops = plan_crops([(0, faces[57])], 512, 4000, 3000, 1)
    ((_, box),) = places_of(crops)
    assert box is not None
    left, top, right, bottom = box
    assert float(masks[57, top:bottom, left:right].sum()) > 500
