"""Select Faces, on the stand-in for ComfyUI or on a real one (see ``tests/comfy_side.py``)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from visage.faces.face import Face, Faces
from visage.faces.selection import SelectSettings
from visage.fields import build, settings_of

DEFAULTS: dict[str, Any] = {setting.name: setting.default for setting in settings_of(SelectSettings)}
LARGE = Face((-0.5, -0.5, 49.5, 49.5), score=0.8, index=0)
SMALL = Face((99.5, 9.5, 119.5, 29.5), score=0.9, index=1)
FACES = Faces(160, 120, ((LARGE, SMALL), (), (dataclasses.replace(SMALL, index=0),)))


def select(pack: ModuleType, faces: Faces = FACES, **changes: Any) -> Any:
    return pack.SelectFaces.execute(faces, **DEFAULTS | changes)


def boxes(faces: Faces) -> list[list[Any]]:
    return [[face.box for face in frame] for frame in faces.frames]


def test_by_default_every_face_is_taken(pack: ModuleType) -> None:
    assert build(SelectSettings, DEFAULTS) == SelectSettings()
    faces, others, report, count = select(pack).result
    assert faces == FACES
    assert others == FACES.with_frames([[], [], []])
    assert report.splitlines() == [
        "Image 1: 2 of 2 faces taken",
        "Image 2: 0 of 0 faces taken",
        "Image 3: 1 of 1 face taken",
    ]
    assert count == 3


def test_faces_come_in_their_new_order_and_the_others_with_their_old_numbers(pack: ModuleType) -> None:
    faces, others, _, count = select(pack, order="surest first").result
    assert boxes(faces) == [[SMALL.box, LARGE.box], [], [SMALL.box]]
    assert [face.index for face in faces.frames[0]] == [0, 1]
    faces, others, report, count = select(pack, order="surest first", count=1).result
    assert boxes(faces) == [[SMALL.box], [], [SMALL.box]]
    assert others.frames == ((LARGE,), (), ())
    assert "- face 1 (50 px at 24, 24): number 2 in the order; only the first is asked for" in report
    assert count == 2
    faces = select(pack, min_size=21).result[0]
    assert boxes(faces) == [[LARGE.box], [], []]
    faces, _, report, _ = select(pack, indices="-1").result
    assert boxes(faces) == [[SMALL.box], [], [SMALL.box]]
    # Indices are counted from 0, and so is what is told of them.
    assert "- face 1 (50 px at 24, 24): at place 0 of the order (from 0), which is not asked for" in report


def test_the_report_is_shown_on_the_node(pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    output = select(pack, min_size=21)
    assert output.ui.as_dict()["text"] == (output.result[2],)
    schema = pack.SelectFaces.GET_SCHEMA()
    # Without it a page that is loaded anew does not get the text again.
    assert schema.has_intermediate_output


def test_a_node_shows_the_totals_of_many_images(pack: ModuleType) -> None:
    many = Faces(160, 120, ((LARGE, SMALL),) * 20)
    output = select(pack, many, count=1)
    assert len(output.result[2].splitlines()) == 40
    (shown,) = output.ui.as_dict()["text"]
    assert shown.startswith("20 images: 20 of 40 faces taken\nImage 1: 1 of 2 faces taken\n")
    assert shown.endswith("… and 14 more images: see the output report")


def test_a_region_takes_or_leaves_faces(pack: ModuleType) -> None:
    left = torch.zeros(1, 120, 160)
    left[..., :60] = 1
    assert boxes(select(pack, region=left).result[0]) == [[LARGE.box], [], []]
    assert boxes(select(pack, region=left, region_rule="outside").result[0]) == [[SMALL.box], [], [SMALL.box]]
    each = torch.cat([left, left, 1 - left])
    assert boxes(select(pack, region=each).result[0]) == [[LARGE.box], [], [SMALL.box]]
    assert boxes(select(pack, region=left.half()).result[0]) == [[LARGE.box], [], []]
    assert boxes(select(pack, region=left[0]).result[0]) == [[LARGE.box], [], []]


def test_a_region_of_another_size_is_an_error_but_the_mask_of_no_alpha_is_none(pack: ModuleType) -> None:
    for wrong in (torch.ones(1, 64, 64), torch.ones(2, 120, 160), torch.zeros(1, 160, 120)):
        with pytest.raises(ValueError, match="160 x 120 pixels, for each of 3"):
            select(pack, region=wrong)
    with pytest.raises(ValueError, match="Mask 1 holds values that are no numbers"):
        select(pack, region=torch.full((1, 120, 160), torch.nan))
    assert select(pack, region=torch.zeros(1, 64, 64)).result[0] == FACES


def test_indices_that_cannot_be_read_are_refused_before_anything_runs(pack: ModuleType) -> None:
    assert pack.SelectFaces.validate_inputs(indices="0,2-4,-1") is True
    assert pack.SelectFaces.validate_inputs(indices="") is True
    assert pack.SelectFaces.validate_inputs(indices=None) is True
    assert "'first' is no place" in pack.SelectFaces.validate_inputs(indices="first")
    assert "runs backwards" in pack.SelectFaces.validate_inputs(indices="4-2")
    with pytest.raises(ValueError, match="no place"):
        select(pack, indices="first")


def test_the_faces_of_a_photograph_are_chosen_by_size(pack: ModuleType, data: Path) -> None:
    import numpy as np
    from PIL import Image
    from visage.models.detectors import DetectionSettings, load_detector
    from visage.models.host import TorchHost
    from visage.nodes.images import frames_of

    photograph = data / "photos" / "dlib_faces" / "bald_guys.jpg"
    picture = torch.from_numpy(np.asarray(Image.open(photograph).convert("RGB"), dtype=np.float32) / 255)[None]
    detector = load_detector(data / "weights" / "yolov8n-face.pt", TorchHost())
    found = detector.detect(frames_of(picture), DetectionSettings())
    faces = Faces(picture.shape[2], picture.shape[1], tuple(map(tuple, found)))
    chosen, others, report, count = select(pack, faces, order="largest first", count=2).result
    assert faces.count > 3
    assert count == 2
    areas = [face.width * face.height for face in faces.frames[0]]
    assert [face.width * face.height for face in chosen.frames[0]] == sorted(areas, reverse=True)[:2]
    assert report.count("only the first 2 are asked for") == others.count == faces.count - 2
