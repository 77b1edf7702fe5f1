"""A choice made by hand: its language, and whom it means."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from visage.faces.face import Face, Faces, numbered
from visage.faces.selection import PickSettings, box_in_percent, choice_report, parse_picks, pick
from visage.faces.selection.picking import SAME, box_iou, matches, pick_in_frame
from visage.faces.selection.picks import Pick, drawn_face

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
WIDTH, HEIGHT = 400, 200
# Three faces in a row of a frame of 400 x 200 pixels: in percent at 10, 40 and 70 across, 20 down, 20 wide, 40 high.
ROW = numbered(Face((x - 0.5, 39.5, x + 79.5, 119.5)) for x in (40, 160, 280))
LEFT, MIDDLE, RIGHT = "10,20,20,40", "40,20,20,40", "70,20,20,40"


def chosen(text: str, *frames: tuple[Face, ...]) -> tuple[list[list[float]], str]:
    """Where the faces are that are taken of each frame, and what is told of it."""
    faces = Faces(WIDTH, HEIGHT, frames or (ROW,))
    choices = pick(faces, PickSettings(text))
    return [[face.box[0] + 0.5 for face in choice.taken] for choice in choices], choice_report(choices)


# ---- the language


def test_entries_are_read_in_every_spelling() -> None:
    assert parse_picks("") == parse_picks(" \n ; ;") == ()
    take = Pick("take", (31.2, 18.0, 10.5, 14.0))
    for text in ("take 31.2,18,10.5,14", "TAKE 31.2 18 10.5 14", "31.2, 18, 10.5, 14", " take31.2 ,18 , 10.50,+14. ;"):
        assert parse_picks(text) == (take,), text
    assert parse_picks("image 3: none\nleave .5,-1,2,3; Image 2 :draw 0,0,1,1") == (
        Pick("none", None, 3),
        Pick("leave", (0.5, -1.0, 2.0, 3.0)),
        Pick("draw", (0.0, 0.0, 1.0, 1.0), 2),
    )


@pytest.mark.parametrize(
    ("text", "entry", "says"),
    [
        ("the tall one", "the tall one", "is no entry of a choice"),
        ("take 1,2,3,4; keep 1,2,3,4", "keep 1,2,3,4", "Write take, leave, draw or none"),
        ("image 2 take 1,2,3,4", "image 2 take 1,2,3,4", "is no entry"),
        ("image two: none", "image two: none", "is no entry"),
        ("image 0: none", "image 0: none", "numbered from 1"),
        ("none 1,2,3,4", "none 1,2,3,4", "stands alone"),
        ("take", "take", "four numbers"),
        ("take 1,2,3", "take 1,2,3", "four numbers"),
        ("take 1,2,3,4,5", "take 1,2,3,4,5", "four numbers"),
        ("draw 1,2,nan,4", "draw 1,2,nan,4", "four numbers"),
        ("draw 1,2,1e9,4", "draw 1,2,1e9,4", "four numbers"),
        ("draw 1,2,0,4", "draw 1,2,0,4", "more than 0"),
        ("draw 1,2,201,4", "draw 1,2,201,4", "at most 200"),
        ("draw 100,2,3,4", "draw 100,2,3,4", "outside the image"),
        ("leave -5,2,5,4", "leave -5,2,5,4", "outside the image"),
        (f"leave {'9' * 400},2,5,4", "leave 999", "outside the image"),
    ],
)
def test_an_entry_that_cannot_be_read_is_named(text: str, entry: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        parse_picks(text)
    assert f"'{entry}" in str(error.value)


def test_there_is_an_end_to_how_many_entries_are_read() -> None:
    assert len(parse_picks("none;" * 1000)) == 1000
    with pytest.raises(ValueError, match="1001 entries"):
        parse_picks("none;" * 1001)


edges = st.integers(0, 9900).map(lambda number: number / 100)
sides = st.integers(1, 20000).map(lambda number: number / 100)
boxes = st.tuples(edges, edges, sides, sides)
images = st.none() | st.integers(1, 9)
entries = st.builds(Pick, st.sampled_from(["take", "leave", "draw"]), boxes, images) | st.builds(
    Pick, st.just("none"), st.none(), images
)


@unhurried
@given(st.lists(entries, max_size=8))
def test_what_is_written_is_read_as_it_was(made: list[Pick]) -> None:
    assert parse_picks("; ".join(map(str, made))) == parse_picks("\n".join(map(str, made))) == tuple(made)


@unhurried
@given(boxes)
def test_a_drawn_box_is_where_it_says(box: tuple[float, float, float, float]) -> None:
    assert box_in_percent(drawn_face(box, 640, 480), 640, 480) == pytest.approx(box, abs=0.0051)


# ---- whom it means


def test_without_a_choice_all_faces_are_taken() -> None:
    assert chosen("") == ([[40, 160, 280]], "Image 1: 3 of 3 faces taken")


def test_only_those_that_are_named_or_all_but_those() -> None:
    taken, told = chosen(f"take {MIDDLE}")
    assert taken == [[160]]
    assert told.splitlines()[0] == "Image 1: 1 of 3 faces taken"
    assert told.count("not among those taken by hand") == 2
    taken, told = chosen(f"leave {MIDDLE}")
    assert taken == [[40, 280]]
    assert told.splitlines()[1:] == ["- face 2 (80 px at 200, 80): taken out by hand"]
    assert chosen(f"take {RIGHT}; take {LEFT}")[0] == [[40, 280]]
    assert chosen("none")[0] == [[]]
    assert chosen(f"none; take {LEFT}")[0] == [[40]]
    assert chosen(f"take {LEFT}; leave {MIDDLE}")[0] == [[40]]


def test_a_drawn_box_comes_last_and_a_face_in_its_place_gives_way() -> None:
    taken, told = chosen("draw 5,70,10,20")
    assert taken == [[40, 160, 280, 20]]
    assert told == "Image 1: 4 of 4 faces taken"
    (choice,) = pick(Faces(WIDTH, HEIGHT, (ROW,)), PickSettings("none; draw 5,70,10,20"))
    assert choice.taken == (Face((19.5, 139.5, 59.5, 179.5)),)
    taken, told = chosen("draw 42,22,20,40")
    assert taken == [[40, 280, 168]]
    assert "- face 2 (80 px at 200, 80): a box that was drawn by hand stands in its place" in told
    # Moved away from a face that was taken out: both entries find whom they mean.
    assert chosen(f"leave {MIDDLE}; draw 48,20,20,40")[0] == [[40, 280, 192]]


def test_what_means_no_face_is_told_and_the_rest_holds() -> None:
    taken, told = chosen(f"take {LEFT}; take 40,70,20,20")
    assert taken == [[40]]
    assert told.splitlines()[-1] == "- there is no face at 'take 40,70,20,20'"
    assert "no face at 'leave 40,70,20,20'" in chosen("leave 40,70,20,20")[1]
    assert chosen("take 40,70,20,20")[0] == [[]]
    assert "no face" not in chosen("draw 40,70,20,20; none")[1]


def test_entries_are_for_all_images_or_for_the_one_that_they_name() -> None:
    assert chosen(f"leave {LEFT}", ROW, ROW)[0] == [[160, 280], [160, 280]]
    assert chosen(f"image 2: take {LEFT}", ROW, ROW, ROW)[0] == [[40, 160, 280], [40], [40, 160, 280]]
    assert chosen(f"none; image 2: take {LEFT}", ROW, ROW)[0] == [[], [40]]
    taken, told = chosen("image 3: none", ROW, ROW)
    assert taken == [[40, 160, 280]] * 2
    assert told.splitlines()[-1] == "- 'image 3: none' is for an image that is not there"


def test_order_and_everything_else_of_a_face_are_kept() -> None:
    marks = ((50.0, 60.0), (90.0, 60.0), (70.0, 80.0), (55.0, 100.0), (85.0, 100.0))
    backwards = numbered([ROW[2], ROW[1], Face(ROW[0].box, 0.7, "child", marks, roll=3.0)])
    (choice,) = pick(Faces(WIDTH, HEIGHT, (backwards,)), PickSettings(f"leave {MIDDLE}"))
    assert [face.index for face in choice.taken] == [0, 1]
    assert choice.taken[1] == Face(ROW[0].box, 0.7, "child", marks, roll=3.0, index=1)
    assert choice.left_out[0].face.index == 1


def test_two_entries_of_one_face_do_not_take_its_neighbour() -> None:
    assert matches([(40, 20, 20, 40), (41, 20, 20, 40)], [(41, 20, 20, 40), (70, 20, 20, 40)]) == {1: 0}
    # The nearest face is meant, not the first.
    assert matches([(44, 20, 20, 40)], [(40, 20, 20, 40), (45, 20, 20, 40)]) == {0: 1}


@unhurried
@given(boxes, boxes)
def test_overlap_is_intersection_over_union(one: tuple[float, ...], other: tuple[float, ...]) -> None:
    assert box_iou(one, other) == box_iou(other, one)
    assert 0 <= box_iou(one, other) <= 1 + 1e-9
    assert box_iou(one, one) == pytest.approx(1)


def test_a_face_is_the_same_after_half_a_step_or_growth_and_no_more() -> None:
    box = (40.0, 40.0, 20.0, 20.0)
    for same in ((50, 40, 20, 20), (45, 45, 20, 20), (32, 32, 36, 36)):
        assert box_iou(box, same) >= SAME
    for other in ((51, 40, 20, 20), (47, 47, 20, 20), (31, 31, 38, 38)):
        assert box_iou(box, other) < SAME


# Places on a grid, 20 percent apart: faces that do not touch.
people = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), unique=True, max_size=8)
shake = st.floats(-0.1, 0.1)


def at(column: int, row: int, shakes: tuple[float, float, float], number: int = 0) -> Face:
    """A face of a tenth of 1000 x 1000 pixels, shifted and grown by shares of its size."""
    across, down, grown = shakes
    left, top, side = column * 200 + 50 + across * 100, row * 200 + 50 + down * 100, 100 * (1 + grown)
    return Face((left, top, left + side, top + side), index=number)


@unhurried
@given(people, st.data())
def test_the_choice_survives_a_small_change_of_the_picture(places: list[tuple[int, int]], data: st.DataObject) -> None:
    wanted = [data.draw(st.booleans()) for _ in places]
    only = data.draw(st.booleans())
    before = [at(*place, (0, 0, 0)) for place in places]
    text = [
        Pick("take" if only else "leave", box_in_percent(face, 1000, 1000))
        for face, is_wanted in zip(before, wanted, strict=True)
        if is_wanted == only
    ] + [Pick("none")] * only
    after = numbered(at(*place, data.draw(st.tuples(shake, shake, shake))) for place in places)
    order = data.draw(st.permutations(range(len(places))))
    choice = pick_in_frame([after[place] for place in order], 1000, 1000, text)
    taken = {face.box for face in choice.taken}
    assert taken == {face.box for face, is_wanted in zip(after, wanted, strict=True) if is_wanted}
    assert choice.notes == ()


@unhurried
@given(st.lists(boxes, max_size=6), st.lists(entries, max_size=8))
def test_every_face_is_taken_or_left_out_and_every_drawn_box_stays(
    found: list[tuple[float, float, float, float]], text: list[Pick]
) -> None:
    faces = numbered(drawn_face(box, 1000, 1000) for box in found)
    choice = pick_in_frame(faces, 1000, 1000, text)
    drawn = [drawn_face(entry.box, 1000, 1000).box for entry in text if entry.kind == "draw" and entry.box]
    assert [face.box for face in choice.taken][len(choice.taken) - len(drawn) :] == drawn
    kept = [face.box for face in choice.taken][: len(choice.taken) - len(drawn)]
    assert sorted([*kept, *(each.face.box for each in choice.left_out)]) == sorted(face.box for face in faces)
    assert [face.index for face in choice.taken] == list(range(len(choice.taken)))
