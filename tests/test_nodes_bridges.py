"""Between FACES and what other nodes send and take, on the stand-in for ComfyUI or on a real one."""

from __future__ import annotations

import json
import os
from collections import namedtuple
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from visage.faces.face import Face, Faces
from visage.faces.pose import eye_distance, yaw_of
from visage.tests import comfy_side

WIDTH, HEIGHT = 96, 80
# As the Impact Pack declares it.
SEG = namedtuple(
    "SEG",
    ["cropped_image", "cropped_mask", "confidence", "crop_region", "bbox", "label", "control_net_wrapper"],
    defaults=[None],
)
LANDMARKS = ((20.0, 22.5), (36.0, 21.0), (28.5, 30.0), (22.0, 38.0), (35.0, 37.5))
DIAMOND = ((60.0, 10.0), (80.0, 30.0), (60.0, 50.0), (40.0, 30.0))
POINTED = Face((10.0, 12.0, 44.5, 50.0), score=0.75, landmarks=LANDMARKS, roll=-3.0, index=0)
OUTLINED = Face((40.0, 10.0, 80.0, 50.0), score=0.5, label="person", outline=DIAMOND, index=1)
FACES = Faces(WIDTH, HEIGHT, ((POINTED, OUTLINED), ()))
IMAGE = torch.zeros(2, HEIGHT, WIDTH, 3)


def faces_from(pack: ModuleType, image: torch.Tensor = IMAGE, **given: Any) -> Faces:
    faces, count = pack.FacesFrom.execute(image, **{"min_part": 8} | given).result
    assert faces.count == count
    assert [face.index for frame in faces.frames for face in frame] == [
        number for frame in faces.frames for number in range(len(frame))
    ]
    made: Faces = faces
    return made


def faces_to(pack: ModuleType, faces: Faces = FACES, crop_factor: float = 3.0) -> tuple[Any, Any, Any]:
    boxes, segs, mask = pack.FacesTo.execute(faces, crop_factor).result
    return boxes, segs, mask


def gap(one: Face, two: Face) -> float:
    """How far the sides of two boxes lie apart at most."""
    return max(abs(a - b) for a, b in zip(one.box, two.box, strict=True))


def covered(pack: ModuleType, face: Face) -> torch.Tensor:
    return pack.bridges.mask_of(Faces(WIDTH, HEIGHT, ((face,),)))[0]


def same_within_a_pixel(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether each of two masks lies within the other grown by a pixel."""

    def grown(mask: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.max_pool2d(mask[None], 3, 1, 1)[0]

    return bool((one <= grown(two)).all() and (two <= grown(one)).all())


# There and back


def test_boxes_and_back_give_the_very_faces_but_for_their_outlines(pack: ModuleType) -> None:
    back = faces_from(pack, bboxes=faces_to(pack)[0])
    assert back.frames[1] == ()
    pointed, outlined = back.frames[0]
    assert pointed == POINTED
    assert (outlined.box, outlined.score, outlined.label) == (OUTLINED.box, OUTLINED.score, OUTLINED.label)


@pytest.mark.parametrize("way", ["segs", "mask"])
def test_outlines_come_back_within_a_pixel(pack: ModuleType, way: str) -> None:
    alone = Faces(WIDTH, HEIGHT, ((OUTLINED,),))
    _, segs, mask = faces_to(pack, alone)
    sent = {"segs": segs[0]} if way == "segs" else {"mask": mask}
    (back,) = faces_from(pack, IMAGE[:1], **sent).frames[0]
    assert gap(back, OUTLINED) <= 1
    assert same_within_a_pixel(covered(pack, back), covered(pack, OUTLINED))


# Boxes


def test_one_box_and_one_list_of_boxes_are_for_every_image(pack: ModuleType) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40}
    for given_boxes in (box, [box], [[box]], [[box], [box]]):
        faces = faces_from(pack, bboxes=given_boxes)
        assert [[face.box for face in frame] for frame in faces.frames] == [[(9.5, 19.5, 39.5, 59.5)]] * 2
        assert faces.frames[0][0] == Face((9.5, 19.5, 39.5, 59.5))
    assert faces_from(pack, bboxes=[]).count == faces_from(pack, bboxes=[[], []]).count == 0
    assert faces_from(pack, bboxes=[[], [box]]).frames[0] == ()


def test_boxes_without_an_area_are_left_out(pack: ModuleType) -> None:
    flat = {"x": 1, "y": 2, "width": 0, "height": 5}
    assert faces_from(pack, bboxes=[flat, flat | {"width": 3, "height": -5}, flat | {"width": 3}]).count == 2


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ({"x": 1, "y": 2, "width": 3}, "needs x, y, width and height"),
        ({"x": 1, "y": 2, "width": "wide", "height": 1}, "needs x, y, width and height"),
        ({"x": float("nan"), "y": 2, "width": 3, "height": 4}, "no numbers"),
        ([[], [], []], "for 3 images, but there are 2"),
    ],
)
def test_what_is_no_box_is_refused(pack: ModuleType, boxes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        faces_from(pack, bboxes=boxes)


def test_landmarks_of_another_kind_are_ignored(pack: ModuleType) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "landmarks": [(1.0, 2.0)] * 68, "label": None}
    (face,) = faces_from(pack, IMAGE[:1], bboxes=box).frames[0]
    assert (face.landmarks, face.label) == (None, "face")


@pytest.mark.parametrize(
    ("given_score", "score"),
    [(None, 1.0), (87, 1.0), (-2.5, 0.0), (float("inf"), 1.0), (np.array([0.25]), 0.25), (torch.tensor(0.25), 0.25)],
)
def test_scores_of_others_become_scores_of_ours(pack: ModuleType, given_score: Any, score: float) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "score": given_score}
    parts = [seg(box_mask(), confidence=given_score)]
    for sent in ({"bboxes": box}, {"segs": ((HEIGHT, WIDTH), parts)}):
        (face,) = faces_from(pack, IMAGE[:1], **sent).frames[0]
        assert (face.score, type(face.score)) == (score, float)


@pytest.mark.parametrize("score", [float("nan"), "sure", np.array([])])
def test_scores_that_are_no_numbers_are_refused(pack: ModuleType, score: Any) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "score": score}
    for sent in ({"bboxes": box}, {"segs": ((HEIGHT, WIDTH), [seg(box_mask(), confidence=score)])}):
        with pytest.raises(ValueError, match="The score of a face"):
            faces_from(pack, **sent)


@pytest.mark.parametrize(
    "odd",
    [
        {"angle": float("nan")},
        {"angle": "left"},
        {"angle": [1, 2]},
        {"landmarks": [(1.0, 2.0)] * 4 + [(float("nan"), 2.0)]},
        {"landmarks": [(1.0, 2.0, 0.5)] * 5},
        {"landmarks": [1.0, 2.0, 3.0, 4.0, 5.0]},
        {"landmarks": [(1.0, None)] * 5},
        {"landmarks": 5},
    ],
)
def test_angles_and_landmarks_of_another_kind_are_none(pack: ModuleType, odd: dict[str, Any]) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40} | odd
    faces = faces_from(pack, IMAGE[:1], bboxes=box)
    assert faces.frames[0] == (Face((9.5, 19.5, 39.5, 59.5)),)
    _, data, _ = pack.ReportFaces.execute(IMAGE[:1], faces, preview=False).result
    assert json.loads(data)["images"][0]["faces"][0]["roll"] is None


def test_angles_may_be_any_kind_of_number(pack: ModuleType) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "angle": np.float32(-4)}
    (face,) = faces_from(pack, IMAGE[:1], bboxes=box).frames[0]
    assert (face.roll, type(face.roll)) == (-4.0, float)


# MediaPipe


def payload(count: int = 1, **changes: Any) -> dict[str, Any]:
    """FACE_LANDMARKS of a face whose eyes, nose and mouth are known and whose oval is an ellipse."""
    points = np.full((478, 2), 48, dtype=np.float32)
    for corners, (x, y) in (((33, 133), (38, 30)), ((362, 263), (58, 31))):
        points[corners, 0], points[corners, 1] = (x - 4, x + 4), y
    points[[159, 145]] = (38, 28), (38, 32)
    points[[386, 374]] = (58, 29), (58, 33)
    points[[4, 61, 291]] = (49, 42), (41, 54), (57, 55)
    ring = [10, 338, 297, 332, 284, 251, 389, 356]
    turn = np.linspace(0, 2 * np.pi, len(ring), endpoint=False)
    points[ring] = np.stack([48 + 20 * np.sin(turn), 40 - 28 * np.cos(turn)], -1)
    oval = frozenset(zip(ring, ring[1:] + ring[:1], strict=True))
    found = {
        "bbox_xyxy": np.array([*points.min(0), *points.max(0)], dtype=np.float32),
        "landmarks_xy": points,
        "score": np.float32(0.875),
    }
    return {
        "frames": [[found]] * count,
        "image_size": (HEIGHT, WIDTH),
        "connection_sets": {"face_oval": oval},
    } | changes


@pytest.mark.parametrize("what", ["landmarks_xy", "bbox_xyxy"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_landmarks_that_are_no_numbers_are_refused(pack: ModuleType, what: str, wrong: float) -> None:
    given = payload(2)
    found = given["frames"][0][0]
    values = np.array(found[what], dtype=np.float32)
    values.flat[66 % values.size] = wrong  # of the points, the corner of an eye
    found[what] = values
    with pytest.raises(ValueError, match="landmarks holds values that are no numbers"):
        faces_from(pack, landmarks=given)


def test_five_landmarks_come_from_the_mesh(pack: ModuleType) -> None:
    faces = faces_from(pack, landmarks=payload(2))
    assert len(faces.frames) == 2
    (face,) = faces.frames[0]
    assert np.asarray(face.landmarks) == pytest.approx(
        np.array([(38, 30), (58, 31), (49, 42), (41, 54), (57, 55)], dtype=float), abs=1e-5
    )
    assert face.box == pytest.approx((28, 12, 68, 68))
    assert (face.score, face.label) == (0.875, "face")
    assert face.roll == pytest.approx(3.2, abs=0.1)
    assert eye_distance(face.landmarks) == pytest.approx(20, abs=0.1)
    assert abs(yaw_of(face.landmarks)) < 10
    # The oval, a corner after the other: an octagon in the ellipse.
    assert len(face.outline) == 8
    assert float(covered(pack, face).sum()) == pytest.approx(8 / 2 * 20 * 28 * np.sin(np.pi / 4), rel=0.03)


# Where MediaPipe's own Face Landmarker puts points of its mesh in two photographs, and where three detectors of faces
# (a YOLO, RetinaFace and YuNet) see the eyes, the nose and the mouth in them: the median. In pixels.
SEEN = {
    "turned": (
        {33: (327, 489), 133: (451, 502), 159: (378, 464), 145: (386, 508)}
        | {362: (576, 501), 263: (688, 484), 386: (648, 460), 374: (641, 506)}
        | {1: (550, 666), 4: (551, 642), 61: (397, 756), 291: (620, 753)},
        ((380, 485), (638, 478), (543, 642), (395, 754), (623, 750)),
    ),
    "smiling": (
        {33: (334, 489), 133: (447, 494), 159: (379, 468), 145: (387, 500)}
        | {362: (581, 494), 263: (687, 486), 386: (647, 466), 374: (639, 500)}
        | {1: (532, 662), 4: (532, 635), 61: (385, 742), 291: (635, 743)},
        ((381, 478), (647, 481), (529, 640), (387, 743), (633, 744)),
    ),
}


@pytest.mark.parametrize("who", SEEN)
def test_five_landmarks_of_photographs_are_where_detectors_see_them(pack: ModuleType, who: str) -> None:
    mesh, seen = SEEN[who]
    given = payload(connection_sets={}, image_size=(1024, 1024))
    for number, place in mesh.items():
        given["frames"][0][0]["landmarks_xy"][number] = place
    (face,) = faces_from(pack, torch.zeros(1, 1024, 1024, 3), landmarks=given).frames[0]
    apart = np.linalg.norm(np.subtract(face.landmarks, seen), axis=-1) / eye_distance(seen)
    assert apart.max() < 0.05


def test_a_frame_without_a_face_and_a_mesh_without_an_oval(pack: ModuleType) -> None:
    mesh = payload(connection_sets={})
    mesh["frames"] = [[], mesh["frames"][0]]
    faces = faces_from(pack, landmarks=mesh)
    assert [len(frame) for frame in faces.frames] == [0, 1]
    assert faces.frames[1][0].outline is None


def test_landmarks_of_another_image_are_refused(pack: ModuleType) -> None:
    with pytest.raises(ValueError, match="found in 1 image"):
        faces_from(pack, landmarks=payload(1))
    with pytest.raises(ValueError, match="of 64 x 80 pixels"):
        faces_from(pack, landmarks=payload(2, image_size=(80, 64)))


def test_the_mask_of_the_faces_is_the_one_that_comfyui_draws(pack: ModuleType) -> None:
    if os.environ.get(comfy_side.VARIABLE) != "comfyui":
        pytest.skip("needs ComfyUI's own nodes")
    from comfy_extras.nodes_mediapipe import MediaPipeFaceMask

    regions = {"regions": "custom", "face_oval": True}
    theirs = MediaPipeFaceMask.execute(payload(), regions).result[0][0]
    (face,) = faces_from(pack, IMAGE[:1], landmarks=payload()).frames[0]
    assert same_within_a_pixel(covered(pack, face), theirs)
    assert float((covered(pack, face) - theirs).abs().mean()) < 0.02


# SEGS


def seg(mask: Any, region: Any = (30, 20, 70, 60), bbox: Any = (40, 30, 60, 50), **more: Any) -> Any:
    return SEG(
        **{"cropped_image": None, "confidence": 0.9, "label": "face"} | more,
        cropped_mask=mask,
        crop_region=region,
        bbox=bbox,
    )


def box_mask() -> np.ndarray:
    mask = np.zeros((40, 40), np.float32)
    mask[10:30, 10:30] = 1
    return mask


def test_segs_give_boxes_and_outlines(pack: ModuleType) -> None:
    round_mask = np.hypot(*(np.indices((40, 40)) - 19.5)) < 10
    given_segs = (
        (HEIGHT, WIDTH),
        [
            seg(box_mask(), confidence=np.array([0.25]), label="A"),
            seg(torch.from_numpy(round_mask)[None].float(), [10, 20, 50, 60], np.array([20, 30, 40, 50])),
        ],
    )
    ((round_face, box_face), _) = faces_from(pack, segs=given_segs).frames
    assert (box_face.box, box_face.score, box_face.label, box_face.outline) == (
        (39.5, 29.5, 59.5, 49.5),
        0.25,
        "A",
        None,
    )
    assert round_face.box == (19.5, 29.5, 39.5, 49.5)
    expected = torch.zeros(HEIGHT, WIDTH)
    expected[20:60, 10:50] = torch.from_numpy(round_mask).float()
    assert same_within_a_pixel(covered(pack, round_face), expected)


def test_masks_of_an_animation_say_in_which_frames_a_face_is(pack: ModuleType) -> None:
    layers = np.stack([box_mask(), np.zeros((40, 40), np.float32)])
    faces = faces_from(pack, segs=((HEIGHT, WIDTH), [seg(layers)]))
    assert [len(frame) for frame in faces.frames] == [1, 0]
    assert faces_from(pack, segs=((HEIGHT, WIDTH), [seg(box_mask())])).count == 2
    assert faces_from(pack, segs=((HEIGHT, WIDTH), [])).count == 0


def test_segs_of_another_image_are_refused(pack: ModuleType) -> None:
    with pytest.raises(ValueError, match="an image of 96 x 70 pixels"):
        faces_from(pack, segs=((70, WIDTH), [seg(box_mask())]))
    with pytest.raises(ValueError, match="3 layers"):
        faces_from(pack, segs=((HEIGHT, WIDTH), [seg(np.stack([box_mask()] * 3))]))


def test_segs_without_an_area_are_left_out(pack: ModuleType) -> None:
    parts = [seg(box_mask(), bbox=bbox) for bbox in ((40, 30, 40, 50), (60, 30, 40, 50), (40, 30, 60, 30))]
    assert faces_from(pack, segs=((HEIGHT, WIDTH), [*parts, seg(box_mask())])).count == 2
    with pytest.raises(ValueError, match="A box of the SEGS holds values that are no numbers"):
        faces_from(pack, segs=((HEIGHT, WIDTH), [seg(box_mask(), bbox=(40, 30, float("nan"), 50))]))


def test_segs_have_the_fields_of_the_impact_pack(pack: ModuleType) -> None:
    _, segs, _ = faces_to(pack, crop_factor=1.5)
    assert len(segs) == 2
    assert segs[1] == ((HEIGHT, WIDTH), [])
    one, two = segs[0][1]
    assert one._fields == SEG._fields
    assert (one.cropped_image, one.control_net_wrapper, one.confidence, one.label) == (None, None, 0.75, "face")
    assert one.bbox == (10, 12, 45, 50)
    assert one.crop_region == (1, 2, 54, 59)
    assert one.cropped_mask.dtype == np.float32
    # The outline and not the box.
    assert two.cropped_mask.sum() == pytest.approx(20 * 40, rel=0.05)
    assert all(isinstance(at, int) for at in (*one.bbox, *one.crop_region))


# Masks


def test_each_part_of_a_mask_is_a_face(pack: ModuleType) -> None:
    mask = torch.zeros(2, HEIGHT, WIDTH)
    mask[0, 10:30, 10:40] = 1
    mask[0, 50:70, 60:70] = 0.6
    mask[0, 2:5, 2:5] = 1
    mask[1, 20:40, 20:40] = 0.4
    faces = faces_from(pack, mask=mask)
    assert [[face.box for face in frame] for frame in faces.frames] == [
        [(9.5, 9.5, 39.5, 29.5), (59.5, 49.5, 69.5, 69.5)],
        [],
    ]
    assert torch.equal(faces_to(pack, faces)[2][0], (mask[0] >= 0.5) & (torch.arange(WIDTH) > 5))
    assert faces_from(pack, mask=mask, min_part=3).count == 3
    assert faces_from(pack, mask=mask[:1]).count == faces_from(pack, mask=mask[0]).count == 4


def test_the_outline_of_a_large_part_has_few_corners(pack: ModuleType) -> None:
    disc = torch.from_numpy(np.hypot(*(np.indices((300, 300)) - 150)) < 120).float()
    (face,) = pack.bridges.faces_of_mask(disc[None], 300, 300, 1, 1)[0]
    assert len(face.outline) < 80
    assert same_within_a_pixel(pack.bridges.mask_of(Faces(300, 300, ((face,),)))[0], disc)


@pytest.mark.parametrize("turned", range(4))
def test_a_hair_of_a_large_part_comes_back(pack: ModuleType, turned: int) -> None:
    disc = torch.from_numpy(np.hypot(*(np.indices((300, 300)) - 150)) < 120).float()
    disc[[140, 139, 139, 138, 138, 138], range(268, 274)] = 1
    disc = disc.rot90(turned)
    (face,) = pack.bridges.faces_of_mask(disc[None], 300, 300, 1, 1)[0]
    assert same_within_a_pixel(pack.bridges.mask_of(Faces(300, 300, ((face,),)))[0], disc)


def test_a_line_of_one_pixel_is_a_part(pack: ModuleType) -> None:
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[0, range(10, 30), range(10, 30)] = 1
    (face,) = faces_from(pack, IMAGE[:1], mask=mask).frames[0]
    assert face.box == (9.5, 9.5, 29.5, 29.5)
    assert same_within_a_pixel(covered(pack, face), mask[0])


def test_a_mask_of_another_size_is_refused_but_the_mask_of_no_alpha_is_none(pack: ModuleType) -> None:
    for wrong in (torch.ones(1, 64, 64), torch.ones(3, HEIGHT, WIDTH)):
        with pytest.raises(ValueError, match="Expected a mask of the size of the image, 96 x 80"):
            faces_from(pack, mask=wrong)
    with pytest.raises(ValueError, match="Mask 1 holds values that are no numbers"):
        faces_from(pack, mask=torch.full((1, HEIGHT, WIDTH), torch.nan))
    assert faces_from(pack, mask=torch.zeros(1, 64, 64)) == Faces(WIDTH, HEIGHT, ((), ()))


# Several together


def test_sources_complete_each_other(pack: ModuleType) -> None:
    mesh = payload(2)
    boxes = [
        [{"x": 30, "y": 13, "width": 40, "height": 56, "score": 0.3}, {"x": 2, "y": 2, "width": 9, "height": 9}],
        [],
    ]
    faces = faces_from(pack, landmarks=mesh, bboxes=boxes)
    assert [[face.score for face in frame] for frame in faces.frames] == [[1.0, 0.875], [0.875]]
    oval = torch.from_numpy(np.hypot(*((np.indices((HEIGHT, WIDTH)) - [[[30]], [[27]]]) / [[[20]], [[17]]])) < 1)
    (face, other) = faces_from(pack, IMAGE[:1], bboxes=[faces_to(pack)[0][0]], mask=oval[None].float()).frames[0]
    assert (face.box, face.score, face.landmarks) == (POINTED.box, POINTED.score, POINTED.landmarks)
    assert same_within_a_pixel(covered(pack, face), oval.float())
    assert other.outline is None


def test_what_one_source_gives_twice_stays_two(pack: ModuleType) -> None:
    box = {"x": 10, "y": 20, "width": 30, "height": 40}
    assert faces_from(pack, IMAGE[:1], bboxes=[box, box], mask=torch.zeros(1, HEIGHT, WIDTH)).count == 2


def test_nothing_connected_is_an_error_that_says_what_to_connect(pack: ModuleType) -> None:
    with pytest.raises(ValueError, match="connect bboxes"):
        faces_from(pack)
    assert "connect bboxes" in pack.FacesFrom.validate_inputs(image=None)
    assert pack.FacesFrom.validate_inputs(image=None, segs=None) is True
    assert pack.FacesFrom.validate_inputs(image=None, mask=None) is True
    with pytest.raises(ValueError, match="no image in the batch"):
        faces_from(pack, torch.zeros(0, 8, 8, 3), mask=torch.zeros(1, 64, 64))


def test_faces_go_on_to_the_nodes_that_work_on_them(pack: ModuleType) -> None:
    image = torch.rand(2, HEIGHT, WIDTH, 3)
    faces = faces_from(pack, image, landmarks=payload(2))
    crops, places = pack.CropFaces.execute(image, faces, 64).result
    assert crops.shape == (2, 64, 64, 3)
    pasted, changed = pack.PasteFaces.execute(
        image, places, strength=1.0, colour_match=0.0, mask_shape="hull", feather=0.015, crops=1 - crops
    ).result
    assert float(changed[:, 42, 49].min()) > 0.9
    assert torch.equal(pasted[changed == 0], image[changed == 0])
