from hypothesis import given
from hypothesis import strategies as st
from visage.faces.face import Face
from visage.faces.selection import SkipSettings, reasons_to_skip


def square(x: float, y: float, side: float) -> Face:
    return Face((x, y, x + side, y + side))


GROUP = [square(0, 0, 20), square(45, 45, 10), square(60, 0, 40), square(0, 60, 5)]


def test_without_wishes_every_face_is_taken() -> None:
    assert reasons_to_skip(GROUP, 100, 100, SkipSettings()) == [None] * 4


def test_sizes_leave_out_with_a_reason() -> None:
    reasons = reasons_to_skip(GROUP, 100, 100, SkipSettings(min_size=8, max_size=30))
    assert reasons == [None, None, "larger than 30 px", "smaller than 8 px"]


def test_only_the_face_in_the_middle() -> None:
    reasons = reasons_to_skip(GROUP, 100, 100, SkipSettings(only_center=True))
    assert [reason is None for reason in reasons] == [False, True, False, False]


def test_the_middle_is_that_of_the_pixels_and_ties_go_to_the_earlier() -> None:
    """Of 101 columns, 0 to 100, it is the 50th: as "from the centre" of Select Faces has it."""
    near, far = square(16, 45, 8), square(76.6, 45, 8)
    for faces in ([near, far], [far, near]):
        reasons = reasons_to_skip(faces, 101, 99, SkipSettings(only_center=True))
        assert [reason is None for reason in reasons] == [face is near for face in faces]
    left, right = square(16, 45, 8), square(76, 45, 8)
    assert reasons_to_skip([left, right], 101, 99, SkipSettings(only_center=True))[0] is None
    assert reasons_to_skip([right, left], 101, 99, SkipSettings(only_center=True))[0] is None


def test_what_lies_outside_the_image_is_left_alone() -> None:
    beside = [square(-20.5, 40, 20), square(99.5, 40, 20), square(40, -21, 20), square(40, 99.5, 20)]
    reaching = [square(-20.4, 40, 20), square(99.4, 40, 20)]
    reasons = reasons_to_skip([*beside, *reaching], 100, 100, SkipSettings())
    assert reasons == ["outside the image"] * 4 + [None] * 2


def test_the_largest_are_kept() -> None:
    reasons = reasons_to_skip(GROUP, 100, 100, SkipSettings(max_count=2))
    assert [reason is None for reason in reasons] == [True, False, True, False]
    assert reasons[1] == "not among the 2 largest"


@given(st.lists(st.integers(1, 50), max_size=10), st.integers(0, 5), st.integers(0, 40))
def test_never_more_than_asked_for_and_never_too_small(sides, count, least) -> None:
    faces = [square(0, 0, side) for side in sides]
    reasons = reasons_to_skip(faces, 100, 100, SkipSettings(min_size=least, max_count=count))
    taken = [face for face, reason in zip(faces, reasons, strict=True) if reason is None]
    large_enough = [side for side in sides if side >= least]
    assert len(taken) == (min(count, len(large_enough)) if count else len(large_enough))
    assert sorted(face.size for face in taken) == sorted(large_enough)[len(large_enough) - len(taken) :]
