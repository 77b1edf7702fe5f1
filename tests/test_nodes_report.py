"""Face Report and Load Face Embedder, and what nodes that work on faces show on themselves, on the stand-in for ComfyUI
or on a real one (see ``tests/comfy_side.py``).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from visage.faces.face import Face, Faces
from visage.fields import settings_of
from visage.pipeline import RestoreSettings
from visage.tests.comfy_models import LEFT_FACE, detector_of, restorer_of
from visage.tests.node_sockets import loaded
from visage.tests.test_embedders import means, onnx_file

ONE = Face(
    (20.0, 20.0, 80.0, 95.0),
    0.75,
    landmarks=((36.0, 50.0), (64.0, 50.0), (50.0, 66.0), (39.0, 79.0), (61.0, 79.0)),
)
TWO = Face((90.0, 30.0, 140.0, 90.0), 0.5, index=1)
FACES = Faces(160, 128, ((ONE, TWO), ()))


@pytest.fixture
def image(generator: torch.Generator) -> Tensor:
    """Two pictures of 160 x 128 pixels."""
    return torch.rand(2, 128, 160, 3, generator=generator)


class Means(nn.Module):
    """The mean colours of a face and of its left half."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, faces: Tensor) -> Tensor:
        return means(faces) * self.weight


def an_embedder(least: float | None = 0.9) -> Any:
    from visage.models.embedders import Embedder
    from visage.models.embedders.loading import Network
    from visage.nodes.host import ComfyHost

    host = ComfyHost()
    return loaded(Embedder(Network("pretended", Means(), "pretended", 6, 1000, least), host), host)


def report(pack: ModuleType, image: Tensor, faces: Faces = FACES, **given: Any) -> tuple[str, dict[str, Any], Tensor]:
    text, data, picture = pack.ReportFaces.execute(image, faces, **{"preview": False} | given).result
    return text, json.loads(data), picture


def test_every_face_is_told_of_as_text_as_json_and_on_the_picture(pack: ModuleType, image: Tensor) -> None:
    text, data, picture = report(pack, image)
    lines = text.splitlines()
    assert lines[0] == "Image 1: 2 faces"
    assert lines[1].startswith("- face 1 (75 px at 50, 58): ")
    assert "score 0.75" in lines[1]
    assert "roll 0 degrees, yaw 0 degrees, pitch " in lines[2]
    assert lines[-1] == "Image 2: no face"
    first, second = data["images"][0]["faces"]
    assert (first["number"], first["size"], first["score"], first["yaw"]) == (1, 75.0, 0.75, 0.0)
    assert first["noise"] > 20
    assert "noisy" in first["words"]
    assert first["box"] == [20.0, 20.0, 80.0, 95.0]
    assert second["yaw"] is second["pitch"] is second["roll"] is second["identity"] is None
    assert data["images"][1] == {"image": 2, "faces": []}
    assert picture.shape == image.shape
    assert not torch.equal(picture[0], image[0])
    assert (picture[1] - image[1]).abs().max() <= 0.5 / 255 + 1e-6


def test_text_and_picture_are_shown_on_the_node(pack: ModuleType, image: Tensor) -> None:
    output = pack.ReportFaces.execute(image, FACES, preview=True)
    assert output.ui["text"] == (output.result[0],)
    assert len(output.ui["images"]) == 2
    assert "images" not in pack.ReportFaces.execute(image, FACES, preview=False).ui
    assert pack.ReportFaces.GET_SCHEMA().is_output_node


def test_the_same_faces_after_some_work_are_compared_by_their_places(pack: ModuleType, image: Tensor) -> None:
    large = torch.nn.functional.interpolate(image.movedim(-1, 1), scale_factor=2, mode="bicubic").movedim(1, -1)
    text, data, _ = report(pack, image, embedder=an_embedder(), reference=large)
    for number, face in enumerate(data["images"][0]["faces"], start=1):
        identity = face["identity"]
        assert (identity["reference_image"], identity["reference_face"]) == (1, number)
        assert identity["similarity"] == pytest.approx(1, abs=0.01)
        assert identity["same_person"] is True
        assert f"to face {number} of reference image 1, likely the same person" in text
    _, data, _ = report(pack, image, embedder=an_embedder(None), reference=large)
    assert data["images"][0]["faces"][0]["identity"]["same_person"] is None


def test_the_most_alike_face_of_a_reference_is_named(pack: ModuleType) -> None:
    colours = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9]])
    one, two = torch.zeros(2, 128, 160, 3), torch.zeros(1, 64, 64, 3)
    one[:, :, :85], one[:, :, 85:] = colours[0], colours[1]
    two[..., :20, :], two[..., 20:40, :], two[..., 40:, :] = colours[2], colours[1], colours[0]
    theirs = tuple(Face((x, 30.0, x + 10, 40.0), index=number) for number, x in enumerate((5.0, 25.0, 47.0)))
    given = {"embedder": an_embedder(), "reference": two, "reference_faces": Faces(64, 64, (theirs,))}
    faces = Faces(160, 128, ((ONE, TWO), (replace(TWO, index=0),)))
    _, data, _ = report(pack, one, faces, **given)
    named = [[face["identity"]["reference_face"] for face in frame["faces"]] for frame in data["images"]]
    assert named == [[3, 2], [2]]
    assert {face["identity"]["reference_image"] for frame in data["images"] for face in frame["faces"]} == {1}
    nobody = given | {"reference_faces": Faces(64, 64, ((),))}
    assert report(pack, one, faces, **nobody)[1]["images"][0]["faces"][0]["identity"] is None


def test_references_that_do_not_fit_are_refused(pack: ModuleType, image: Tensor) -> None:
    other = torch.rand(3, 64, 64, 3)
    with pytest.raises(ValueError, match="The reference has 3 picture"):
        report(pack, image, embedder=an_embedder(), reference=other)
    theirs = Faces(64, 64, ((), (), ()))
    with pytest.raises(ValueError, match="The reference has 3 images for 2"):
        report(pack, image, embedder=an_embedder(), reference=other, reference_faces=theirs)
    with pytest.raises(ValueError, match="found in 3 image"):
        report(pack, image, embedder=an_embedder(), reference=other[:1], reference_faces=theirs)
    with pytest.raises(ValueError, match="no numbers"):
        report(pack, image, embedder=an_embedder(), reference=image * torch.nan)


def test_images_that_are_none_are_refused(pack: ModuleType, image: Tensor) -> None:
    for wrong, what in (
        (image[:0], "no image in the batch"),
        (image * torch.inf, "no numbers"),
        (image[0], "Expected"),
    ):
        with pytest.raises(ValueError, match=what):
            report(pack, wrong)
    with pytest.raises(ValueError, match="Detect the faces in the same images"):
        report(pack, image[:1])


def test_no_faces_alpha_half_precision_and_a_single_pixel(pack: ModuleType, image: Tensor) -> None:
    nobody = Faces(160, 128, ((), ()))
    text, data, picture = report(pack, image, nobody, embedder=an_embedder(), reference=image)
    assert text == "Image 1: no face\nImage 2: no face"
    assert [frame["faces"] for frame in data["images"]] == [[], []]
    assert picture.shape == image.shape
    alpha = torch.cat((image, torch.rand(2, 128, 160, 1)), dim=-1)
    assert report(pack, alpha)[:2] == report(pack, image)[:2]
    assert report(pack, alpha)[2].shape == (2, 128, 160, 3)
    assert report(pack, image.half())[2].shape == image.shape
    pixel = Faces(1, 1, ((Face((-0.5, -0.5, 0.5, 0.5)),),))
    _, data, _ = report(
        pack, torch.full((1, 1, 1, 3), 0.5), pixel, embedder=an_embedder(), reference=torch.ones(1, 1, 1, 3)
    )
    assert data["images"][0]["faces"][0]["sharpness"] is None
    assert data["images"][0]["faces"][0]["brightness"] == 0.5
    beyond = Faces(160, 128, ((Face((-90.0, -60.0, 30.0, 60.0)), Face((400.0, 10.0, 500.0, 110.0), index=1)), ()))
    _, data, _ = report(pack, image, beyond, embedder=an_embedder(), reference=image)
    assert data["images"][0]["faces"][1]["brightness"] is None


def test_networks_are_loaded_where_there_are_faces_to_compare(pack: ModuleType) -> None:
    waiting = {"embedder": None, "reference": None, "image": None, "preview": True}
    assert pack.ReportFaces.check_lazy_status(FACES, **waiting) == ["embedder", "reference"]
    assert pack.ReportFaces.check_lazy_status(Faces(160, 128, ((),)), **waiting) == []
    assert pack.ReportFaces.check_lazy_status(FACES, preview=True) == []


def test_half_a_comparison_is_refused_before_it_runs(pack: ModuleType) -> None:
    valid = pack.ReportFaces.validate_inputs
    assert valid() is True
    assert valid(embedder=None, reference=None) is True
    assert "Load Face Embedder" in valid(reference=None)
    assert "Connect a reference" in valid(embedder=None)
    assert valid(embedder=None, reference=None, reference_faces=None) is True
    assert "Load Face Embedder" in valid(reference=None, reference_faces=None)
    assert "Connect a reference" in valid(embedder=None, reference_faces=None)
    alone = valid(reference_faces=None)
    assert "Load Face Embedder" in alone
    assert "Connect a reference" in alone


def test_progress_is_told_of_every_image_and_cancel_noticed(
    pack: ModuleType, image: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management
    import comfy.utils

    told: list[int] = []

    class Bar:
        def __init__(self, total: int) -> None:
            told.append(-total)

        def update(self, steps: int) -> None:
            told.append(steps)

    monkeypatch.setattr(comfy.utils, "ProgressBar", Bar)
    report(pack, image)
    assert told == [-4, 1, 1, 1, 1]
    told.clear()
    comfy.model_management.interrupt_current_processing()
    try:
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            report(pack, image)
    finally:
        comfy.model_management.interrupt_current_processing(False)
    assert told == [-4, 1]


def test_an_embedder_is_loaded_from_its_folder(pack: ModuleType, image: Tensor) -> None:
    import folder_paths

    folder = Path(folder_paths.models_dir) / "facedetection"
    folder.mkdir(parents=True, exist_ok=True)
    onnx_file(folder / "MobileFaceNet.onnx")
    try:
        assert "MobileFaceNet.onnx" in pack.folders.names(pack.folders.EMBEDDERS)
        assert "MobileFaceNet.onnx" not in pack.folders.names(pack.folders.DETECTORS)
        (embedder,) = pack.LoadFaceEmbedder.execute("MobileFaceNet.onnx").result
        assert embedder.network.length == 3
        assert embedder.patcher is embedder.host.patchers[0]
        _, data, _ = report(pack, image, embedder=embedder, reference=image)
        assert data["images"][0]["faces"][0]["identity"]["similarity"] == 1
    finally:
        (folder / "MobileFaceNet.onnx").unlink()
    assert "no face embedder called 'absent.pth'" in pack.LoadFaceEmbedder.validate_inputs("absent.pth")


# What Restore Faces shows. Refine Faces shows the same way: see tests/test_nodes_refine.py.


def restored(pack: ModuleType, image: Tensor, boxes: tuple[Any, ...] = (LEFT_FACE,), **changes: Any) -> Any:
    from visage.nodes.host import ComfyHost

    host = ComfyHost()
    defaults = {setting.name: setting.default for setting in settings_of(RestoreSettings) if not setting.optional}
    del defaults["max_face"]
    given = defaults | {"confidence": 0.5, "colour_match": 0.0} | changes
    models = {"restorer": loaded(restorer_of(host)[0], host), "detector": loaded(detector_of(host, boxes), host)}
    return pack.RestoreFaces.execute(image, **given, **models)


def test_before_and_after_and_the_report_are_shown(pack: ModuleType, image: Tensor) -> None:
    output = restored(pack, image)
    text = output.result[2]
    assert [line for line in text.splitlines() if line.startswith("Image")] == [
        "Image 1: 1 of 1 face restored",
        "Image 2: 1 of 1 face restored",
    ]
    assert output.ui["text"] == (text,)
    before, after, both = (output.ui[name] for name in ("a_images", "b_images", "images"))
    assert (len(before), len(after)) == (2, 2)
    assert both == [before[0], after[0], before[1], after[1]]
    schema = pack.RestoreFaces.GET_SCHEMA()
    assert schema.has_intermediate_output
    view = schema.inputs[-1]
    assert (view.id, view.get_io_type(), view.optional, view.socketless) == ("compare_view", "IMAGECOMPARE", True, True)


def test_a_node_shows_no_more_of_a_long_report_than_it_has_room_for(pack: ModuleType) -> None:
    from visage.nodes.node_ui import report_ui

    def shown(faces: int, *images: int) -> list[str]:
        told = [
            f"Image {number}: {faces} of {faces} faces restored" + "\n- a face" * faces
            for number, faces in enumerate(images or (faces,), start=1)
        ]
        return report_ui("\n".join(told), f"{faces} of {faces} faces restored").as_dict()["text"][0].splitlines()

    # As it is, up to 15 lines.
    assert shown(14) == ["Image 1: 14 of 14 faces restored", *["- a face"] * 14]
    assert len(shown(6, 6, 6)) == 14
    # Of one image as many faces as there is room for.
    assert shown(50) == [
        "Image 1: 50 of 50 faces restored",
        *["- a face"] * 13,
        "… and 37 more lines: see the output report",
    ]
    # Of many all of them in one line, then whole images.
    many = shown(600, *[6] * 100)
    assert many[:2] == ["100 images: 600 of 600 faces restored", "Image 1: 6 of 6 faces restored"]
    assert many[7:] == ["- a face", "… and 99 more images: see the output report"]
    assert shown(9, *[0] * 16)[-3:] == [
        "Image 12: 0 of 0 faces restored",
        "Image 13: 0 of 0 faces restored",
        "… and 3 more images: see the output report",
    ]
    assert shown(0, 2, 11, 0)[-2:] == ["- a face", "… and 2 more images: see the output report"]
    assert shown(31, 30, 1)[-1] == "… and 20 more lines: see the output report"
    assert max(len(shown(9, *[count] * 100)) for count in range(30)) == 15


def test_the_outputs_keep_the_whole_report(pack: ModuleType, image: Tensor) -> None:
    frames = image[:1].repeat(20, 1, 1, 1)
    output = restored(pack, frames)
    text = output.result[2]
    assert text.count("Image ") == 20
    (shown,) = output.ui["text"]
    assert shown.startswith("20 images: 20 of 20 faces restored\nImage 1: 1 of 1 face restored\n- face 1 (")
    assert shown.endswith("… and 14 more images: see the output report")
    output = pack.ReportFaces.execute(frames, Faces(160, 128, ((),) * 20), preview=False)
    assert output.result[0].count("Image ") == 20
    assert output.ui["text"][0].startswith("20 images: no face\nImage 1: no face\n")


def test_what_the_page_keeps_of_the_view_makes_no_difference(pack: ModuleType, image: Tensor) -> None:
    kept = restored(pack, image, compare_view={"beforeImages": ["x"], "afterImages": ["y"]})
    assert torch.equal(kept.result[0], restored(pack, image).result[0])


def test_pictures_are_shown_only_where_something_was_done(pack: ModuleType, image: Tensor) -> None:
    hint = "If there is one, lower confidence, load another detector, or draw its box in Pick Faces."
    for output, text in (
        (restored(pack, image, boxes=()), f"Image 1: no face\nImage 2: no face\n{hint}"),
        (restored(pack, image, strength=0.0), "Nothing was done: strength is 0."),
    ):
        assert output.result[0] is image
        assert output.result[2] == text
        assert output.ui.as_dict() == {"text": (text,)}
    small = restored(pack, image, min_face=99)
    assert small.result[0] is image
    assert "left as it was, smaller than 99 px" in small.result[2]


def test_previews_are_few_small_and_of_one_size(pack: ModuleType) -> None:
    from visage.nodes import previews

    before, after = torch.rand(11, 30, 60, 4), torch.rand(11, 1500, 3000, 3)
    one, two = previews.before_and_after(before, after)
    assert one.shape == two.shape == (8, 512, 1024, 3)
    same, shown = previews.before_and_after(before, before)
    assert torch.equal(same, before[:8, ..., :3])
    assert torch.equal(shown, before[:8, ..., :3])
