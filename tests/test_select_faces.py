"""Selecting faces: orders, ranges, criteria, reasons."""

import math
import random
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from visage.faces.face import Face
from visage.faces.pose import eye_distance, yaw_of
from visage.faces.selection import (
    Criteria,
    Order,
    SelectSettings,
    choice_report,
    choose,
    ordered,
    parse_places,
    shares_in_region,
)

WIDTH, HEIGHT = 400, 300
ORDERS = list(Order.__args__)
# The generic head of `faces.pose` in distances of the pupils: x to the right, y down, z towards the camera.
HEAD = [(-0.5, -0.4, 0.0), (0.5, -0.4, 0.0), (0.0, 0.1, 0.41), (-0.42, 0.5, 0.0), (0.42, 0.5, 0.0)]


def square(x: float, y: float, side: float, **more) -> Face:
    return Face((x, y, x + side, y + side), **more)


def head(yaw: float = 0, pitch: float = 0, roll: float = 0, scale: float = 60, middle: float = 150) -> Face:
    """A head seen from afar, turned by its own upright axis first."""
    (sy, cy), (sp, cp), (sr, cr) = ((math.sin(math.radians(a)), math.cos(math.radians(a))) for a in (yaw, pitch, roll))
    points = []
    for right, below, ahead in HEAD:
        x = right * cy + ahead * sy
        y = below * cp + (ahead * cy - right * sy) * sp
        points.append((middle + scale * (x * cr - y * sr), middle + scale * (x * sr + y * cr)))
    return Face((middle - scale, middle - scale, middle + scale, middle + scale), landmarks=tuple(points))


def taken(faces, **settings):
    return choose(faces, WIDTH, HEIGHT, SelectSettings(**settings)).taken


def kept(faces, shares=None, **criteria) -> list[int]:
    """Which of the faces meet the criteria."""
    left_out = choose(faces, WIDTH, HEIGHT, SelectSettings(criteria=Criteria(**criteria)), shares).left_out
    return [number for number, face in enumerate(faces) if all(each.face is not face for each in left_out)]


coordinates = st.integers(-20, 60)
some_faces = st.lists(
    st.builds(
        lambda x, y, side, score: square(x, y, side, score=score / 4),
        coordinates,
        coordinates,
        st.integers(1, 5),
        st.integers(1, 3),
    ),
    max_size=9,
)


# Orders


GROUP = [square(300, 30, 20, score=0.9), square(10, 20, 50, score=0.7), square(180, 120, 35, score=0.8)]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("reading", [1, 0, 2]),
        ("left to right", [1, 2, 0]),
        ("right to left", [0, 2, 1]),
        ("top to bottom", [0, 1, 2]),
        ("bottom to top", [2, 1, 0]),
        ("from the centre", [2, 0, 1]),
        ("largest first", [1, 2, 0]),
        ("smallest first", [0, 2, 1]),
        ("surest first", [0, 2, 1]),
    ],
)
def test_orders_are_what_they_say(order, expected) -> None:
    assert [GROUP.index(face) for face in ordered(GROUP, order, WIDTH, HEIGHT)] == expected
    assert len(ORDERS) == 9


@settings(deadline=None)
@given(some_faces, st.sampled_from(ORDERS), st.randoms(use_true_random=False))
def test_an_order_is_total_and_does_not_depend_on_how_the_faces_come(faces, order, chance: random.Random) -> None:
    shuffled = list(faces)
    chance.shuffle(shuffled)
    first = ordered(faces, order, WIDTH, HEIGHT)
    assert ordered(shuffled, order, WIDTH, HEIGHT) == first
    assert ordered(first, order, WIDTH, HEIGHT) == first
    assert sorted(map(repr, first)) == sorted(map(repr, faces))


@settings(deadline=None)
@given(some_faces, st.sampled_from(["left to right", "top to bottom", "smallest first", "surest first"]))
def test_ranks_only_rise_or_fall_and_ties_go_from_top_to_bottom(faces, order) -> None:
    rank = {
        "left to right": lambda face: face.centre[0],
        "top to bottom": lambda face: face.centre[1],
        "smallest first": lambda face: face.width * face.height,
        "surest first": lambda face: -face.score,
    }[order]
    result = ordered(faces, order, WIDTH, HEIGHT)
    for one, two in pairwise(result):
        assert (rank(one), one.centre[1], one.centre[0]) <= (rank(two), two.centre[1], two.centre[0])


# Ranges


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("0,2-4,-1", 7, (0, 2, 3, 4, 6)),
        ("0,2-4,-1", 3, (0, 2)),
        ("-1", 5, (4,)),
        ("-2--1", 5, (3, 4)),
        ("2--1", 5, (2, 3, 4)),
        ("2--1", 2, ()),
        ("-9-1", 3, (0, 1)),
        (" 3 , 1 - 2 ,, 3", 5, (3, 1, 2)),
        ("5", 4, ()),
        ("-5", 4, ()),
        ("", 4, ()),
    ],
)
def test_places_are_what_the_list_says(text, count, expected) -> None:
    assert parse_places(text, count) == expected


@pytest.mark.parametrize("text", ["one", "1.5", "1-2-3", "--1", "0;1", "1-"])
def test_what_is_no_place_is_refused_by_name(text) -> None:
    with pytest.raises(ValueError, match="no place"):
        parse_places(text, 5)


@pytest.mark.parametrize("text", ["4-2", "-1--3"])
def test_a_range_does_not_run_backwards(text) -> None:
    with pytest.raises(ValueError, match="runs backwards"):
        parse_places(text, 5)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 9)), min_size=1, max_size=5),
    st.integers(0, 9),
)
def test_a_list_names_what_python_would_index(spans, count) -> None:
    spans = [(first, first + more) for first, more in spans if (first < 0) == (first + more < 0)]
    text = ",".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)
    expected: list[int] = []
    for first, last in spans:
        expected += [number % count for number in range(first, last + 1) if -count <= number < count]
    assert parse_places(text, count) == tuple(dict.fromkeys(expected))


@settings(deadline=None)
@given(some_faces, st.sampled_from(ORDERS), st.integers(0, 10), st.integers(0, 10))
def test_first_and_count_cut_the_order(faces, order, first, count) -> None:
    chosen = taken(faces, order=order, first=first, count=count)
    everyone = ordered(faces, order, WIDTH, HEIGHT)
    expected = everyone[first : first + count] if count else everyone[first:]
    assert [face.box for face in chosen] == [face.box for face in expected]
    assert [face.index for face in chosen] == list(range(len(expected)))


@settings(deadline=None)
@given(some_faces, st.sampled_from(ORDERS), st.integers(0, 4), st.integers(0, 4), st.sampled_from(["", "0,2-4,-1"]))
def test_every_face_is_taken_or_left_out_with_a_reason(faces, order, first, count, indices) -> None:
    faces = [Face(face.box, face.score, index=number) for number, face in enumerate(faces)]
    settings = SelectSettings(order, first, count, indices, Criteria(min_size=3))
    choice = choose(faces, WIDTH, HEIGHT, settings)
    boxes = [face.box for face in choice.taken] + [each.face.box for each in choice.left_out]
    assert sorted(boxes) == sorted(face.box for face in faces)
    assert all(each.reason for each in choice.left_out)
    assert [each.face.index for each in choice.left_out] == sorted(each.face.index for each in choice.left_out)


def test_indices_count_among_those_that_meet_the_criteria_and_come_out_as_listed() -> None:
    line = [square(20 * number, 0, 10 + number) for number in range(5)]
    chosen = taken(line, indices="-1,0", first=3, criteria=Criteria(min_size=11, max_size=13))
    assert [face.box for face in chosen] == [line[3].box, line[1].box]


# Criteria


def test_without_wishes_every_face_is_taken() -> None:
    assert kept([*GROUP, square(-900, -900, 5), head(80, 20, 170)]) == [0, 1, 2, 3, 4]


def test_sizes_in_pixels_and_as_a_share_of_the_frame() -> None:
    assert kept(GROUP, min_size=35) == [1, 2]
    assert kept(GROUP, max_size=35) == [0, 2]
    assert kept(GROUP, min_share=35 * 35 / (WIDTH * HEIGHT)) == [1, 2]
    assert kept(GROUP, max_share=35 * 35 / (WIDTH * HEIGHT)) == [0, 2]
    # Only the part in the frame is a share of it.
    beyond = [square(-0.5 - 50, -0.5 - 50, 100), square(-500, -500, 2000)]
    assert kept(beyond, min_share=0.0208) == [0, 1]
    assert kept(beyond, min_share=0.021) == [1]


def test_scores_and_labels() -> None:
    assert kept(GROUP, confidence=0.8) == [0, 2]
    some = [square(0, 0, 9, label=label) for label in ("face", "Cat", "hand")]
    assert kept(some, labels="") == [0, 1, 2]
    assert kept(some, labels=" FACE , cat") == [0, 1]
    assert kept(some, labels="!cat") == [0, 2]
    assert kept(some, labels="face, hand, !hand") == [0]


def test_regions_count_by_the_share_of_the_box() -> None:
    region = torch.zeros(HEIGHT, WIDTH)
    region[:, :200] = 1
    faces = [square(9.5, 9.5, 40), square(189.5, 9.5, 40), square(299.5, 9.5, 40), square(-30.5, 9.5, 40)]
    shares = shares_in_region([*faces, square(-90, -90, 9)], region)
    assert shares == pytest.approx([1, 0.25, 0, 1, 0])
    assert kept(faces, shares[:4]) == [0, 3]
    assert kept(faces, shares[:4], overlap=0.25) == [0, 1, 3]
    assert kept(faces, shares[:4], region_rule="outside") == [1, 2]
    assert kept(faces, shares[:4], region_rule="outside", overlap=0.8) == [2]
    assert kept(faces, shares[:4], region_rule="outside", overlap=0) == [0, 1, 2, 3]
    assert shares_in_region(faces[:1], region / 2) == pytest.approx([0.5])


def test_poses_are_judged_where_something_tells_them() -> None:
    faces = [head(), head(yaw=40), head(yaw=-40), head(roll=60), square(0, 0, 50), square(0, 0, 50, roll=-70)]
    assert kept(faces, max_yaw=30) == [0, 3, 4, 5]
    assert kept(faces, max_yaw=45) == [0, 1, 2, 3, 4, 5]
    assert kept(faces, max_roll=50) == [0, 1, 2, 4]
    assert kept(faces, max_roll=65) == [0, 1, 2, 3, 4]
    assert kept([head(scale=20), head(scale=30), square(0, 0, 50)], min_eye_distance=25) == [1, 2]
    assert eye_distance(head(scale=20).landmarks) == pytest.approx(20)


@pytest.mark.parametrize("roll", [0, 30, -100, 180])
@pytest.mark.parametrize("pitch", [-25, 0, 25])
@pytest.mark.parametrize("yaw", [-75, -40, -10, 0, 20, 60])
def test_the_yaw_of_an_average_head_is_found_at_any_roll_and_pitch(yaw, pitch, roll) -> None:
    # A nod makes a turned head look tilted as well, which is all that is left of it.
    assert yaw_of(head(yaw, pitch, roll).landmarks) == pytest.approx(yaw, abs=1 if pitch == 0 else 7)


def test_the_yaw_of_a_mirrored_face_is_the_opposite() -> None:
    one, two, nose, four, five = ((400 - x, y) for x, y in head(33, 10).landmarks)
    assert yaw_of((two, one, nose, five, four)) == pytest.approx(-yaw_of(head(33, 10).landmarks))


def test_points_that_coincide_give_a_yaw_still() -> None:
    assert yaw_of(((5.0, 5.0),) * 5) == 0
    assert abs(yaw_of(((0, 0), (0, 0), (3, 5), (0, 9), (0, 9)))) == 90


# Reports


@pytest.mark.parametrize(
    ("first", "count", "told"),
    [
        (0, 1, "number 4 in the order; only the first is asked for"),
        (0, 3, "number 4 in the order; only the first 3 are asked for"),
        (1, 1, "number 4 in the order; only number 2 is asked for"),
        (1, 2, "number 4 in the order; only numbers 2 to 3 are asked for"),
        (4, 0, "number 4 in the order; only those from number 5 on are asked for"),
    ],
)
def test_what_is_out_of_the_range_is_told_as_people_count(first: int, count: int, told: str) -> None:
    faces = [square(60 * number, 10, 40, index=number) for number in range(4)]
    (*_, last) = choose(faces, WIDTH, HEIGHT, SelectSettings(first=first, count=count)).left_out
    assert last.reason == told


def test_a_report_names_every_face_left_out_with_its_place_and_reason() -> None:
    faces = [square(9.5, 9.5, 40), square(100, 50, 12, score=0.3), head(yaw=50)]
    faces = [Face(face.box, face.score, landmarks=face.landmarks, index=number) for number, face in enumerate(faces)]
    settings = SelectSettings(count=1, criteria=Criteria(min_size=20, max_yaw=30))
    some = choose(faces, WIDTH, HEIGHT, settings)
    others = choose([*faces[:1], square(200, 10, 50, index=1)], WIDTH, HEIGHT, settings)
    assert choice_report([some, others, choose([], WIDTH, HEIGHT, settings)]).splitlines() == [
        "Image 1: 1 of 3 faces taken",
        "- face 2 (12 px at 106, 56): smaller than 20 px",
        "- face 3 (120 px at 150, 150): turned by about 50 degrees, more than 30",
        "Image 2: 1 of 2 faces taken",
        "- face 2 (50 px at 225, 35): number 2 in the order; only the first is asked for",
        "Image 3: 0 of 0 faces taken",
    ]
