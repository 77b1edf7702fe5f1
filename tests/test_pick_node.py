"""Pick Faces, on the stand-in for ComfyUI or on a real one (see ``tests/comfy_side.py``)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from visage.faces.face import Face, Faces, numbered

IMAGE = torch.rand(2, 120, 160, 3, generator=torch.Generator().manual_seed(1))
LARGE, SMALL = numbered([Face((-0.5, -0.5, 49.5, 49.5), score=0.8), Face((99.5, 9.5, 119.5, 29.5), score=0.9)])
FACES = Faces(160, 120, ((LARGE, SMALL), ()))


def picked(pack: ModuleType, choice: str = "", image: torch.Tensor = IMAGE, faces: Faces = FACES) -> Any:
    return pack.PickFaces.execute(image, faces, choice=choice)


def test_an_empty_choice_takes_all(pack: ModuleType) -> None:
    faces, others, report, number = picked(pack).result
    assert (faces, others, number) == (FACES, FACES.with_frames([[], []]), 2)
    assert report.splitlines() == ["Image 1: 2 of 2 faces taken", "Image 2: 0 of 0 faces taken"]


def test_a_choice_sorts_the_faces_and_adds_drawn_ones(pack: ModuleType) -> None:
    faces, others, report, number = picked(pack, "leave 0,0,31.25,41.67; image 2: draw 50,50,10,10").result
    assert [[face.box for face in frame] for frame in faces.frames] == [[SMALL.box], [(79.5, 59.5, 95.5, 71.5)]]
    assert faces.frames[0][0].index == 0
    assert others.frames == ((LARGE,), ())
    assert "- face 1 (50 px at 24, 24): taken out by hand" in report
    assert "Image 2: 1 of 1 face taken" in report
    assert number == 2


def test_the_page_gets_the_pictures_with_the_places_of_the_faces(pack: ModuleType) -> None:
    shown = picked(pack, "none").ui
    assert shown["choice"] == ["none"]
    assert shown["text"][0].startswith("Image 1: 0 of 2 faces taken")
    first, second = shown["pick"]
    assert set(first["picture"]) >= {"filename"}
    assert (first["width"], first["height"], second["faces"]) == (160, 120, [])
    assert first["faces"] == [
        {"box": (0.0, 0.0, 31.25, 41.67), "number": 1, "size": 50},
        {"box": (62.5, 8.33, 12.5, 16.67), "number": 2, "size": 20},
    ]
    # Each value is a list: ComfyUI joins those of several runs.
    assert all(isinstance(value, list) for value in shown.values())


def test_many_and_large_images_are_shown_in_part_and_small(pack: ModuleType) -> None:
    image = torch.zeros(9, 16, 2048, 4)
    shown = picked(pack, image=image, faces=Faces(2048, 16, ((),) * 9)).ui["pick"]
    assert len(shown) == 8
    assert picked(pack, image=image, faces=Faces(2048, 16, ((),) * 9)).ui["total"] == [9]
    assert {(frame["width"], frame["height"]) for frame in shown} == {(2048, 16)}
    from visage.nodes import previews

    assert previews.preview(image).shape == (8, 8, 1024, 3)


def test_a_choice_that_cannot_be_read_is_refused_before_anything_runs(pack: ModuleType) -> None:
    assert pack.PickFaces.validate_inputs(choice="leave 1,2,3,4") is True
    # From a link it is not known yet.
    assert pack.PickFaces.validate_inputs(choice=None) is True
    assert "'the tall one' is no entry" in pack.PickFaces.validate_inputs(choice="the tall one")
    with pytest.raises(ValueError, match="'the tall one'"):
        picked(pack, "the tall one")


def test_faces_of_other_images_are_refused(pack: ModuleType) -> None:
    with pytest.raises(ValueError, match="found in 2 image"):
        picked(pack, image=IMAGE[:1])
    with pytest.raises(ValueError, match="no image in the batch"):
        picked(pack, image=IMAGE[:0])


def test_it_runs_by_itself(pack: ModuleType) -> None:
    assert pack.PickFaces.GET_SCHEMA().is_output_node
