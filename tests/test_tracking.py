"""Faces followed and steadied through the frames of a video."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from visage.faces.alignment import FFHQ
from visage.faces.face import Face, Faces, Point, roll_of
from visage.faces.tracking import (
    Person,
    TrackSettings,
    cuts_in,
    faces_of_people,
    parse_numbers,
    people_in,
    people_report,
)
from visage.faces.tracking.following import follow
from visage.faces.tracking.smoothing import smoothed
from visage.faces.tracking.steadying import steadied

WIDTH, HEIGHT = 400, 300


def face(x: float, y: float, side: float = 40, roll: float = 0, score: float = 0.9) -> Face:
    """An upright box around ``x``, ``y``, and the landmarks of a face that is tilted in it."""
    turned = side / 400 * complex(math.cos(math.radians(roll)), math.sin(math.radians(roll)))
    points = [complex(x, y) + turned * (complex(*point) - complex(256, 300)) for point in FFHQ.points]
    one, two, three, four, five = ((point.real, point.imag) for point in points)
    half = side / 2
    marks = (one, two, three, four, five)
    return Face((x - half, y - half, x + half, y + half), score, landmarks=marks, roll=roll_of(marks))


def video(*frames: Iterable[Face]) -> Faces:
    return Faces(
        WIDTH,
        HEIGHT,
        tuple(tuple(replace(each, index=index) for index, each in enumerate(found)) for found in frames),
    )


def steady(faces: Faces, cuts: Iterable[int] = (), **settings: object) -> list[Person]:
    return people_in(faces, tuple(cuts), TrackSettings(**settings))  # type: ignore[arg-type]


def spans(people: Iterable[Person]) -> list[tuple[int, int, int]]:
    return [(min(person.faces), max(person.faces), person.filled) for person in people]


def landmarks_of(faces: Iterable[Face]) -> np.ndarray:
    """``[T, 5, 2]``"""
    return np.array([each.landmarks for each in faces])


class TestFollowing:
    def test_faces_keep_together_whatever_their_order(self) -> None:
        left, right = [face(60 + 3 * t, 100) for t in range(10)], [face(300 - 3 * t, 120) for t in range(10)]
        frames = [(a, b) if t % 2 else (b, a) for t, (a, b) in enumerate(zip(left, right, strict=True))]
        one, other = follow(video(*frames), (), 0)
        assert [seen.centre[0] for seen in one.values()] == [each.centre[0] for each in right]
        assert [seen.centre[0] for seen in other.values()] == [each.centre[0] for each in left]

    def test_two_who_pass_each_other_are_told_apart_by_how_they_move(self) -> None:
        """They are nearest to one another at frame 10, 12 pixels apart, and each other's places are nearer then."""
        walking = [(face(100 + 8 * t, 100), face(260 - 8 * t, 112)) for t in range(21)]
        one, other = follow(video(*walking), (), 0)
        assert [seen.centre[1] for seen in one.values()] == [100] * 21
        assert [seen.centre[1] for seen in other.values()] == [112] * 21

    def test_who_is_missing_for_too_long_is_somebody_else(self) -> None:
        frames = [[face(100, 100)], [], [], [face(102, 100)]]
        assert len(follow(video(*frames), (), 2)) == 1
        assert len(follow(video(*frames), (), 1)) == 2

    def test_who_moves_on_while_missing_is_found_where_they_come_to_be(self) -> None:
        """Their boxes have nothing in common any more."""
        frames = [[face(60 + 12 * t, 100)] if t not in range(5, 11) else [] for t in range(16)]
        assert len(follow(video(*frames), (), 6)) == 1

    def test_the_longer_somebody_is_missing_the_further_away_they_may_be(self) -> None:
        """Three fifths of a face, which is too much from one frame to the next."""
        assert len(follow(video([face(100, 100)], [face(124, 100)]), (), 3)) == 2
        assert len(follow(video([face(100, 100)], [], [], [face(124, 100)]), (), 3)) == 1

    def test_a_face_goes_to_the_nearest(self) -> None:
        """Though the first one could have come so far as well."""
        one, other = follow(video([face(100, 100), face(116, 100)], [face(113, 100)], [face(99, 100)]), (), 3)
        assert [list(one), list(other)] == [[0, 2], [0, 1]]

    def test_nobody_is_followed_over_a_cut(self) -> None:
        assert len(follow(video(*[[face(100, 100)]] * 6), (3,), 6)) == 2

    @pytest.mark.parametrize("other", [face(121, 100), face(100, 100, 65), replace(face(100, 100), label="hand")])
    def test_what_cannot_be_the_same_face_is_not(self, other: Face) -> None:
        """It is more than half of a face away, or so much larger, or something else."""
        assert len(follow(video([face(100, 100)], [other]), (), 0)) == 2

    def test_each_face_belongs_to_one(self) -> None:
        near = [face(100, 100), face(108, 100), face(116, 100)]
        tracks = follow(video(near, near[:2], near), (), 3)
        assert sum(map(len, tracks)) == 8
        assert len(tracks) == 3


class TestSmoothing:
    times = np.arange(60.0)

    def test_a_parabola_stays_as_it_is(self) -> None:
        values = np.stack([0.3 - 0.02 * self.times + 0.001 * self.times**2, np.full(60, 4.0)], axis=1)
        np.testing.assert_allclose(smoothed(values, 18), values, atol=1e-7)

    def test_what_trembles_at_rest_trembles_far_less(self) -> None:
        noise = np.random.default_rng(1).normal(0, 0.02, (60, 2))
        assert np.diff(smoothed(noise, 18), axis=0).std() < 0.2 * np.diff(noise, axis=0).std()

    def test_quick_movements_are_followed(self) -> None:
        """A head that is shaken: a fixed width of 18 would be off by the whole movement."""
        shaken = 0.5 * np.sin(2 * np.pi * self.times / 8)[:, None]
        assert np.abs(smoothed(shaken, 18) - shaken).max() < 0.02

    def test_rest_after_a_movement_is_still_steadied(self) -> None:
        """The width is chosen for each time: of a head that is turned quickly, then held still."""
        noise = np.random.default_rng(2).normal(0, 0.01, (60, 1))
        true = np.where(self.times < 20, np.sin(2 * np.pi * self.times / 10), 0)[:, None]
        steadied = smoothed(true + noise, 18)
        assert np.diff(steadied[32:], axis=0).std() < 0.35 * np.diff(noise[32:], axis=0).std()
        assert np.abs(steadied - true)[4:18].max() < 0.06

    def test_one_frame_in_the_wrong_place_counts_for_nothing(self) -> None:
        values = np.random.default_rng(3).normal(0, 0.001, (60, 2))
        wrong = values.copy()
        wrong[30] = 0.8
        assert np.abs(smoothed(wrong, 18)).max() < 0.01

    @given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 2**20))
    def test_short_and_odd_series_give_numbers_near_what_they_were(self, count: int, reach: int, seed: int) -> None:
        values = np.random.default_rng(seed).uniform(-1, 1, (count, 2))
        result = smoothed(values, reach)
        assert result.shape == values.shape
        # A parabola may swing beyond its points, though not far.
        assert np.abs(result).max() < 4

    def test_long_videos_take_no_more_than_their_length(self) -> None:
        """Ten thousand frames: a table of all pairs would have 800 MB."""
        values = np.random.default_rng(4).normal(0, 0.02, (10_000, 1))
        assert np.diff(smoothed(values, 18), axis=0).std() < 0.01


class TestSteadying:
    def trembling(self, deviation: float = 0.6) -> tuple[dict[int, Face], dict[int, Face]]:
        """A face that is carried along, grows and tilts; as it is, and as a detector sees it."""
        true = {t: face(80 + 3 * t, 120 + 20 * math.sin(t / 8), 60 + t, 10 * math.sin(t / 10)) for t in range(40)}
        shake = np.random.default_rng(7)

        def seen(each: Face) -> Face:
            box = tuple(value + shake.normal(0, deviation) for value in each.box)
            assert each.landmarks is not None
            marks = tuple((x + shake.normal(0, deviation), y + shake.normal(0, deviation)) for x, y in each.landmarks)
            return replace(each, box=box, landmarks=marks)  # type: ignore[arg-type]

        return true, {number: seen(each) for number, each in true.items()}

    def test_places_come_nearer_to_the_truth_and_tremble_less(self) -> None:
        true, seen = self.trembling()
        held = steadied(seen, 18)
        for numbers_of in (landmarks_of, lambda faces: np.array([each.box for each in faces])):
            truth, before, after = (numbers_of(each.values()) for each in (true, seen, held))
            assert np.square(after - truth).mean() < 0.35 * np.square(before - truth).mean()
            before, after = np.diff(before - truth, axis=0), np.diff(after - truth, axis=0)
            assert np.square(after).mean() < 0.12 * np.square(before).mean()

    def test_the_roll_is_that_of_the_landmarks(self) -> None:
        _, seen = self.trembling()
        for each in steadied(seen, 18).values():
            assert each.landmarks is not None
            assert each.roll == roll_of(each.landmarks)
        unknown = {number: replace(each, roll=None) for number, each in seen.items()}
        assert {each.roll for each in steadied(unknown, 18).values()} == {None}

    def test_without_smoothing_what_was_seen_stays_and_gaps_are_straight_lines(self) -> None:
        seen = {0: face(100, 100, 40, score=0.8), 4: face(140, 108, 60, score=0.6)}
        held = steadied(seen, 0)
        assert held[0] is seen[0]
        assert held[4] is seen[4]
        assert held[1].box == pytest.approx((87.5, 79.5, 132.5, 124.5))
        assert held[1].landmarks is not None
        assert np.array(held[2].landmarks) == pytest.approx(landmarks_of(seen.values()).mean(axis=0))
        assert held[2].score == 0.6

    def test_a_face_that_turns_over_takes_the_short_way(self) -> None:
        boxes = {t: replace(face(100, 100), landmarks=None, roll=roll) for t, roll in enumerate((170, 175, -175, -170))}
        del boxes[1], boxes[2]
        held = steadied(boxes, 0)
        assert [abs(held[t].roll or 0) > 170 - 1e-6 for t in range(4)] == [True] * 4
        turning = {t: face(100, 100, 40, roll=170 + 2 * t) for t in range(20)}
        for number, each in steadied(turning, 18).items():
            assert each.landmarks is not None
            assert landmarks_of([each])[0] == pytest.approx(landmarks_of([turning[number]])[0], abs=0.01)

    def test_landmarks_come_only_between_two_faces_that_have_them(self) -> None:
        bare = replace(face(100, 100), landmarks=None, roll=None)
        held = steadied({0: face(100, 100), 2: face(100, 100), 4: bare, 6: face(100, 100)}, 6)
        assert [each.landmarks is not None for each in held.values()] == [True, True, True, False, False, False, True]

    def test_an_outline_goes_with_the_box(self) -> None:
        outline: tuple[Point, ...] = ((80, 80), (120, 80), (100, 120))
        seen = {0: replace(face(100, 100), outline=outline), 2: replace(face(120, 100), outline=None)}
        assert steadied(seen, 0)[1].outline == ((90, 80), (130, 80), (110, 120))

    def test_landmarks_on_top_of_one_another_stay(self) -> None:
        point = replace(face(100, 100), landmarks=((5.0, 5.0),) * 5)
        held = steadied(dict.fromkeys(range(6), point), 18)
        assert {each.landmarks for each in held.values()} == {point.landmarks}


class TestPeople:
    frames = video(
        *([face(60, 100), face(300, 100)] for _ in range(4)),
        [face(300, 100), face(180, 250, 20)],
        *([face(60, 100), face(300, 100)] for _ in range(3)),
    )

    def test_everybody_keeps_their_number_where_somebody_is_missing(self) -> None:
        people = steady(self.frames, min_frames=3)
        assert spans(people) == [(0, 7, 1), (0, 7, 0)]
        tracked = faces_of_people(people, self.frames)
        for found in tracked.frames:
            assert [(each.index, each.track) for each in found] == [(0, 0), (1, 1)]
            assert [each.centre[0] for each in found] == pytest.approx([60, 300])

    def test_those_who_left_leave_their_number(self) -> None:
        frames = video(*[[face(60, 100), face(300, 100)]] * 4, *[[face(300, 100)]] * 4)
        tracked = faces_of_people(steady(frames), frames)
        assert [[each.track for each in found] for found in tracked.frames] == [[0, 1]] * 4 + [[1]] * 4

    def test_false_alarms_are_left_out_and_told_of(self) -> None:
        people = steady(self.frames, min_frames=3)
        assert people_report(people, self.frames).splitlines() == [
            "2 of 2 people taken; 1 face in too few images left out",
            "- face 1 (40 px at 60, 100): images 1 to 8, put in between in 1",
            "- face 2 (40 px at 300, 100): images 1 to 8",
        ]
        assert len(steady(self.frames)) == 3

    def test_only_those_asked_for_are_taken_with_their_numbers(self) -> None:
        people = steady(self.frames, people="2", min_frames=3)
        tracked = faces_of_people(people, self.frames)
        assert [[each.track for each in found] for found in tracked.frames] == [[1]] * 8
        assert people_report(people, self.frames).splitlines()[:2] == [
            "1 of 2 people taken; 1 face in too few images left out",
            "- face 1 (40 px at 60, 100): images 1 to 8, put in between in 1: not asked for",
        ]

    def test_a_shot_of_few_frames_asks_for_no_more_than_it_has(self) -> None:
        one = video([face(60, 100), face(300, 100)])
        assert spans(steady(one, min_frames=3)) == [(0, 0, 0)] * 2
        two = video([face(60, 100), face(300, 100)], [face(60, 100)])
        assert spans(steady(two, min_frames=3)) == [(0, 1, 0)]
        assert spans(steady(video(*[[face(60, 100)]] * 9), cuts=[8], min_frames=3)) == [(0, 7, 0), (8, 8, 0)]

    def test_no_faces_are_nobody(self) -> None:
        nothing = video([], [])
        assert steady(nothing) == []
        assert faces_of_people([], nothing) == nothing
        assert people_report([], nothing) == "0 of 0 people taken"

    def test_the_same_faces_give_the_same_numbers(self) -> None:
        assert steady(self.frames) == steady(self.frames)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", None), (" , ", None), ("1", {0}), ("1, 3-4", {0, 2, 3}), ("2 - 3,2", {1, 2})],
)
def test_numbers_of_people_count_from_one(text: str, numbers: set[int] | None) -> None:
    assert parse_numbers(text) == numbers


@pytest.mark.parametrize("text", ["0", "-1", "3-1", "x", "1;2", "1-", "1-99999999999", "9" * 5000, "\u0661"])
def test_what_is_no_number_of_a_person_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no number of a person\. Write numbers and ranges from 1 on"):
        parse_numbers(text)


class TestCuts:
    def moving(self, seed: int, frames: int, step: int = 2) -> torch.Tensor:
        """``[B, 72, 96, 3]``: a camera that goes along a picture of large and small shapes."""
        draw = torch.Generator().manual_seed(seed)
        coarse, fine = torch.rand(1, 3, 4, 16, generator=draw), torch.rand(1, 3, 24, 96, generator=draw)
        picture = 0.8 * torch.nn.functional.interpolate(coarse, (72, 288), mode="bicubic")
        picture = (picture + 0.2 * torch.nn.functional.interpolate(fine, (72, 288))).clamp(0, 1)[0].permute(1, 2, 0)
        return torch.stack([picture[:, step * t : step * t + 96] for t in range(frames)])

    def test_where_the_shots_meet(self) -> None:
        shots = [self.moving(seed, count) for seed, count in ((1, 12), (2, 1), (3, 12))]
        assert cuts_in(torch.cat(shots)) == (12, 13)

    def test_a_camera_that_moves_makes_none(self) -> None:
        assert cuts_in(self.moving(1, 40)) == ()

    def test_cuts_are_seen_in_the_dark(self) -> None:
        shots = [0.1 * self.moving(seed, 8) for seed in (1, 2)]
        assert cuts_in(torch.cat(shots)) == (8,)
        assert cuts_in(0.1 * self.moving(1, 40)) == ()

    def test_a_cut_to_a_picture_like_the_last_one_is_one(self) -> None:
        one, other = self.moving(1, 6), self.moving(2, 6)
        assert cuts_in(torch.cat([one, 0.6 * one + 0.4 * other])) == (6,)

    def test_noise_of_a_black_picture_makes_none(self, generator: torch.Generator) -> None:
        assert cuts_in(0.02 * torch.rand(8, 72, 96, 3, generator=generator)) == ()

    def test_somebody_who_passes_before_the_camera_makes_none(self) -> None:
        frames = self.moving(1, 12)
        frames[5:7, :, 30:70] = 0.1
        assert cuts_in(frames) == ()

    def test_one_image_has_none(self) -> None:
        assert cuts_in(self.moving(1, 1)) == ()

    def test_alpha_does_not_count(self) -> None:
        frames = self.moving(1, 8)
        alpha = torch.zeros(8, 72, 96, 1)
        alpha[4:] = 1
        assert cuts_in(torch.cat([frames, alpha], dim=3)) == ()
