"""Face Regions, on the stand-in for ComfyUI or on a real one (see ``tests/comfy_side.py``)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.faces.face import Face, Faces
from visage.fields import build, settings_of
from visage.pipeline import RegionSettings
from visage.tests import node_sockets
from visage.tests.comfy_models import restorer_of
from visage.tests.parser_models import parser_of
from visage.tests.test_face_regions import face_at

DEFAULTS: dict[str, Any] = {setting.name: setting.default for setting in settings_of(RegionSettings)}
WIDTH, HEIGHT = 160, 128
LEFT, RIGHT = face_at(50, 60, 80), face_at(110, 70, 80, 10, index=1)
FACES = Faces(WIDTH, HEIGHT, ((LEFT, RIGHT), (), (dataclasses.replace(RIGHT, index=0),)))


@pytest.fixture
def image(generator: torch.Generator) -> Tensor:
    return torch.rand(3, HEIGHT, WIDTH, 3, generator=generator)


def loaded(make: Any) -> Any:
    from visage.nodes.host import ComfyHost
    from visage.nodes.types import LoadedModel

    host = ComfyHost()
    return LoadedModel(make(host)[0], host)


def run(pack: ModuleType, image: Tensor, faces: Faces = FACES, **changes: Any) -> Any:
    return pack.FaceRegions.execute(image, faces, **DEFAULTS | {"preview": False} | changes)


def lazily(pack: ModuleType, **given: Any) -> list[str]:
    names: list[str] = pack.FaceRegions.check_lazy_status(**DEFAULTS | {"preview": True} | given)
    return names


def test_the_widgets_begin_with_the_face_oval_alone() -> None:
    assert build(RegionSettings, DEFAULTS) == RegionSettings()
    assert [name for name, value in DEFAULTS.items() if value is True] == ["face_oval"]


def test_a_mask_for_each_image_or_for_each_face(pack: ModuleType, image: Tensor) -> None:
    (mask,) = run(pack, image).result
    (each,) = run(pack, image, masks="per face", preview=True).result
    assert mask.shape == each.shape == (3, HEIGHT, WIDTH)
    assert torch.equal(mask[0], torch.maximum(each[0], each[1]))
    assert not mask[1].any()
    assert torch.equal(mask[2], each[2])
    assert torch.equal(run(pack, image, invert=True).result[0], 1 - mask)
    assert torch.equal(run(pack, image, invert=True, masks="per face").result[0], 1 - each)
    with_alpha = torch.cat([image, torch.zeros(3, HEIGHT, WIDTH, 1)], -1)
    assert torch.equal(run(pack, with_alpha).result[0], mask)


def test_no_face_gives_masks_of_the_size_of_the_image(pack: ModuleType, image: Tensor) -> None:
    nobody = FACES.with_frames([(), (), ()])
    for which, count in (("per image", 3), ("per face", 1)):
        for invert in (False, True):
            output = run(pack, image, nobody, hair=True, masks=which, invert=invert, preview=True)
            assert output.result[0].shape == (count, HEIGHT, WIDTH)
            assert bool((output.result[0] == float(invert)).all())


def test_a_single_pixel_and_values_that_are_no_numbers(pack: ModuleType, image: Tensor) -> None:
    dot = Faces(1, 1, ((Face((-0.5, -0.5, 0.5, 0.5)),),))
    (mask,) = run(pack, torch.rand(1, 1, 1, 3), dot).result
    assert mask.shape == (1, 1, 1)
    assert bool(mask.isfinite().all())
    image[1, 5, 5] = float("nan")
    with pytest.raises(ValueError, match="Image 2 holds values that are no numbers"):
        run(pack, image)


def test_a_parser_gives_the_regions_that_it_sees(pack: ModuleType) -> None:
    image = torch.full((3, HEIGHT, WIDTH, 3), 0.2)
    image[..., :50, :] = 0.9
    parser = loaded(parser_of)
    (mask,) = run(pack, image, parser=parser, face_oval=False, skin=True).result
    assert float(mask[0, 60, 40]) == 1
    assert float(mask[0, 60, 60]) == 0
    assert not run(pack, image, parser=parser, face_oval=False, hair=True).result[0].any()


def test_occluders_are_subtracted_and_the_mask_of_no_alpha_is_none(pack: ModuleType, image: Tensor) -> None:
    (mask,) = run(pack, image).result
    hand = torch.zeros(1, HEIGHT, WIDTH)
    hand[:, 50:70] = 1
    assert torch.equal(run(pack, image, occluders=hand).result[0], mask * (1 - hand))
    assert torch.equal(run(pack, image, occluders=torch.zeros(1, 64, 64)).result[0], mask)
    with pytest.raises(ValueError, match="mask of the same size"):
        run(pack, image, occluders=torch.ones(1, 64, 64))


def test_what_cannot_be_is_said_before_anything_else_is_made(pack: ModuleType) -> None:
    schema = pack.FaceRegions.GET_SCHEMA()
    assert {socket.id for socket in schema.inputs if getattr(socket, "lazy", False)} == {
        "image",
        "faces",
        "parser",
        "occluders",
    }
    with pytest.raises(ValueError, match="Only a face parser can tell glasses"):
        lazily(pack, image=None, faces=None, glasses=True)
    with pytest.raises(ValueError, match="No region is chosen"):
        lazily(pack, image=None, faces=None, parser=None, face_oval=False)


def test_the_parser_is_evaluated_only_for_a_face_and_a_region_that_need_it(pack: ModuleType, image: Tensor) -> None:
    assert set(lazily(pack, image=None, faces=None, parser=None, glasses=True)) == {"image", "faces"}
    assert set(lazily(pack, image=None, faces=None, occluders=None)) == {"image", "faces", "occluders"}
    there = {"image": image, "faces": FACES}
    assert lazily(pack, **there, parser=None, glasses=True) == ["parser"]
    assert lazily(pack, **there, parser=None) == []
    assert lazily(pack, **there) == []
    assert lazily(pack, image=image, faces=FACES.with_frames([(), (), ()]), parser=None, glasses=True) == []
    assert lazily(pack, **there, parser=loaded(parser_of), glasses=True) == []


def test_the_preview_shows_the_mask_in_red(pack: ModuleType, image: Tensor) -> None:
    from visage.nodes.previews import tinted

    shown = run(pack, image, preview=True)
    assert len(shown.ui.as_dict()["images"]) == 3
    assert run(pack, image).ui is None
    mask = shown.result[0]
    picture = tinted(image, mask)
    assert torch.equal(picture[mask == 0], image[mask == 0])
    assert torch.allclose(picture[mask == 1], (image[mask == 1] + torch.tensor([1.0, 0.1, 0.1])) / 2)
    assert tinted(torch.rand(9, 30, 2048, 3), torch.rand(9, 30, 2048)).shape == (8, 15, 1024, 3)


def test_what_is_kept_comes_out_of_restore_faces_bit_by_bit(pack: ModuleType, image: Tensor) -> None:
    keep = {"face_oval": False, "eye_area": True, "invert": True, "grow": 0.03}
    (region,) = run(pack, image, **keep).result
    assert int((region == 0).sum()) > 50
    restore = node_sockets.DEFAULTS | {"colour_match": 1.0}
    done = pack.RestoreFaces.execute(image, **restore, restorer=loaded(restorer_of), faces=FACES, region=region).result
    restored, changed = done[0], done[1]
    assert torch.equal(restored[region == 0], image[region == 0])
    assert not changed[region == 0].any()
    assert float((restored[0] - image[0]).abs().amax(-1)[changed[0] == 1].mean()) > 0.1


def test_photographs_with_faces_found_in_them(pack: ModuleType, data: Path) -> None:
    import numpy as np
    from PIL import Image
    from visage.models.detectors import DetectionSettings, load_detector
    from visage.models.host import TorchHost

    picture = Image.open(data / "photos" / "dlib_faces" / "2009_004587.jpg").convert("RGB")
    image = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None]
    detector = load_detector(data / "weights" / "yolov8n-face.pt", TorchHost("cpu", quiet=True))
    faces = Faces(image.shape[2], image.shape[1], tuple(map(tuple, detector.detect(image, DetectionSettings()))))
    (mask,) = run(pack, image, faces).result
    (each,) = run(pack, image, faces, masks="per face").result
    assert len(each) == faces.count == 2
    for face, one in zip(faces.frames[0], each, strict=True):
        left, top, right, bottom = map(round, face.box)
        # An oval fills most of the box of a face and little else.
        assert float(one[top:bottom, left:right].mean()) == pytest.approx(0.75, abs=0.15)
        assert float(one[top:bottom, left:right].sum() / one.sum()) > 0.85
    assert float(mask.mean()) < 0.1
