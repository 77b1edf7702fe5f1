"""The refine pass around a model: which faces, which windows, what comes back. The models here paint something simple
and known; the tests with real samplers are those of the two engines."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from visage import fields
from visage.faces.alignment import FFHQ
from visage.faces.face import Face, Faces
from visage.faces.geometry import apply
from visage.faces.windows import extract_window
from visage.fields import build
from visage.models.host import Progress, TorchHost
from visage.models.inference import InvalidOutputError
from visage.models.refiners import Repaint, Sampling
from visage.pipeline import (
    PromptError,
    PromptSource,
    RefinementError,
    RefineSettings,
    outcome_report,
    refine,
)
from visage.tests.comfy_models import restorer_of
from visage.tests.counting_host import CountingHost

HOST = TorchHost("cpu", quiet=True)


@dataclass
class Painter:
    """Paints what ``function`` makes of a crop, and remembers what it was asked."""

    function: Callable[[Repaint], Tensor] = lambda work: work.pixels.clone()
    multiple: int = 8
    name: str = "pretended"
    knows_levels: bool = False
    works: list[Repaint] = field(default_factory=list)

    def steps(self, sampling: Sampling) -> int:
        return sampling.steps

    def repaint(self, work: Repaint, sampling: Sampling, progress: Progress) -> Tensor:
        self.works.append(work)
        for _ in range(sampling.steps):
            progress.advance()
        return self.function(work)


def picture(count: int = 1, width: int = 240, height: int = 200) -> Tensor:
    """Smooth shades with some texture."""
    generator = torch.Generator().manual_seed(4)
    coarse = torch.rand(count, 3, 6, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").movedim(1, -1)
    grain = torch.rand(count, height, width, 3, generator=generator) - 0.5
    return (smooth * 0.6 + 0.2 + 0.05 * grain).clamp(0, 1)


def faces_of(*boxes: tuple[float, float, float, float], **more: Any) -> Faces:
    found = tuple(Face(box, index=index, **more) for index, box in enumerate(boxes))
    return Faces(240, 200, (found,))


def settings_of(**values: object) -> RefineSettings:
    return build(RefineSettings, {"guide_size": 64, "max_size": 256, "steps": 1, **values})


LEFT, RIGHT = (30.0, 60.0, 70.0, 110.0), (150.0, 70.0, 200.0, 130.0)


def white(work: Repaint) -> Tensor:
    return torch.ones_like(work.pixels)


def test_an_unchanged_crop_changes_nothing_at_any_place_or_angle() -> None:
    frames = picture()
    boxes = [LEFT, (-12.0, -8.0, 30.0, 40.0), (215.0, 160.0, 245.0, 205.0), (90.0, 20.0, 120.0, 50.0)]
    for roll in range(-180, 180, 50):
        faces = faces_of(*boxes, roll=float(roll))
        done = refine(frames, faces, Painter(), HOST, settings_of(cycles=2))
        assert done.frames is not frames
        assert float((done.frames - frames).abs().max()) * 255 < 0.01
        assert float(done.changed.max()) == 1


def test_pixels_outside_the_mask_keep_their_bits_and_those_inside_are_replaced() -> None:
    frames = picture()
    done = refine(frames, faces_of(LEFT, RIGHT), Painter(white), HOST, settings_of(colour_match=0.0))
    outside = done.changed[0] == 0
    assert 0.5 < float(outside.float().mean()) < 0.95
    assert torch.equal(done.frames[0][outside], frames[0][outside])
    assert float(done.frames[0][done.changed[0] == 1].min()) > 0.999
    assert [outcome.action for outcome in done.outcomes[0]] == ["refined", "refined"]
    assert [len(done.crops), done.crops[0].shape[-1]] == [2, 3]


def test_nothing_to_do_gives_the_very_tensor_and_asks_nobody() -> None:
    frames, painter = picture(), Painter()
    for faces, settings in (
        (Faces(240, 200, ((),)), settings_of()),
        (faces_of(LEFT), settings_of(strength=0.0)),
        (faces_of(LEFT), settings_of(denoise=0.0)),
        (faces_of(LEFT), settings_of(min_face=100)),
        (faces_of(LEFT), settings_of(prompt="[SKIP]")),
    ):
        done = refine(frames, faces, painter, HOST, settings)
        assert done.frames is frames
        assert float(done.changed.max()) == 0
        assert done.crops == ()
        assert all(outcome.reason for outcome in done.outcomes[0])
    assert painter.works == []


def test_frames_without_faces_keep_their_bits_and_alpha_is_kept() -> None:
    frames = torch.cat([picture(3), torch.rand(3, 200, 240, 1)], dim=-1)
    faces = Faces(240, 200, ((), (Face(LEFT),), ()))
    done = refine(frames, faces, Painter(white), HOST, settings_of())
    assert torch.equal(done.frames[0], frames[0])
    assert torch.equal(done.frames[2], frames[2])
    assert torch.equal(done.frames[..., 3], frames[..., 3])
    assert not torch.equal(done.frames[1], frames[1])


def test_each_face_has_its_own_seed_and_the_same_again() -> None:
    def seeds(**how: object) -> list[int]:
        painter = Painter()
        refine(picture(), faces_of(LEFT, RIGHT), painter, HOST, settings_of(seed=2**64 - 1, **how))
        return [work.seed for work in painter.works]

    assert seeds() == [2**64 - 1, 0]
    assert seeds(seeds="all the same") == [2**64 - 1] * 2
    assert len(set(seeds(cycles=3))) == 6
    assert seeds(prompt="a [SEP:9] b") == [2**64 - 1, 9]


def test_people_of_a_video_keep_their_seeds() -> None:
    painter = Painter()
    one, other = (replace(face, track=place) for place, face in enumerate(faces_of(LEFT, RIGHT).frames[0]))
    frames = Faces(240, 200, ((one, other), (replace(other, index=0),)))
    refine(picture(2), frames, painter, HOST, settings_of(seed=5))
    assert [work.seed for work in painter.works] == [5, 6, 6]


def test_every_choice_of_seeds_does_something() -> None:
    (setting,) = (setting for setting in fields.settings_of(RefineSettings) if setting.name == "seeds")
    given = set()
    for choice in setting.choices:
        painter = Painter()
        faces = Faces(240, 200, faces_of(LEFT, RIGHT).frames * 2)
        refine(picture(2), faces, painter, HOST, settings_of(seed=100, seeds=choice))
        given.add(tuple(work.seed for work in painter.works))
    assert len(given) == len(setting.choices)


def test_images_of_a_batch_are_drawn_alike_or_each_for_itself() -> None:
    def drawn(seeds: str, **how: object) -> tuple[list[int], list[list[str]]]:
        painter = Painter()
        faces = Faces(240, 200, faces_of(LEFT, RIGHT).frames * 8)
        how = {"prompt": "{a|b|c|d|e|f}", "negative_prompt": "[RND] x [SEP] y", "seed": 7} | how
        refine(picture(8), faces, painter, HOST, settings_of(seeds=seeds, **how))
        works = painter.works
        texts = [[f"{work.prompt} {work.negative}" for work in works[at : at + 2]] for at in range(0, 16, 2)]
        return [work.seed for work in works], texts

    seeds, texts = drawn("each face")
    assert seeds == [7, 8] * 8
    assert texts == [texts[0]] * 8
    seeds, own = drawn("each image and face")
    assert seeds == [7 + 1000 * image + face for image in range(8) for face in range(2)]
    assert own[0] == texts[0]
    assert len({text for image in own for text in image}) > 4
    assert {image[0][-1] for image in own} == {"x", "y"}
    # What a seed gives in the first image it gives everywhere, and the largest seeds begin anew.
    assert drawn("each image and face", seed=1007)[1][0] == own[1]
    assert drawn("each image and face", seed=2**64 - 1)[0][:3] == [2**64 - 1, 0, 999]


def test_the_order_of_faces_does_not_matter() -> None:
    frames = picture()
    near = (90.0, 60.0, 140.0, 120.0)
    one, two = Face(LEFT, index=0), Face(near, index=1)

    def paint(work: Repaint) -> Tensor:
        shade = (work.seed % 2) * 0.5 + 0.25
        return torch.full_like(work.pixels, shade)

    settings = settings_of(dilation=60, feather=30)
    first = refine(frames, Faces(240, 200, ((one, two),)), Painter(paint), HOST, settings)
    second = refine(frames, Faces(240, 200, ((two, one),)), Painter(paint), HOST, settings)
    assert torch.allclose(first.frames, second.frames, atol=1e-6)


def test_of_faces_that_meet_the_later_one_is_painted_on_the_earlier_one() -> None:
    frames = picture()
    near = (50.0, 70.0, 100.0, 120.0)
    seen: list[Tensor] = []

    def paint(work: Repaint) -> Tensor:
        seen.append(work.pixels.clone())
        return torch.full_like(work.pixels, float(work.seed))

    for boxes in ((LEFT, near), (LEFT, near, RIGHT)):
        seen.clear()
        painter = Painter(paint)
        done = refine(frames, faces_of(*boxes), painter, HOST, settings_of(colour_match=0.0))
        first, second = painter.works[:2]
        x, y = (int(value) for value in apply(second.window.matrix, torch.tensor([[55.0, 90.0]]).double())[0])
        # It sees the black of the first one where they meet, and what surrounds them as it was.
        assert float(seen[1][y, x].max()) == 0
        assert torch.equal(seen[0], extract_window(frames, first.window))
        # Each pixel is of one of them, but for the edges: two that fade into each other are seen twice.
        both = done.frames[0, 75:105, 55:68]
        assert float(both.min()) == 1
        assert float(done.frames[0, 62:108, 35:42].max()) == 0
        assert float((done.changed[0, 62:108, 35:95] == 1).float().mean()) > 0.7
        assert float(done.changed.max()) == 1
        alone = frames[0][done.changed[0] == 0]
        assert torch.equal(done.frames[0][done.changed[0] == 0], alone)


def test_faces_that_do_not_meet_see_each_other_as_they_were() -> None:
    frames, beside = picture(), (95.0, 60.0, 135.0, 110.0)

    def paint(work: Repaint) -> Tensor:
        assert torch.equal(work.pixels, extract_window(frames, work.window))
        return white(work)

    painter = Painter(paint)
    refine(frames, faces_of(LEFT, beside), painter, HOST, settings_of(colour_match=0.0))
    (left, _), _, (right, _), _ = painter.works[1].window.corners
    assert left < LEFT[2] < right


def test_what_is_changed_by_one_face_after_the_other_is_told() -> None:
    frames = picture()
    near = (50.0, 70.0, 100.0, 120.0)
    how = settings_of(colour_match=0.0, strength=0.5, feather=0)
    done = refine(torch.zeros_like(frames), faces_of(LEFT, near), Painter(white), HOST, how)
    # White on black: as much was changed as is white now.
    torch.testing.assert_close(done.changed[0], done.frames[0, ..., 0], atol=1e-5, rtol=0)
    assert float(done.changed.max()) == pytest.approx(0.75)


def test_a_tint_of_the_vae_is_taken_off() -> None:
    frames = picture()
    tint = torch.tensor([0.06, -0.03, 0.02])

    def tinted(work: Repaint) -> Tensor:
        return (work.pixels + tint).clamp(0, 1)

    def error(colour: float) -> float:
        done = refine(frames, faces_of(LEFT), Painter(tinted), HOST, settings_of(colour_match=colour))
        return float((done.frames - frames)[done.changed == 1].abs().mean())

    assert error(0.0) > 0.03
    assert error(1.0) < 0.25 * error(0.0)
    assert error(1.0) < error(0.5) < error(0.0)


def test_a_few_pixels_of_surroundings_say_nothing_of_the_colour() -> None:
    """At this dilation 0.7 % of the crop are not repainted; of a crop with more of them a tint is taken off."""
    frames = picture()

    def tinted(work: Repaint) -> Tensor:
        return (work.pixels + torch.tensor([0.06, -0.03, 0.02])).clamp(0, 1)

    def refined(dilation: int, colour: float) -> Tensor:
        how = settings_of(dilation=dilation, crop_factor=2.0, feather=1, noise_feather=1, colour_match=colour)
        return refine(frames, faces_of(LEFT), Painter(tinted), HOST, how).frames

    assert torch.equal(refined(27, 1.0), refined(27, 0.0))
    assert not torch.equal(refined(20, 1.0), refined(20, 0.0))


def test_what_is_painted_does_not_change_the_colour_it_is_given() -> None:
    """The statistics leave the painted part out: a face painted red stays red."""
    frames = picture()

    def red(work: Repaint) -> Tensor:
        painted = torch.zeros_like(work.pixels)
        painted[..., 0] = 0.9
        return torch.lerp(work.pixels, painted, work.mask[..., None])

    done = refine(frames, faces_of(LEFT), Painter(red), HOST, settings_of(colour_match=1.0))
    inside = done.frames[0][done.changed[0] == 1].mean(0)
    assert float(inside[0]) > 0.85
    assert float(inside[1:].max()) < 0.05


def test_cycles_go_on_from_the_last_result() -> None:
    def darker(work: Repaint) -> Tensor:
        return torch.lerp(work.pixels, work.pixels * 0.5, work.mask[..., None])

    means = []
    for cycles in (1, 2, 3):
        painter = Painter(darker)
        done = refine(picture(), faces_of(LEFT), painter, HOST, settings_of(cycles=cycles, colour_match=0.0))
        assert len(painter.works) == cycles
        means.append(float(done.frames[0][done.changed[0] == 1].mean()))
    assert means[1] == pytest.approx(means[0] / 2, rel=0.02)
    assert means[2] == pytest.approx(means[0] / 4, rel=0.02)


@pytest.mark.parametrize(("power", "most"), [(2.0, "small"), (-0.5, "large"), (-1.0, "large"), (-10.0, "large")])
def test_denoise_can_depend_on_the_size(power: float, most: str) -> None:
    """ADetailer's formula, for either sign."""
    painter = Painter()
    boxes = LEFT, (100, 20, 230, 180), (-10.0, -10.0, 260.0, 220.0)
    refine(picture(), faces_of(*boxes), painter, HOST, settings_of(denoise=0.5, size_power=power))
    small, large, *whole = (work.denoise for work in painter.works)
    assert (small > large) == (most == "small")
    for denoise, area in ((small, 40 * 50), (large, 130 * 160)):
        assert denoise == pytest.approx(min(0.5 * (1 - area / (240 * 200)) ** power, 1))
    # A face as large as the image.
    assert whole == ([] if power > 0 else [1])


def test_prompts_go_to_faces_in_reading_order() -> None:
    painter = Painter()
    refine(picture(), faces_of(LEFT, RIGHT), painter, HOST, settings_of(prompt="a man [SEP] a woman"))
    assert [work.prompt for work in painter.works] == ["a man", "a woman"]
    skipped = Painter()
    done = refine(picture(), faces_of(LEFT, RIGHT), skipped, HOST, settings_of(prompt="[SKIP] [SEP] a woman"))
    assert [work.prompt for work in skipped.works] == ["a woman"]
    assert done.outcomes[0][0].reason is not None
    assert "[SKIP]" in done.outcomes[0][0].reason
    based = Painter()
    source = PromptSource(base="a portrait", negative_base="blurry")
    refine(picture(), faces_of(LEFT), based, HOST, settings_of(prompt="[PROMPT], smiling"), source)
    assert based.works[0].prompt == "a portrait, smiling"


def test_a_prompt_that_cannot_be_read_says_which_one() -> None:
    with pytest.raises(PromptError, match="negative prompt"):
        refine(picture(), faces_of(LEFT), Painter(), HOST, settings_of(negative_prompt="{a|b"))


def test_one_progress_counts_faces_cycles_and_steps() -> None:
    host, painter = CountingHost(), Painter()
    refine(picture(), faces_of(LEFT, RIGHT), painter, host, settings_of(cycles=2, steps=3))
    assert host.totals == [12]
    assert host.told == 12


def test_progress_reaches_its_end_where_faces_are_left_out_or_fail() -> None:
    def broken(work: Repaint) -> Tensor:
        return torch.full_like(work.pixels, float("nan")) if work.seed == 0 else torch.ones_like(work.pixels)

    region = torch.zeros(1, 200, 240)
    region[..., :100] = 1
    for function, limits in ((white, region), (broken, None)):
        host = CountingHost()
        settings = settings_of(cycles=2, steps=10, on_error="skip")
        done = refine(picture(), faces_of(LEFT, RIGHT), Painter(function), host, settings, region=limits)
        assert sum(outcome.action == "skipped" for outcome in done.outcomes[0]) == 1
        assert [host.told] == host.totals == [40]


def test_merged_faces_are_painted_once() -> None:
    painter = Painter(white)
    done = refine(picture(), faces_of(LEFT, RIGHT), painter, HOST, settings_of(merge="merge", colour_match=0.0))
    assert len(painter.works) == 1
    assert [outcome.action for outcome in done.outcomes[0]] == ["refined", "refined"]
    assert float(done.frames[0, 85, 50].min()) == pytest.approx(1)
    assert float(done.frames[0, 100, 175].min()) == pytest.approx(1)
    assert float(done.changed[0, 90, 110]) == 0
    inverted = refine(picture(), faces_of(LEFT, RIGHT), Painter(white), HOST, settings_of(merge="merge and invert"))
    assert float(inverted.changed[0, 85, 50]) == 0
    assert float(inverted.changed[0, 5, 5]) == float(inverted.changed[0, 90, 110]) == 1


@pytest.mark.parametrize("roll", [None, 35.0, -120.0])
def test_nothing_changes_further_from_a_face_than_its_mask_reaches(roll: float | None) -> None:
    done = refine(picture(), faces_of((100, 80, 140, 130), roll=roll), Painter(white), HOST, settings_of())
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(240.0), indexing="ij")
    far = torch.hypot(x - 120, y - 105) > 0.75 * math.hypot(40, 50)
    assert float(done.changed[0][far].max()) == 0
    assert float(done.changed[0, 105, 120]) == 1


def test_a_region_limits_what_changes() -> None:
    region = torch.zeros(1, 200, 240)
    region[..., :50] = 1
    done = refine(picture(), faces_of(LEFT, RIGHT), Painter(white), HOST, settings_of(), region=region)
    assert float(done.changed[0, :, 50:].max()) == 0
    assert float(done.changed[0, 85, 40]) == 1
    assert done.outcomes[0][1].reason == "the mask leaves nothing of it"
    frames = picture()
    assert refine(frames, faces_of(RIGHT), Painter(white), HOST, settings_of(), region=region).frames is frames


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_restorer_works_on_the_same_faces(when: str) -> None:
    restorer, network = restorer_of(HOST)
    painter = Painter()
    done = refine(picture(), faces_of(LEFT), painter, HOST, settings_of(restore=when), restorer=restorer)
    assert network.calls == 1
    assert float((done.frames - picture()).abs().max()) > 0.1
    seen = painter.works[0].pixels
    untouched = Painter()
    refine(picture(), faces_of(LEFT), untouched, HOST, settings_of())
    assert torch.equal(seen, untouched.works[0].pixels) == (when == "after")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("prompt", ["[SKIP] [SEP] smiling", "smiling [SEP] [SKIP]", "[SKIP]", "smiling [SEP] [STOP]"])
def test_a_face_that_its_prompt_leaves_out_is_not_restored_either(when: str, prompt: str) -> None:
    restorer, _ = restorer_of(HOST)
    frames = picture()
    done = refine(
        frames, faces_of(LEFT, RIGHT), Painter(), HOST, settings_of(restore=when, prompt=prompt), restorer=restorer
    )
    for outcome, columns in zip(done.outcomes[0], (slice(0, 100), slice(140, 240)), strict=True):
        same = torch.equal(done.frames[:, :, columns], frames[:, :, columns])
        assert same == (outcome.action == "skipped")


@pytest.mark.parametrize("when", ["before", "after"])
def test_strength_acts_on_the_restorer_too(when: str) -> None:
    restorer, _ = restorer_of(HOST)

    def change(strength: float) -> float:
        settings = settings_of(restore=when, strength=strength)
        done = refine(picture(), faces_of(LEFT), Painter(), HOST, settings, restorer=restorer)
        return float((done.frames - picture()).abs().max())

    assert change(0.0) == 0
    assert 0 < change(0.01) < 0.03 * change(1.0)
    assert change(0.3) < 0.6 * change(1.0)


class FailingRestorer:
    """Gives rubbish for every crop."""

    name, architecture, task, scale, acts_on_fidelity, template = (
        "pretended restorer",
        "none",
        "restore",
        1,
        False,
        FFHQ,
    )

    def crop_size(self, native: float) -> int:
        return 64

    def restore(self, crops: Tensor, *more: object) -> Tensor:
        if len(crops):
            raise InvalidOutputError(self.name, "crop 0 of the batch", (0,))
        return crops


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_the_restorer_failed_on_is_told(when: str) -> None:
    settings = settings_of(restore=when, on_error="skip")
    done = refine(picture(), faces_of(LEFT, RIGHT), Painter(white), HOST, settings, restorer=FailingRestorer())
    assert [outcome.action for outcome in done.outcomes[0]] == ["refined", "refined"]
    text = outcome_report(done.outcomes, "refined")
    assert text.count("not restored: pretended restorer failed on it") == 2


def test_a_face_that_was_restored_and_could_not_be_painted_is_told_so() -> None:
    restorer, _ = restorer_of(HOST)
    nothing = Painter(lambda work: torch.full_like(work.pixels, float("nan")))
    done = refine(picture(), faces_of(LEFT), nothing, HOST, settings_of(on_error="skip"), restorer=restorer)
    ((outcome,),) = done.outcomes
    assert (outcome.action, outcome.remark) == ("restored", "pretended failed on it")
    assert float((done.frames - picture()).abs().max()) > 0.1


def test_given_noise_levels_stand_in_for_denoise() -> None:
    for denoise in (0.0, 0.4):
        painter = Painter(white, knows_levels=True)
        done = refine(picture(), faces_of(LEFT), painter, HOST, settings_of(denoise=denoise, size_power=4.0))
        ((outcome,),) = done.outcomes
        assert (outcome.action, outcome.denoise) == ("refined", None)
        assert len(painter.works) == 1
    assert "denoise" not in outcome_report(done.outcomes, "refined")


def test_where_there_is_no_step_nothing_is_said_to_be_done() -> None:
    frames, painter = picture(), Painter(white, knows_levels=True)
    painter.steps = lambda sampling: 0  # type: ignore[method-assign]
    done = refine(frames, faces_of(LEFT), painter, HOST, settings_of())
    assert done.frames is frames
    assert done.outcomes[0][0].reason == "there is no step to sample"


def test_faces_that_size_power_leaves_no_denoise_and_those_outside_are_left_alone() -> None:
    frames, painter = picture(), Painter(white)
    whole, outside = (-10.0, -10.0, 260.0, 220.0), (300.0, 20.0, 340.0, 60.0)
    done = refine(frames, faces_of(whole, outside, roll=45.0), painter, HOST, settings_of(size_power=2.0))
    assert done.frames is frames and painter.works == []
    assert [outcome.reason for outcome in done.outcomes[0]] == ["size_power leaves it no denoise", "outside the image"]


def test_size_power_leaves_no_merged_face_out() -> None:
    whole, painter = (-10.0, -10.0, 260.0, 220.0), Painter(white)
    how = settings_of(size_power=2.0, denoise=0.5, merge="merge")
    done = refine(picture(), faces_of(LEFT, whole), painter, HOST, how)
    assert [(outcome.action, outcome.denoise) for outcome in done.outcomes[0]] == [("refined", 0.5)] * 2
    (work,) = painter.works
    assert work.denoise == 0.5
    assert float(done.changed.min()) > 0


def test_landmarks_tell_the_tilt_where_the_detector_does_not() -> None:
    lying = tuple((50 - (y - 80), 80 + (x - 50)) for x, y in ((40, 75), (60, 75), (50, 85), (42, 97), (58, 97)))
    painter = Painter()
    refine(picture(), faces_of(LEFT, landmarks=lying), painter, HOST, settings_of())
    assert painter.works[0].window.roll == 90
    refine(picture(), faces_of(LEFT, landmarks=lying, roll=0.0), painter, HOST, settings_of())
    assert painter.works[1].window.roll == 0


def test_rubbish_stops_the_work_or_is_reported() -> None:
    def broken(work: Repaint) -> Tensor:
        return torch.full_like(work.pixels, float("nan")) if work.seed == 1 else torch.ones_like(work.pixels)

    with pytest.raises(RefinementError, match=r"face 2 of image 1.*fp32"):
        refine(picture(), faces_of(LEFT, RIGHT), Painter(broken), HOST, settings_of())
    done = refine(picture(), faces_of(LEFT, RIGHT), Painter(broken), HOST, settings_of(on_error="skip"))
    assert [outcome.action for outcome in done.outcomes[0]] == ["refined", "skipped"]
    assert torch.equal(done.frames[0, :, 160:], picture()[0, :, 160:])


def test_out_of_memory_names_the_face_and_its_size() -> None:
    def full(work: Repaint) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory, pretended")

    with pytest.raises(MemoryError, match=r"face 1 of image 1, in a crop of \d+x\d+.*max_size"):
        refine(picture(), faces_of(LEFT), Painter(full), HOST, settings_of())


def test_a_model_in_which_pytorch_fails_is_named_with_the_face() -> None:
    """Such as one that does not go with its prompt."""

    def fail(work: Repaint) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (77x2048 and 768x320)")

    with pytest.raises(RuntimeError, match=r"^\S+ failed at face 1 of image 1: mat1 and mat2 shapes cannot"):
        refine(picture(), faces_of(LEFT), Painter(fail), HOST, settings_of())


def test_other_errors_and_interrupts_pass_through() -> None:
    class Stop(BaseException):
        pass

    for error in (Stop(), RuntimeError("something else")):

        def fail(work: Repaint, error: BaseException = error) -> Tensor:
            raise error

        with pytest.raises(type(error)):
            refine(picture(), faces_of(LEFT), Painter(fail), HOST, settings_of())


def test_a_picture_that_is_no_numbers_is_refused() -> None:
    frames = picture()
    frames[0, 80, 50, 1] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        refine(frames, faces_of(LEFT), Painter(), HOST, settings_of())


def test_output_of_another_size_is_refused() -> None:
    with pytest.raises(RefinementError, match="does not fit"):
        refine(picture(), faces_of(LEFT), Painter(lambda work: work.pixels[:-8]), HOST, settings_of())


def test_faces_of_another_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="240x200"):
        refine(picture(width=100), faces_of(LEFT), Painter(), HOST, settings_of())


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 200), (240, 5)])
def test_pictures_of_a_few_pixels(width: int, height: int) -> None:
    frames = picture(width=width, height=height)
    faces = Faces(width, height, ((Face((-1.0, -1.0, 30.0, 30.0)),),))
    done = refine(frames, faces, Painter(white), HOST, settings_of(colour_match=0.0))
    assert done.frames.shape == frames.shape
    assert bool(done.frames.isfinite().all())
    assert float(done.frames.max()) == pytest.approx(1)


def test_crops_have_sides_that_the_model_takes() -> None:
    for multiple in (8, 16, 64):
        painter = Painter(multiple=multiple)
        refine(picture(), faces_of(LEFT, RIGHT), painter, HOST, settings_of())
        for work in painter.works:
            assert work.pixels.shape[0] % multiple == work.pixels.shape[1] % multiple == 0
            assert work.mask.shape == work.pixels.shape[:2] == (work.window.height, work.window.width)
