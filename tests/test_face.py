import math

from hypothesis import given
from hypothesis import strategies as st
from visage.faces.face import Face, Faces, in_reading_order, intersection_over_union, resized, roll_of

numbers = st.floats(-100, 2000, allow_nan=False).map(lambda value: round(value, 2))
sizes = st.floats(1, 400, allow_nan=False).map(lambda value: round(value, 2))


@st.composite
def faces(draw: st.DrawFn) -> Face:
    x, y, width, height = draw(numbers), draw(numbers), draw(sizes), draw(sizes)
    return Face((x, y, x + width, y + height), draw(st.floats(0, 1)))


def test_reading_order_goes_along_rows_and_then_down() -> None:
    upper_right = Face((200, 12, 240, 52))
    upper_left = Face((10, 20, 50, 60))
    lower = Face((90, 100, 130, 140))
    ordered = in_reading_order([lower, upper_right, upper_left])
    assert [face.box for face in ordered] == [upper_left.box, upper_right.box, lower.box]
    assert [face.index for face in ordered] == [0, 1, 2]


@given(st.lists(faces(), max_size=8), st.randoms(use_true_random=False))
def test_reading_order_does_not_depend_on_the_order_given(found, random) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert [face.box for face in in_reading_order(found)] == [face.box for face in in_reading_order(shuffled)]
    assert sorted(face.box for face in in_reading_order(found)) == sorted(face.box for face in found)


@given(st.floats(-179, 179))
def test_roll_is_clockwise_as_seen(angle) -> None:
    upright = [(-1.0, -1.0), (1.0, -1.0), (0.0, 0.0), (-0.7, 1.0), (0.7, 1.0)]
    turn = math.radians(angle)
    turned = [(x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)) for x, y in upright]
    assert math.isclose(roll_of(turned), angle, abs_tol=1e-6)


def test_faces_count_and_place_over_all_frames() -> None:
    one, two = Face((0, 0, 1, 1)), Face((1, 1, 2, 2))
    batch = Faces(10, 10, ((one,), (), (one, two)))
    assert batch.count == 3
    assert [frame for frame, _ in batch.placed] == [0, 2, 2]


@given(faces(), st.floats(0.1, 8))
def test_resizing_a_face_moves_pixel_centres(face, scale) -> None:
    points = tuple((face.box[0] + index, face.box[1] + index) for index in range(5))
    large = resized(Face(face.box, landmarks=points, outline=points[:3]), scale)
    assert math.isclose(large.width, face.width * scale, rel_tol=1e-6, abs_tol=1e-6)
    assert large.landmarks[0] == large.box[:2] == large.outline[0]
    assert math.isclose(large.box[0], (face.box[0] + 0.5) * scale - 0.5, abs_tol=1e-9)


def test_boxes_have_in_common_what_both_cover() -> None:
    box = (10.0, 20.0, 30.0, 60.0)
    assert intersection_over_union(box, box) == 1
    assert intersection_over_union(box, (20.0, 20.0, 40.0, 60.0)) == 400 / 1200
    assert intersection_over_union(box, (15.0, 30.0, 25.0, 40.0)) == 100 / 800
    assert intersection_over_union(box, (30.0, 20.0, 50.0, 60.0)) == 0
    # Beside it both ways: no negative side makes up for the other.
    assert intersection_over_union(box, (40.0, 70.0, 60.0, 110.0)) == 0
