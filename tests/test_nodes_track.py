"""Track Faces, on the stand-in for ComfyUI or on a real one (see ``tests/comfy_side.py``)."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.faces.face import Face, Faces
from visage.faces.tracking import TrackSettings
from visage.fields import build, settings_of

DEFAULTS: dict[str, Any] = {setting.name: setting.default for setting in settings_of(TrackSettings)}
LEFT = Face((20.0, 20.0, 60.0, 60.0))
RIGHT = Face((100.0, 30.0, 140.0, 70.0), index=1)
BOTH, ONE = (LEFT, RIGHT), (replace(RIGHT, index=0),)
FACES = Faces(160, 128, (BOTH, BOTH, ONE, BOTH, BOTH))


@pytest.fixture
def image(generator: torch.Generator) -> Tensor:
    """Five frames of 160 x 128 pixels, all alike."""
    return torch.rand(1, 128, 160, 3, generator=generator).expand(5, -1, -1, -1)


def track(pack: ModuleType, image: Tensor, faces: Faces = FACES, **given: Any) -> Any:
    return pack.TrackFaces.execute(image, faces, **{"preview": False} | DEFAULTS | given)


def test_faces_are_filled_in_and_keep_their_numbers(pack: ModuleType, image: Tensor) -> None:
    assert build(TrackSettings, DEFAULTS) == TrackSettings()
    output = track(pack, image)
    faces, report, number = output.result
    assert [[face.track for face in found] for found in faces.frames] == [[0, 1]] * 5
    assert (faces.width, faces.height) == (160, 128)
    assert faces.frames[2][0].box == pytest.approx(LEFT.box)
    assert report.splitlines() == [
        "2 of 2 people taken",
        "- face 1 (40 px at 40, 40): images 1 to 5, put in between in 1",
        "- face 2 (40 px at 120, 50): images 1 to 5",
    ]
    assert number == 2
    assert output.ui["text"] == (report,)
    assert "images" not in output.ui


def test_only_those_asked_for_are_taken(pack: ModuleType, image: Tensor) -> None:
    faces, _, number = track(pack, image, people="2").result
    assert [[face.index for face in found] for found in faces.frames] == [[1]] * 5
    assert number == 1


def test_a_cut_ends_everybody(pack: ModuleType, image: Tensor, generator: torch.Generator) -> None:
    other = torch.zeros(2, 128, 160, 3)
    faces = track(pack, torch.cat([image[:3], other])).result[0]
    assert [[face.track for face in found] for found in faces.frames] == [[0, 1]] * 2 + [[1], [2, 3], [2, 3]]


def test_the_preview_shows_where_somebody_is_new(pack: ModuleType, image: Tensor) -> None:
    late = FACES.with_frames([ONE, ONE, BOTH, BOTH, BOTH])
    assert len(track(pack, image, late, preview=True).ui["images"]) == 2
    assert len(track(pack, image, FACES, preview=True).ui["images"]) == 1
    nobody = FACES.with_frames([()] * 5)
    assert len(track(pack, image, nobody, preview=True).ui["images"]) == 1


def test_no_faces_and_a_single_image_pass(pack: ModuleType, image: Tensor) -> None:
    nobody = FACES.with_frames([()] * 5)
    assert track(pack, image, nobody).result == (nobody, "0 of 0 people taken", 0)
    faces, _, number = track(pack, image[:1], Faces(160, 128, (BOTH,))).result
    assert faces.frames == (tuple(replace(face, track=face.index) for face in BOTH),)
    assert number == 2


def test_wrong_inputs_are_named(pack: ModuleType, image: Tensor) -> None:
    with pytest.raises(ValueError, match=r"found in 5 image\(s\) of 160x128, but these are 3 image\(s\)"):
        track(pack, image[:3])
    with pytest.raises(ValueError, match="smoothing must be from 0 to 30, not 31"):
        track(pack, image, smoothing=31)
    with pytest.raises(ValueError, match="The track of face 1 of image 1 must be a whole number from 0 on, or None"):
        track(pack, image, Faces(160, 128, ((replace(LEFT, track="a"),),) * 5))  # type: ignore[arg-type]
    message = "'0' is no number of a person. Write numbers and ranges from 1 on, such as 1, 3-4."
    assert pack.TrackFaces.validate_inputs(people="0") == message
    assert pack.TrackFaces.validate_inputs(people="1, 2") is True
    assert pack.TrackFaces.validate_inputs(people=None) is True


def test_select_faces_keeps_who_is_who(pack: ModuleType, image: Tensor) -> None:
    from visage.faces.selection import SelectSettings

    tracked = track(pack, image).result[0]
    settings = {setting.name: setting.default for setting in settings_of(SelectSettings)} | {"order": "right to left"}
    chosen = pack.SelectFaces.execute(tracked, **settings).result[0]
    assert [(face.index, face.track) for face in chosen.frames[0]] == [(0, 1), (1, 0)]
