"""The restore job with real, tiny networks of the Real-ESRGAN kind: one that changes nothing, one that brightens."""

import copy
import math
import weakref
from dataclasses import replace

import pytest
import torch
from visage.faces.alignment import FFHQ, GPEN
from visage.faces.colour import match_colour
from visage.faces.face import Face, Faces
from visage.faces.resizing import resize_frames
from visage.faces.selection import SkipSettings
from visage.models.host import TorchHost
from visage.models.inference import InvalidOutputError
from visage.models.restorers import Restorer, load_restorer
from visage.models.restorers.loading import load_network
from visage.pipeline import BlendSettings, RestorationError, RestoreSettings, blending, restore, restoring
from visage.tests.counting_host import CountingHost

SETTINGS = RestoreSettings(blend=BlendSettings(colour=0))


@pytest.fixture(scope="session")
def host() -> TorchHost:
    return TorchHost("cpu", quiet=True)


@pytest.fixture(scope="session")
def unchanging(host, upscaler_file) -> Restorer:
    return load_restorer(upscaler_file(1), host)


@pytest.fixture(scope="session")
def brightening(host, upscaler_file) -> Restorer:
    return load_restorer(upscaler_file(2, 0.2), host)


@pytest.fixture
def frames(generator) -> torch.Tensor:
    return torch.rand(3, 160, 240, 3, generator=generator) * 0.6 + 0.1


def face(x: float, y: float, side: float, degrees: float = 0, index: int = 0) -> Face:
    turn, unit, half = math.radians(degrees), side / 512, side / 2.7
    points = []
    for px, py in FFHQ.points:
        dx, dy = (px - 255.5) * unit, (py - 255.5) * unit
        points.append((x + dx * math.cos(turn) - dy * math.sin(turn), y + dx * math.sin(turn) + dy * math.cos(turn)))
    return Face((x - half, y - half, x + half, y + half), landmarks=tuple(points), index=index)


def three_frames(*frames_of_faces: tuple[Face, ...]) -> Faces:
    return Faces(240, 160, frames_of_faces)


FACES = three_frames((face(60, 60, 90, 12), face(180, 90, 40, -30, 1)), (), (face(120, 80, 200),))


def test_a_network_that_changes_nothing_changes_next_to_nothing(frames, unchanging, host) -> None:
    # Noise holds detail that no crop can: compare on something that can be resampled.
    smooth = resize_frames(resize_frames(frames, 0.1), 10)
    done = restore(smooth, FACES, unchanging, host, SETTINGS)
    assert float((done.frames - smooth).abs().mean()) * 255 < 0.1
    assert torch.equal(done.frames[1], smooth[1])


def test_what_changed_is_told_and_all_else_keeps_its_bits(frames, brightening, host) -> None:
    done = restore(frames, FACES, brightening, host, SETTINGS)
    assert torch.equal(done.frames[done.changed == 0], frames[done.changed == 0])
    difference = (done.frames - frames).mean(-1)
    assert float(difference[0, 60, 60]) > 0.1
    assert float(done.changed[0, 60, 60]) == pytest.approx(1)
    assert [[outcome.action for outcome in frame] for frame in done.outcomes] == [["restored"] * 2, [], ["restored"]]
    assert [len(frame) for frame in done.outcomes] == [2, 0, 1]
    assert done.outcomes[0][1].enlargement > done.outcomes[2][0].enlargement


def test_no_face_and_no_strength_give_the_very_frames_back(frames, brightening, host) -> None:
    none = restore(frames, three_frames((), (), ()), brightening, host, SETTINGS)
    assert none.frames is frames
    assert none.changed.shape == (3, 160, 240)
    weak = restore(frames, FACES, brightening, host, replace(SETTINGS, blend=BlendSettings(strength=0)))
    assert weak.frames is frames
    assert weak.outcomes[0][0].reason == "strength is 0"


def test_faces_left_out_carry_their_reason(frames, brightening, host) -> None:
    done = restore(frames, FACES, brightening, host, replace(SETTINGS, skip=SkipSettings(min_size=50)))
    assert [outcome.action for outcome in done.outcomes[0]] == ["restored", "skipped"]
    assert done.outcomes[0][1].reason == "smaller than 50 px"
    assert torch.equal(done.frames[0, 70:110, 160:200], frames[0, 70:110, 160:200])


@pytest.mark.parametrize("shape", ["square", "ellipse", "hull"])
def test_a_face_left_out_keeps_its_pixels_from_the_crop_of_its_neighbour(frames, brightening, host, shape) -> None:
    settings = replace(SETTINGS, blend=BlendSettings(colour=0, mask=shape), skip=SkipSettings(min_size=70))
    large, small = face(90, 80, 110), face(128, 80, 60, index=1)  # boxes of 81 and 44 pixels
    done = restore(frames[:1], Faces(240, 160, ((large, small),)), brightening, host, settings)
    assert [outcome.action for outcome in done.outcomes[0]] == ["restored", "skipped"]
    difference = (done.frames - frames[:1]).mean(-1)[0]
    assert float(difference[76:84, 86:94].mean()) > 0.14
    assert float(difference[76:84, 124:132].mean()) < 0.06
    alone = restore(frames[:1], Faces(240, 160, ((large,),)), brightening, host, settings)
    assert shape != "square" or float((alone.frames - frames[:1]).mean(-1)[0, 76:84, 124:132].mean()) > 0.14


@pytest.mark.parametrize("shape", ["square", "ellipse", "hull"])
def test_every_mask_shape_keeps_the_middle_and_the_surroundings(frames, brightening, host, shape) -> None:
    done = restore(frames, FACES, brightening, host, replace(SETTINGS, blend=BlendSettings(colour=0, mask=shape)))
    assert float(done.changed[0, 62, 60]) > 0.99
    assert float(done.changed[0, 140:].max()) == 0


def test_a_region_limits_the_change(frames, brightening, host) -> None:
    region = torch.zeros(1, 160, 240)
    region[..., :120] = 1
    done = restore(frames, FACES, brightening, host, SETTINGS, region=region)
    assert float(done.changed[2, :, 130:].max()) == 0
    assert torch.equal(done.frames[2, :, 130:], frames[2, :, 130:])
    assert float(done.changed[2, 80, 110]) > 0.9


def test_colour_is_kept_unless_asked_otherwise(frames, brightening, host) -> None:
    kept = restore(frames, FACES, brightening, host, replace(SETTINGS, blend=BlendSettings(colour=1)))
    brighter = restore(frames, FACES, brightening, host, SETTINGS)
    inside = kept.changed > 0.99
    assert abs(float((kept.frames - frames)[inside].mean())) < 0.01
    assert float((brighter.frames - frames)[inside].mean()) > 0.15


def test_faces_go_into_an_upscaled_background_at_the_same_place(frames, brightening, host) -> None:
    large = resize_frames(frames, 2)
    done = restore(frames, FACES, brightening, host, SETTINGS, background=large)
    small = restore(frames, FACES, brightening, host, SETTINGS)
    assert done.frames.shape == (3, 320, 480, 3)
    assert torch.equal(done.frames[1], large[1])
    halved = done.changed.reshape(3, 160, 2, 240, 2).mean((2, 4))
    assert float((halved - small.changed).abs().mean()) < 0.002


def test_alpha_and_half_precision_come_through(frames, brightening, host) -> None:
    rgba = torch.cat([frames, torch.full((3, 160, 240, 1), 0.25)], -1).half()
    done = restore(rgba, FACES, brightening, host, SETTINGS)
    assert done.frames.dtype == torch.float16
    assert torch.equal(done.frames[..., 3], rgba[..., 3])


def test_rubbish_is_an_error_that_names_model_and_face_or_a_reason(frames, host, upscaler_file) -> None:
    broken = load_restorer(upscaler_file(1, float("nan")), host)
    with pytest.raises(RestorationError, match=r"compact-x1-nan .* face 1 of image 1"):
        restore(frames, FACES, broken, host, SETTINGS)
    done = restore(frames, FACES, broken, host, replace(SETTINGS, on_error="skip"))
    assert torch.equal(done.frames, frames)
    assert done.outcomes[2][0].reason == "compact-x1-nan failed on it"


def test_frames_that_are_no_numbers_are_an_error(frames, brightening, host) -> None:
    frames[2, 80, 120] = float("nan")
    with pytest.raises(ValueError, match="Image 3"):
        restore(frames, FACES, brightening, host, SETTINGS)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"background": torch.zeros(3, 320, 500, 3)}, "no enlargement"),
        ({"background": torch.zeros(1, 320, 480, 3)}, "no enlargement"),
        ({"region": torch.zeros(1, 64, 64)}, "same size"),
        ({"region": torch.zeros(2, 160, 240)}, "same size"),
    ],
)
def test_what_does_not_fit_is_an_error(frames, brightening, host, extra, message) -> None:
    with pytest.raises(ValueError, match=message):
        restore(frames, FACES, brightening, host, SETTINGS, **extra)


def test_the_same_twice_gives_the_same_bits(frames, brightening, host) -> None:
    one, two = (restore(frames, FACES, brightening, host, RestoreSettings()) for _ in range(2))
    assert torch.equal(one.frames, two.frames)


def test_many_faces_go_in_groups_of_whole_frames(brightening, host, monkeypatch) -> None:

    frames = torch.rand(4, 160, 240, 3)
    crowd = Faces(240, 160, tuple((face(60, 60, 90), face(120, 60, 90, 0, 1)) for _ in range(4)))
    together = restore(frames, crowd, brightening, host, SETTINGS)
    monkeypatch.setattr(restoring, "_GROUP_PIXELS", 1)
    assert torch.equal(restore(frames, crowd, brightening, host, SETTINGS).frames, together.frames)


def test_a_restorer_gets_faces_as_it_was_trained_on_them_or_as_in_ffhq(frames, brightening, host) -> None:
    usual = restore(frames, FACES, brightening, host, SETTINGS)
    wider = copy.copy(brightening)
    wider.template = GPEN
    own = restore(frames, FACES, wider, host, SETTINGS)
    asked = restore(frames, FACES, wider, host, replace(SETTINGS, alignment="ffhq"))
    assert torch.equal(asked.frames, usual.frames)
    assert torch.equal(asked.changed, usual.changed)
    assert float(own.changed.sum() / usual.changed.sum()) == pytest.approx(1 / GPEN.face_scale**2, rel=0.06)
    oval = replace(SETTINGS, blend=BlendSettings(colour=0, mask="ellipse", feather=0.005))
    on_model, on_ffhq = (restore(frames, FACES, each, host, oval).changed for each in (wider, brightening))
    assert float(on_model.sum() / on_ffhq.sum()) == pytest.approx(1, rel=0.05)


def test_a_region_that_leaves_nothing_of_a_face_is_told_and_nothing_is_computed(frames, brightening, host) -> None:
    nothing = restore(frames, FACES, brightening, host, SETTINGS, region=torch.zeros(160, 240))
    assert nothing.frames is frames
    assert float(nothing.changed.max()) == 0
    assert {outcome.reason for frame in nothing.outcomes for outcome in frame} == {"the mask leaves nothing of it"}
    region = torch.zeros(1, 160, 240)
    region[..., :100] = 1
    done = restore(frames, FACES, brightening, host, SETTINGS, region=region)
    actions = [[outcome.action for outcome in frame] for frame in done.outcomes]
    assert actions == [["restored", "skipped"], [], ["restored"]]


def test_a_region_that_holds_no_numbers_is_refused(frames, brightening, host) -> None:
    region = torch.ones(1, 160, 240)
    region[0, 5, 7] = float("nan")
    with pytest.raises(ValueError, match="values in the mask that are no numbers"):
        restore(frames, FACES, brightening, host, SETTINGS, region=region)
    doubled = restore(frames, FACES, brightening, host, SETTINGS, region=torch.full((160, 240), 2.0))
    assert float(doubled.changed.max()) <= 1


def test_the_hull_of_landmarks_that_are_no_face_is_the_ellipse_of_the_box(frames, brightening, host) -> None:
    wild = ((130.0, 60.0), (70.0, 61.0), (71.0, 120.0), (140.0, 119.0), (60.0, 75.0))
    hull = replace(SETTINGS, blend=BlendSettings(colour=0, mask="hull"))
    good = face(100, 80, 100)
    changed = [
        restore(frames[:1], Faces(240, 160, ((replace(good, landmarks=marks),),)), brightening, host, hull).changed
        for marks in (wild, None, good.landmarks)
    ]
    assert torch.equal(changed[0], changed[1])
    assert not torch.equal(changed[0], changed[2])


def test_the_hull_is_as_large_in_the_frame_whatever_the_alignment(frames, brightening, host) -> None:
    hull = replace(SETTINGS, blend=BlendSettings(colour=0, mask="hull", feather=0.005))
    like_gpen = copy.copy(brightening)
    like_gpen.template = GPEN
    one, other = (
        restore(frames[:1], Faces(240, 160, ((face(120, 80, 130),),)), restorer, host, hull).changed.sum()
        for restorer in (brightening, like_gpen)
    )
    assert float(other / one) == pytest.approx(1, abs=0.03)


def test_each_frame_has_a_region_of_its_own(frames, brightening, host) -> None:
    region = torch.zeros(2, 160, 240)
    region[1] = 1
    one = face(120, 80, 100)
    done = restore(frames[:2], Faces(240, 160, ((one,), (one,))), brightening, host, SETTINGS, region=region)
    assert [outcome.action for (outcome,) in done.outcomes] == ["skipped", "restored"]
    assert torch.equal(done.frames[0], frames[0])


class EverySecond:
    """A restorer that gives rubbish for dark crops, and counts its runs."""

    name, architecture, task, scale, acts_on_fidelity, template = "every second", "none", "restore", 1, False, FFHQ

    def __init__(self) -> None:
        self.crops = 0

    def crop_size(self, native: float) -> int:
        return 64

    def restore(self, crops: torch.Tensor, options=None, progress=None, hidden=None) -> torch.Tensor:
        self.crops += len(crops)
        bad = tuple(index for index, crop in enumerate(crops) if float(crop.mean()) < 0.3)
        if bad:
            raise InvalidOutputError(self.name, "some", bad[:1])
        return crops.clamp(max=0.9)


def test_faces_that_fail_do_not_have_all_others_restored_again_and_again(host) -> None:
    frames = torch.full((1, 100, 800, 3), 0.8)
    frames[:, :, 400:] = 0.1
    several = tuple(face(30 + 50 * (number // 2) + 400 * (number % 2), 50, 40, index=number) for number in range(14))
    restorer = EverySecond()
    faces = Faces(800, 100, (several,))
    done = restore(frames, faces, restorer, host, replace(SETTINGS, on_error="skip"))
    actions = [outcome.action for outcome in done.outcomes[0]]
    assert actions == ["restored", "skipped"] * 7
    assert restorer.crops <= 2 * 14
    assert torch.equal(done.frames[:, :, 400:], frames[:, :, 400:])


def test_progress_reaches_its_end_where_faces_fail(upscaler_file) -> None:
    """A batch that a network fails on goes through it once more, face by face."""

    class Fails(Restorer):
        def restore(self, crops, options=None, progress=None, hidden=None):
            restored = super().restore(crops, options, progress, hidden)
            bad = tuple(index for index, crop in enumerate(crops) if float(crop.mean()) < 0.3)
            if bad:
                raise InvalidOutputError(self.name, "some", bad[:1])
            return restored

    host = CountingHost()
    frames = torch.full((1, 100, 800, 3), 0.8)
    frames[:, :, 400:] = 0.1
    several = tuple(face(30 + 50 * (number // 2) + 400 * (number % 2), 50, 40, index=number) for number in range(14))
    restorer = Fails(load_network(upscaler_file(1)), host)
    done = restore(frames, Faces(800, 100, (several,)), restorer, host, replace(SETTINGS, on_error="skip"))
    assert [outcome.action for outcome in done.outcomes[0]] == ["restored", "skipped"] * 7
    assert [host.told] == host.totals == [14]


def test_many_faces_in_a_frame_are_matched_in_colour_some_at_a_time(host, brightening, monkeypatch) -> None:
    """The same pixels as each for itself, and never more than eight crops at once."""
    counts = []

    def counted(images: torch.Tensor, *more: object) -> torch.Tensor:
        counts.append(len(images))
        return match_colour(images, *more)

    monkeypatch.setattr(blending, "match_colour", counted)
    generator = torch.Generator().manual_seed(3)
    frame = resize_frames(torch.rand(1, 20, 80, 3, generator=generator), 10)
    several = tuple(face(40 + 80 * (n % 10), 50 + 100 * (n // 10), 60, index=n) for n in range(20))
    look = RestoreSettings(blend=BlendSettings(colour=1))
    together = restore(frame, Faces(800, 200, (several,)), brightening, host, look).frames
    assert max(counts) == 8 and sum(counts) == 20
    alone = restore(frame, Faces(800, 200, ((several[13],),)), brightening, host, look).frames
    assert torch.equal(together[:, 130:170, 260:300], alone[:, 130:170, 260:300])


def test_the_crops_of_a_group_are_gone_before_those_of_the_next_are_made(
    frames, brightening, host, monkeypatch
) -> None:
    """A long video would else hold those of two groups at once."""
    blended: list[weakref.ref[object]] = []
    held = []
    blend, extract = restoring.blend, restoring.extract

    def blending_them(result, changed, canvas, patches, *more):
        blended.extend(weakref.ref(patch.pixels) for patch in patches)
        blend(result, changed, canvas, patches, *more)

    def extracting(*given):
        held.append(sum(pixels() is not None for pixels in blended))
        return extract(*given)

    monkeypatch.setattr(restoring, "_GROUP_PIXELS", 1)
    monkeypatch.setattr(restoring, "blend", blending_them)
    monkeypatch.setattr(restoring, "extract", extracting)
    restore(frames, FACES, brightening, host, SETTINGS)
    assert len(blended) == 3 and len(held) >= 2 and not any(held)
