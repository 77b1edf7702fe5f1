"""Detect Faces and Restore Faces, on the stand-in for ComfyUI or on a real one (see ``tests/comfy_side.py``)."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.tests.comfy_models import LEFT_FACE, RIGHT_FACE
from visage.tests.node_sockets import (
    DEFAULTS,
    DETECTION,
    PASTING,
    a_detector,
    a_parser,
    a_restorer,
    found,
    same,
)


@pytest.fixture
def management(pack: ModuleType) -> Iterator[ModuleType]:
    import comfy.model_management

    yield comfy.model_management
    comfy.model_management.args.fp16_intermediates = False
    comfy.model_management.interrupt_current_processing(False)


# Detect Faces


def test_detected_faces_come_as_numbers_boxes_mask_and_count(pack: ModuleType, image: Tensor) -> None:
    faces, boxes, mask, count = pack.DetectFaces.execute(image, a_detector((LEFT_FACE, RIGHT_FACE)), **DETECTION).result
    assert (faces.width, faces.height, len(faces.frames), count) == (160, 128, 3, 6)
    left = boxes[0][0]
    assert [len(frame) for frame in boxes] == [2, 2, 2]
    assert (left["x"], left["y"], left["width"], left["height"]) == pytest.approx((16.5, 38.9, 48, 51.2), abs=0.6)
    assert left["label"] == "face"
    assert boxes[0][0]["score"] > boxes[0][1]["score"]
    assert mask.shape == (3, 128, 160)
    assert float(mask.sum()) == pytest.approx(3 * (48 * 51.2 + 40 * 44.8), rel=0.05)
    assert mask[0, 64, 40] == 1
    assert mask[0, 64, 80] == 0


def test_faces_below_the_least_size_are_left_out_and_the_rest_numbered_anew(pack: ModuleType, image: Tensor) -> None:
    detector = a_detector((LEFT_FACE, RIGHT_FACE))
    faces, _, _, count = pack.DetectFaces.execute(image, detector, **DETECTION | {"min_size": 50}).result
    assert count == 3
    assert [face.index for frame in faces.frames for face in frame] == [0, 0, 0]


def test_mask_follows_the_outline_of_a_detector_that_segments(pack: ModuleType) -> None:
    from visage.faces.face import Face, Faces
    from visage.nodes.bridges import mask_of

    triangle = ((10.0, 10.0), (50.0, 10.0), (10.0, 50.0))
    outlined = Face((10, 10, 50, 50), outline=triangle)
    beyond = Face((70.0, 60.0, 200.0, 200.0))
    outside = Face((-40.0, -40.0, -5.0, -5.0))
    mask = mask_of(Faces(100, 80, ((outlined, beyond, outside),)))[0]
    assert mask[15, 15] == 1
    assert mask[45, 45] == 0
    assert mask[79, 99] == 1
    assert float(mask.sum()) == pytest.approx(800 + 30 * 20, rel=0.03)


def test_preview_shows_boxes_shrunk_and_few(pack: ModuleType) -> None:
    frames = torch.zeros(10, 64, 2048, 3)
    output = pack.DetectFaces.execute(frames, a_detector(), **DETECTION | {"preview": True})
    assert len(output.ui.as_dict()["images"]) == 8
    from visage.nodes import previews

    drawn = previews.drawing(frames, output.result[0])
    assert drawn.shape == (8, 32, 1024, 3)
    assert float(drawn.max()) == 1
    assert float(drawn[:, :, 900:].max()) == 0


def test_out_of_memory_halves_the_batch(pack: ModuleType, image: Tensor) -> None:
    detector = a_detector(most=1)
    count = pack.DetectFaces.execute(image, detector, **DETECTION).result[3]
    assert count == 3
    assert detector.network.proposer.resident.module.batches[-3:] == [1, 1, 1]


def test_a_lack_of_memory_is_known_by_the_words_of_any_device(pack: ModuleType) -> None:
    from visage.nodes.host import ComfyHost

    for words in ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "DefaultCPUAllocator: not enough memory: you tried"):
        assert ComfyHost().is_out_of_memory(RuntimeError(words))
    assert not ComfyHost().is_out_of_memory(RuntimeError("a shape is wrong"))


def test_no_memory_for_a_single_picture_is_an_error(pack: ModuleType, image: Tensor) -> None:
    with pytest.raises(MemoryError, match="one picture at a time"):
        pack.DetectFaces.execute(image, a_detector(most=0), **DETECTION)


# Restore Faces


def test_restored_faces_change_and_nothing_else_does(pack: ModuleType, image: Tensor) -> None:
    restored, mask, _ = pack.RestoreFaces.execute(
        image, **DEFAULTS, grain=0.0, restorer=a_restorer(), detector=a_detector()
    ).result
    assert restored.shape == image.shape
    assert mask.shape == image.shape[:3]
    assert same(restored[mask == 0], image[mask == 0])
    centre = (slice(None), slice(60, 70), slice(35, 45))
    assert (mask[centre] > 0.999).all()
    # Through the crop and back a pixel of noise is blurred; the negative of grey noise is far from the noise.
    assert float((restored[centre] - (1 - image[centre])).abs().mean()) < 0.1
    assert float((mask == 0).float().mean()) > 0.5


def test_as_much_grain_stays_on_faces_as_the_widget_says(pack: ModuleType, image: Tensor) -> None:
    centre = (slice(None), slice(60, 70), slice(35, 45))

    def likeness(**grain: float) -> float:
        inputs = DEFAULTS | grain | {"restorer": a_restorer(), "detector": a_detector()}
        restored = pack.RestoreFaces.execute(image, **inputs).result[0]
        return float(((restored[centre] - 0.5) * (image[centre] - 0.5)).mean())

    assert likeness(grain=0.0) < likeness() < likeness(grain=1.0)


def test_connected_faces_win_over_the_detector(pack: ModuleType, image: Tensor) -> None:
    faces = pack.DetectFaces.execute(image, a_detector((RIGHT_FACE,)), **DETECTION).result[0]
    detector = a_detector()
    given = {"restorer": a_restorer(), "detector": detector, "faces": faces}
    _, mask, _ = pack.RestoreFaces.execute(image, **DEFAULTS, **given).result
    assert detector.network.proposer.resident.module.batches == []
    assert float(mask[:, :, 110].max()) == 1
    assert float(mask[:, :, 30].max()) == 0


@pytest.mark.parametrize("reason", ["strength", "no face", "all too small"])
def test_the_very_image_passes_through_where_nothing_is_done(pack: ModuleType, image: Tensor, reason: str) -> None:
    settings = DEFAULTS | {"strength": {"strength": 0.0}, "no face": {}, "all too small": {"min_face": 500}}[reason]
    detector = a_detector(() if reason == "no face" else (LEFT_FACE,))
    restored, mask, _ = pack.RestoreFaces.execute(image, **settings, restorer=a_restorer(), detector=detector).result
    assert restored is image
    assert mask.shape == image.shape[:3]
    assert not mask.any()


def test_neither_detector_nor_faces_is_an_error_that_says_what_to_connect(pack: ModuleType, image: Tensor) -> None:
    with pytest.raises(ValueError, match="connect a detector"):
        pack.RestoreFaces.execute(image, **DEFAULTS, restorer=a_restorer())
    # Before the restorer is loaded, and by no input that is there and could be blamed.
    with pytest.raises(ValueError, match="connect a detector"):
        pack.RestoreFaces.check_lazy_status(image=None, **DEFAULTS, restorer=None)
    assert "validate_inputs" not in vars(pack.RestoreFaces)


def test_models_are_evaluated_only_when_they_are_needed(pack: ModuleType, image: Tensor) -> None:
    def wanted(strength: float, **inputs: Any) -> set[str]:
        return set(pack.RestoreFaces.check_lazy_status(image=image, **DEFAULTS | {"strength": strength}, **inputs))

    assert wanted(0.0, restorer=None, detector=None) == set()
    assert wanted(1.0, restorer=None, detector=None) == {"restorer", "detector"}
    assert wanted(1.0, restorer=None, faces=None, detector=None) == {"faces"}
    none, some = (
        pack.DetectFaces.execute(image, a_detector(boxes), **DETECTION).result[0] for boxes in ((), (LEFT_FACE,))
    )
    assert wanted(1.0, restorer=None, faces=none, detector=None) == set()
    assert wanted(1.0, restorer=None, faces=some) == {"restorer"}
    assert wanted(1.0, restorer=a_restorer(), faces=some) == set()
    lazy = {socket.id for socket in pack.RestoreFaces.GET_SCHEMA().inputs if socket.lazy}
    assert lazy == {"image", "restorer", "detector", "faces", "parser"}
    for strength in (0.0, 1.0):
        given = DEFAULTS | {"strength": strength, "image": None, "restorer": None, "detector": None}
        assert pack.RestoreFaces.check_lazy_status(**given) == ["image"]


def test_interrupt_stops_within_one_call_of_the_network(
    pack: ModuleType, image: Tensor, management: ModuleType
) -> None:
    calls = []

    def interrupted(images: Tensor) -> Tensor:
        calls.append(len(images))
        management.interrupt_current_processing()
        return images

    with pytest.raises(management.InterruptProcessingException):
        pack.RestoreFaces.execute(image, **DEFAULTS, restorer=a_restorer(interrupted), detector=a_detector())
    assert len(calls) == 1


def test_numbers_that_are_no_picture_are_never_pasted(pack: ModuleType, image: Tensor) -> None:
    broken = a_restorer(lambda images: images / 0)
    with pytest.raises(Exception, match="pretended"):
        pack.RestoreFaces.execute(image, **DEFAULTS, restorer=broken, detector=a_detector())


@pytest.mark.parametrize("name", ["strength", "colour_match", "feather"])
def test_settings_from_links_that_are_none_are_never_blended_with(pack: ModuleType, image: Tensor, name: str) -> None:
    # ComfyUI compares what a widget holds with its limits, but not what comes from a link.
    with pytest.raises(ValueError, match=f"{name} must be from"):
        pack.RestoreFaces.execute(image, a_restorer(), a_detector(), **DEFAULTS | {name: float("nan")})


def test_a_full_disk_takes_the_view_of_the_work_and_not_the_work(
    pack: ModuleType, image: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfy_api.latest import ui

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    def run() -> Any:
        return pack.RestoreFaces.execute(image, **DEFAULTS, restorer=a_restorer(), detector=a_detector())

    expected = run()
    monkeypatch.setattr(ui, "PreviewImage", full)
    done = run()
    assert same(done.result[0], expected.result[0])
    assert done.result[2] == expected.result[2]
    (told,) = done.ui["text"]
    assert told.startswith(done.result[2])
    assert "No space left on device" in told
    assert done.ui.keys() == {"text"}


def test_half_precision_in_and_out(pack: ModuleType, image: Tensor, management: ModuleType) -> None:
    management.args.fp16_intermediates = True
    half = image.half()
    models = {"restorer": a_restorer(), "detector": a_detector()}
    restored, mask, _ = pack.RestoreFaces.execute(half, **DEFAULTS, **models).result
    assert restored.dtype == mask.dtype == torch.float16
    assert same(restored[mask == 0], half[mask == 0])
    assert not torch.equal(restored, half)
    untouched, _, _ = pack.RestoreFaces.execute(half, **DEFAULTS, restorer=a_restorer(), detector=a_detector(())).result
    assert untouched is half
    crops, places = pack.CropFaces.execute(half, found(pack, half), 64).result
    assert crops.dtype == torch.float16
    pasted, _ = pack.PasteFaces.execute(half, places, **PASTING, crops=1 - crops).result
    assert pasted.dtype == torch.float16


def test_alpha_is_kept(pack: ModuleType, image: Tensor) -> None:
    alpha = torch.cat([image, image[..., :1]], dim=-1)
    models = {"restorer": a_restorer(), "detector": a_detector()}
    restored, mask, _ = pack.RestoreFaces.execute(alpha, **DEFAULTS, **models).result
    assert restored.shape == alpha.shape
    assert same(restored[..., 3], alpha[..., 3])
    assert float(mask.max()) == 1
    crops, places = pack.CropFaces.execute(alpha, found(pack, alpha), 64).result
    pasted, _ = pack.PasteFaces.execute(alpha, places, **PASTING, crops=1 - crops).result
    assert crops.shape[-1] == 3
    assert same(pasted[..., 3], alpha[..., 3])


def test_faces_go_into_the_enlarged_background(pack: ModuleType, image: Tensor) -> None:
    background = torch.rand(3, 256, 320, 3)
    models = {"restorer": a_restorer(), "detector": a_detector(), "background": background}
    restored, mask, _ = pack.RestoreFaces.execute(image, **DEFAULTS, **models).result
    assert restored.shape == background.shape
    assert same(restored[mask == 0], background[mask == 0])
    assert float(mask[:, 128, 80].min()) == 1
    unchanged, empty, _ = pack.RestoreFaces.execute(image, **DEFAULTS | {"strength": 0.0}, **models).result
    assert unchanged is background
    assert empty.shape == background.shape[:3]
    with pytest.raises(ValueError, match="no enlargement"):
        pack.RestoreFaces.execute(image, **DEFAULTS, **models | {"background": torch.rand(3, 300, 320, 3)})


def test_region_limits_the_change(pack: ModuleType, image: Tensor) -> None:
    region = torch.zeros(1, 128, 160)
    region[:, :64] = 1
    models = {"restorer": a_restorer(), "detector": a_detector()}
    restored, mask, _ = pack.RestoreFaces.execute(image, **DEFAULTS, **models, region=region).result
    assert float(mask[:, :60].max()) == 1
    assert not mask[:, 70:].any()
    assert same(restored[:, 70:], image[:, 70:])


def test_region_of_another_size_is_an_error_but_the_mask_of_no_alpha_is_none(pack: ModuleType, image: Tensor) -> None:
    models = {"restorer": a_restorer(), "detector": a_detector()}
    with pytest.raises(ValueError, match="mask of the same size"):
        pack.RestoreFaces.execute(image, **DEFAULTS, **models, region=torch.ones(1, 64, 64))
    no_alpha = torch.zeros(1, 64, 64)
    _, mask, _ = pack.RestoreFaces.execute(image, **DEFAULTS, **models, region=no_alpha).result
    assert float(mask.max()) == 1


def test_a_parser_limits_the_mask_to_the_face(pack: ModuleType) -> None:
    image = torch.full((1, 128, 160, 3), 0.2)
    image[:, :64] = 0.9  # its upper half turns dark in the negative, and so is no skin
    models = {"restorer": a_restorer(), "detector": a_detector(), "parser": a_parser()}
    settings = DEFAULTS | {"mask_shape": "parse"}
    restored, mask, _ = pack.RestoreFaces.execute(image, **settings, **models).result
    assert float(mask[0, 76, 40]) > 0.9
    assert float(mask[0, 50, 40]) == 0
    assert same(restored[mask == 0], image[mask == 0])
    crops, places = pack.CropFaces.execute(image, found(pack, image), 256).result
    pasting = PASTING | {"mask_shape": "parse"}
    pasted, changed = pack.PasteFaces.execute(image, places, **pasting, crops=1 - crops, parser=a_parser()).result
    assert float((changed - mask).abs().max()) < 0.02
    assert same(pasted[changed == 0], image[changed == 0])
    for run in (
        lambda: pack.RestoreFaces.execute(image, **settings, **models | {"parser": None}),
        lambda: pack.PasteFaces.execute(image, places, **pasting, crops=crops),
    ):
        with pytest.raises(ValueError, match=r"connect one \(Load Face Parser\)"):
            run()


def test_the_parser_is_evaluated_only_for_its_mask(pack: ModuleType, image: Tensor) -> None:
    faces = found(pack, image)
    _, places = pack.CropFaces.execute(image, faces, 64).result
    for shape, wanted in (("parse", {"parser"}), ("square", set())):
        given = DEFAULTS | {"mask_shape": shape, "image": image, "parser": None}
        models = {"restorer": a_restorer(), "faces": faces}
        assert set(pack.RestoreFaces.check_lazy_status(**given, **models)) == wanted
        pasting = PASTING | {"mask_shape": shape, "image": image, "face_crops": places, "parser": None}
        assert set(pack.PasteFaces.check_lazy_status(**pasting, crops=None)) == {"crops"} | wanted
        assert pack.RestoreFaces.check_lazy_status(**given | {"strength": 0.0}, **models) == []
    given = DEFAULTS | {"mask_shape": "parse", "image": image}
    assert pack.RestoreFaces.check_lazy_status(**given, restorer=a_restorer(), faces=faces) == []


def test_a_single_pixel_passes_through(pack: ModuleType) -> None:
    pixel = torch.full((1, 1, 1, 3), 0.5)
    assert pack.DetectFaces.execute(pixel, a_detector(()), **DETECTION | {"preview": True}).result[3] == 0
    models = {"restorer": a_restorer(), "detector": a_detector(())}
    assert pack.RestoreFaces.execute(pixel, **DEFAULTS, **models).result[0] is pixel


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(0, 8, 8, 3), "no image in the batch"),
        (torch.zeros(2, 8, 8, 3).index_fill_(0, torch.tensor([1]), float("nan")), "Image 2 holds values"),
        (torch.zeros(1, 8, 8, 1), "Expected images"),
    ],
)
def test_what_is_no_image_is_refused_by_every_node(pack: ModuleType, wrong: Tensor, message: str) -> None:
    faces = found(pack, torch.zeros(1, 8, 8, 3))
    places = pack.CropFaces.execute(torch.zeros(1, 8, 8, 3), faces, 64).result[1]
    for run in (
        lambda: pack.DetectFaces.execute(wrong, a_detector(), **DETECTION),
        lambda: pack.RestoreFaces.execute(wrong, **DEFAULTS, restorer=a_restorer(), detector=a_detector()),
        lambda: pack.CropFaces.execute(wrong, faces, 64),
        lambda: pack.PasteFaces.execute(wrong, places, **PASTING, crops=torch.zeros(1, 64, 64, 3)),
    ):
        with pytest.raises(ValueError, match=message):
            run()


def test_faces_of_another_image_are_refused(pack: ModuleType, image: Tensor) -> None:
    other = found(pack, torch.zeros(1, 64, 64, 3))
    with pytest.raises(ValueError, match="found in 1 image"):
        pack.RestoreFaces.execute(image, **DEFAULTS, restorer=a_restorer(), faces=other)
    with pytest.raises(ValueError, match="found in 1 image"):
        pack.CropFaces.execute(image, other, 64)
