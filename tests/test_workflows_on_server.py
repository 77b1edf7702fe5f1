"""The workflows that come with Visage, run by a real ComfyUI server with real weights.

One server has small weights in the place of those that the workflows ask for, and of the built-in ones, so that what
is expected does not change with these. The other has nothing but the built-in ones, as on the machine of a new user.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from visage.fields import settings_of
from visage.pipeline import RegionSettings
from visage.tests import comfy_side
from visage.tests.comfy_bypass import switched_on, without_bypassed
from visage.tests.comfy_prompt import WIDGETS, expanded, prompt_of, widget_names
from visage.tests.comfy_server import Server
from visage.tests.parser_models import write_bisenet
from visage.tests.test_subgraphs import BLUEPRINTS
from visage.tests.test_workflows import CHECKPOINT, NEEDS, ROOT, SCHEMAS, WORKFLOWS, workflow

# What the workflows ask for, and the small files that stand in for it.
WEIGHTS = {
    "visage-detect.safetensors": ("yolov8n-face.pt", "ultralytics/bbox"),
    "visage-restore.safetensors": ("realesr-general-x4v3.pth", "facerestore_models"),
    "face_yolov8m.pt": ("yolov8n-face.pt", "ultralytics/bbox"),
    "GFPGANv1.4.pth": ("realesr-general-x4v3.pth", "facerestore_models"),
    "RealESRGAN_x4plus.safetensors": ("realesr-general-x4v3.pth", "upscale_models"),
    "example.png": ("face.png", None),
    CHECKPOINT: ("small.safetensors", None),
    "parsing_bisenet.pth": ("random_bisenet.pth", None),
    "mediapipe_face_fp32.safetensors": ("pretended.safetensors", None),
    "example.mp4": ("three.mp4", None),
}
# A crop that a random UNet paints on a CPU in no time.
QUICKLY = {"guide_size": 64, "max_size": 128, "steps": 2}
# Where the face is in the picture: left, top and side of the photograph in it.
PLACE = (120, 90, 280)
SIDE = 512
# The folder of a pack may have any name.
PACK = "visage-main"


@pytest.fixture(scope="module")
def picture(data: Path) -> np.ndarray:
    """``[512, 512, 3]`` uint8: a small, blurred face on a plain ground."""
    photograph = sorted((data / "photos" / "synthetic_1024").iterdir())[0]
    left, top, side = PLACE
    face = Image.open(photograph).convert("RGB").resize((side // 4, side // 4), Image.Resampling.BOX)
    ramp = np.linspace(70, 160, SIDE).astype(np.uint8)
    canvas = Image.fromarray(
        np.stack(
            [np.tile(ramp, (SIDE, 1)), np.tile(ramp[:, None], (1, SIDE)), np.full((SIDE, SIDE), 120, np.uint8)], -1
        )
    )
    canvas.paste(face.resize((side, side), Image.Resampling.BICUBIC), (left, top))
    return np.asarray(canvas)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, data: Path, picture: np.ndarray) -> Iterator[Server]:
    if reason := comfy_side.why_not():
        pytest.skip(reason)
    comfyui = comfy_side.comfyui()
    base = tmp_path_factory.mktemp("server")
    for folder in ("custom_nodes", "input"):
        (base / folder).mkdir()
    (base / "custom_nodes" / PACK).symlink_to(ROOT)
    for name, folder in WEIGHTS.values():
        if folder is not None:
            (base / "models" / folder).mkdir(parents=True, exist_ok=True)
            if not (base / "models" / folder / name).is_symlink():
                (base / "models" / folder / name).symlink_to(data / "weights" / name)
    (base / "models" / "facerestore_models" / "broken.pth").write_bytes(b"")
    (base / "models" / "checkpoints").mkdir()
    (base / "models" / "checkpoints" / "broken.safetensors").write_bytes(b"")
    write_with_comfyui("comfy_diffusion.py", base / "models" / "checkpoints" / "small.safetensors")
    (base / "models" / "detection").mkdir()
    write_with_comfyui("comfy_mediapipe.py", base / "models" / "detection" / "pretended.safetensors")
    (base / "models" / "facedetection").mkdir()
    write_bisenet(
        base / "models" / "facedetection" / "random_bisenet.pth", torch.tensor(picture).movedim(-1, 0).float() / 255
    )
    Image.fromarray(picture).save(base / "input" / "face.png")
    Image.fromarray(picture[:64, :64]).save(base / "input" / "nobody.png")
    running = Server(comfyui, base, PACK)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


def write_with_comfyui(script: str, file: Path) -> None:
    """Weights in a published layout that nobody trained, made by a script beside this one in a process of its own."""
    done = subprocess.run(
        [sys.executable, script, str(file)],
        cwd=Path(__file__).resolve().parent,
        env=os.environ | {comfy_side.VARIABLE: "comfyui"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def prompt(server: Server, name: str, **changes: Any) -> dict[str, Any]:
    """The prompt of a workflow, with the files at hand and with some inputs changed wherever they occur."""
    return prompt_from(server, without_bypassed(workflow(name)), **changes)


def prompt_from(server: Server, flow: dict[str, Any], **changes: Any) -> dict[str, Any]:
    made = prompt_of(expanded(flow), server.json("/object_info"))
    for node in made.values():
        for key, value in node["inputs"].items():
            if isinstance(value, str) and value in WEIGHTS:
                node["inputs"][key] = WEIGHTS[value][0]
            if key in changes and not isinstance(value, list):
                node["inputs"][key] = changes[key]
    return made


def result(server: Server, made: dict[str, Any], kind: str) -> np.ndarray:
    """The first picture that a node of a kind shows after the prompt has run."""
    done = server.run(made)
    assert done["status"]["status_str"] == "success", done["status"]["messages"]
    (number,) = (number for number, node in made.items() if node["class_type"] == kind)
    return server.picture(done["outputs"][number]["images"][0])


def the_only(made: dict[str, Any], kind: str) -> str:
    """The number of the one node of a kind."""
    (number,) = (number for number, node in made.items() if node["class_type"] == kind)
    return number


def outputs_of(server: Server, made: dict[str, Any]) -> dict[str, Any]:
    """What the nodes of a prompt show after it has run, by their numbers."""
    done = server.run(made)
    assert done["status"]["status_str"] == "success", done["status"]["messages"]
    shown: dict[str, Any] = done["outputs"]
    return shown


def in_face(picture: np.ndarray) -> np.ndarray:
    left, top, side = PLACE
    return picture[top + side // 4 : top + 3 * side // 4, left + side // 4 : left + 3 * side // 4].astype(float)


def outside(picture: np.ndarray) -> np.ndarray:
    left, top, side = PLACE
    beyond = np.ones((SIDE, SIDE), dtype=bool)
    margin = side // 4
    beyond[max(0, top - margin) : top + side + margin, max(0, left - margin) : left + side + margin] = False
    return picture[beyond]


def sharpness(picture: np.ndarray) -> float:
    """Mean square of the step from pixel to pixel: what edges, not grain, are made of."""
    face = in_face(picture)
    return float((np.diff(face, axis=0) ** 2).mean() + (np.diff(face, axis=1) ** 2).mean())


def test_server_knows_every_node_and_serves_its_help(server: Server) -> None:
    definitions = server.json("/object_info")
    assert "IMPORT FAILED" not in server.log
    for name, schema in SCHEMAS.items():
        definition = definitions[name]
        assert definition["display_name"] == schema["display_name"]
        assert widget_names(definition) == [socket["id"] for socket in schema["inputs"] if socket["type"] in WIDGETS]
        page = server.get(f"/extensions/{PACK}/docs/{name}.md").decode()
        assert page.startswith(f"# {schema['display_name']}")
    assert set(server.json("/api/i18n")["en"]["nodeDefs"]) == set(SCHEMAS)
    assert sorted(server.json("/api/workflow_templates")[PACK]) == [path.stem for path in WORKFLOWS]
    folders = {folder["name"] for folder in server.json("/experiment/models")}
    wanted = {
        model["directory"]
        for path in WORKFLOWS
        for node in workflow(path.stem)["nodes"]
        for model in node["properties"].get("models", [])
    }
    assert wanted <= folders


def test_restore_portrait(server: Server, picture: np.ndarray) -> None:
    restored = result(server, prompt(server, "restore_portrait"), "SaveImage")
    assert restored.shape == picture.shape
    assert np.array_equal(outside(restored), outside(picture))
    assert np.abs(in_face(restored) - in_face(picture)).mean() > 1
    assert sharpness(restored) > 1.15 * sharpness(picture)


def test_comfyuis_compare_shows_what_the_node_itself_shows(server: Server, picture: np.ndarray) -> None:
    made = prompt(server, "restore_portrait")
    image, restore = the_only(made, "LoadImage"), the_only(made, "VisageRestoreFaces")
    # The page sends what its widget holds.
    inputs = {"image_a": [image, 0], "image_b": [restore, 0], "compare_view": {}}
    made["compare"] = {"class_type": "ImageCompare", "inputs": inputs}
    outputs = outputs_of(server, made)
    restored = server.picture(outputs[the_only(made, "SaveImage")]["images"][0])
    for node in ("compare", restore):
        assert np.array_equal(server.picture(outputs[node]["a_images"][0]), picture)
        assert np.array_equal(server.picture(outputs[node]["b_images"][0]), restored)


def test_crop_restore_paste(server: Server, picture: np.ndarray) -> None:
    made = prompt(server, "crop_restore_paste")
    # The stand-in makes sharp what it enlarges, and the crops are large.
    made[the_only(made, "VisageLoadFaceRestorer")]["inputs"]["model_name"] = "visage-restore.safetensors"
    pasted = result(server, made, "SaveImage")
    assert pasted.shape == picture.shape
    assert np.array_equal(outside(pasted), outside(picture))
    assert sharpness(pasted) > 1.1 * sharpness(picture)


def test_detect_and_preview(server: Server, picture: np.ndarray) -> None:
    made = prompt(server, "detect_and_preview")
    done = server.run(made)
    outputs = {made[number]["class_type"]: output for number, output in done["outputs"].items()}
    assert outputs["PreviewAny"]["text"] == ["1"]
    preview = server.picture(outputs["VisageDetectFaces"]["images"][0])
    assert preview.shape == picture.shape
    drawn = (preview != picture).any(-1)
    assert 0.001 < drawn.mean() < 0.2
    mask = server.picture(outputs["MaskPreview"]["images"][0])[..., 0]
    left, top, side = PLACE
    assert mask[top + side // 2, left + side // 2] == 255
    assert not outside(mask).any()
    boxed = server.picture(outputs["PreviewImage"]["images"][0])
    assert (boxed != picture).any()


def test_faces_are_looked_at_with_nothing_connected_behind(server: Server, picture: np.ndarray) -> None:
    made = prompt(server, "detect_and_preview")
    detect = the_only(made, "VisageDetectFaces")
    sources = {the_only(made, name) for name in ("LoadImage", "VisageLoadFaceDetector")}
    made = {number: node for number, node in made.items() if number in {detect, *sources}}
    inputs = {"image": [the_only(made, "LoadImage"), 0], "faces": [detect, 0], "preview": True}
    made["report"] = {"class_type": "VisageFaceReport", "inputs": inputs}
    regions = {setting.name: setting.default for setting in settings_of(RegionSettings)}
    made["regions"] = {"class_type": "VisageFaceRegions", "inputs": inputs | regions}
    outputs = outputs_of(server, made)
    for number in (detect, "report", "regions"):
        assert (server.picture(outputs[number]["images"][0]) != picture).any()
    assert outputs["report"]["text"][0].startswith("Image 1: 1 face\n- face 1 (")


def with_parser(made: dict[str, Any]) -> dict[str, Any]:
    """The prompt of keep_glasses, changed as its note says: what a parser takes for glasses is kept."""
    made["parser"] = {
        "class_type": "VisageLoadFaceParser",
        "inputs": {"model_name": WEIGHTS["parsing_bisenet.pth"][0], "precision": "fp32"},
    }
    regions = made[the_only(made, "VisageFaceRegions")]["inputs"]
    regions |= {"parser": ["parser", 0], "eye_area": False, "glasses": True, "grow": 0.02, "feather": 0.005}
    return made


@pytest.mark.parametrize("parsed", [False, True], ids=["eyes", "parser"])
def test_keep_glasses(server: Server, picture: np.ndarray, parsed: bool) -> None:
    """The parser has random weights: what it takes for glasses is kept, wherever it sees them."""
    made = prompt(server, "keep_glasses")
    if parsed:
        made = with_parser(made)
    regions = the_only(made, "VisageFaceRegions")
    assert made[regions]["inputs"]["invert"] is True
    # ComfyUI's own nodes take the mask: one makes white all that is not exactly black.
    threshold = {"mask": [regions, 0], "value": 0.0}
    made["threshold"] = {"class_type": "ThresholdMask", "inputs": threshold}
    grow = {"mask": ["threshold", 0], "expand": 2, "tapered_corners": False}
    made["grow"] = {"class_type": "GrowMask", "inputs": grow}
    sources = {"plain": [regions, 0], "may change": ["threshold", 0], "grown": ["grow", 0]}
    for name, mask in sources.items():
        made[name] = {"class_type": "MaskPreview", "inputs": {"mask": mask}}
    outputs = outputs_of(server, made)
    masks = {name: server.picture(outputs[name]["images"][0])[..., 0].astype(float) for name in sources}
    assert bool((masks["grown"] >= masks["may change"]).all())
    assert masks["grown"].sum() > masks["may change"].sum()
    kept = masks["may change"] == 0
    assert kept.sum() > 100
    restored = server.picture(outputs[the_only(made, "SaveImage")]["images"][0])
    assert np.array_equal(restored[kept], picture[kept])
    assert np.array_equal(outside(restored), outside(picture))
    assert (restored[masks["plain"] == 255] != picture[masks["plain"] == 255]).any()
    assert server.picture(outputs[regions]["images"][0]).shape == picture.shape
    if not parsed:
        # From temple to temple and from the brows to half the height of the nose, but not the mouth.
        left, top, side = PLACE
        rows, columns = (np.array([0.40, 0.55]) * side + top, np.array([0.25, 0.75]) * side + left)
        assert kept[int(rows[0]) : int(rows[1]), int(columns[0]) : int(columns[1])].mean() > 0.95
        assert not kept[top + int(0.65 * side) :].any()


def test_glasses_without_a_parser_are_refused_before_anything_is_loaded(server: Server) -> None:
    made = with_parser(prompt(server, "keep_glasses"))
    made[the_only(made, "VisageLoadFaceRestorer")]["inputs"]["model_name"] = "broken.pth"
    del made["parser"], made[the_only(made, "VisageFaceRegions")]["inputs"]["parser"]
    status = server.run(made)["status"]
    (error,) = (content for kind, content in status["messages"] if kind == "execution_error")
    assert error["node_type"] == "VisageFaceRegions"
    assert "Only a face parser can tell glasses" in error["exception_message"]


@pytest.mark.parametrize("name", ["refine_portrait", "restore_then_refine", "refine_group_prompts"])
def test_refine(server: Server, picture: np.ndarray, name: str) -> None:
    made = prompt(server, name, **QUICKLY)
    done = server.run(made)
    assert done["status"]["status_str"] == "success", done["status"]["messages"]
    outputs = {made[number]["class_type"]: output for number, output in done["outputs"].items()}
    refined = server.picture(outputs["SaveImage"]["images"][0])
    assert refined.shape == picture.shape
    assert np.array_equal(outside(refined), outside(picture))
    assert np.abs(in_face(refined) - in_face(picture)).mean() > 1
    (crop,) = outputs["PreviewImage"]["images"]
    assert max(server.picture(crop).shape) == QUICKLY["max_size"]


def group_of_two(picture: np.ndarray) -> np.ndarray:
    """``[512, 768, 3]``: the face of a picture, and at its right one of half the size that begins at column 512."""
    small = np.asarray(Image.fromarray(picture).resize((SIDE // 2, SIDE // 2), Image.Resampling.BICUBIC))
    return np.concatenate([picture, np.pad(small, ((SIDE // 4, SIDE // 4), (0, 0), (0, 0)), mode="edge")], axis=1)


def test_group_selected_faces(server: Server, picture: np.ndarray) -> None:
    group = group_of_two(picture)
    Image.fromarray(group).save(server.base / "input" / "group.png")
    for changes, changed, untouched in (
        ({"count": 1}, slice(0, SIDE), slice(SIDE, None)),
        ({"indices": "-1"}, slice(SIDE, None), slice(0, SIDE)),
    ):
        made = prompt(server, "group_selected_faces", image="group.png", **changes)
        done = server.run(made)
        assert done["status"]["status_str"] == "success", done["status"]["messages"]
        outputs = {made[number]["class_type"]: output for number, output in done["outputs"].items()}
        (report,) = outputs["VisageSelectFaces"]["text"]
        assert report.startswith("Image 1: 1 of 2 faces taken\n- face ")
        restored = server.picture(outputs["SaveImage"]["images"][0])
        assert np.array_equal(restored[:, untouched], group[:, untouched])
        assert (restored[:, changed] != group[:, changed]).any()


def test_pick_faces(server: Server, picture: np.ndarray) -> None:
    group = group_of_two(picture)
    Image.fromarray(group).save(server.base / "input" / "group.png")
    # The choice as it is written by hand: about where a face is, in percent of the image.
    made = prompt(server, "pick_faces", image="group.png", choice="leave 24,33,20,36")
    done = server.run(made)
    assert done["status"]["status_str"] == "success", done["status"]["messages"]
    outputs = {made[number]["class_type"]: output for number, output in done["outputs"].items()}
    (report,) = outputs["VisagePickFaces"]["text"]
    assert report.startswith("Image 1: 1 of 2 faces taken\n- face "), report
    (frame,) = outputs["VisagePickFaces"]["pick"]
    assert np.array_equal(server.picture(frame["picture"]), group)
    assert len(frame["faces"]) == 2
    restored = server.picture(outputs["SaveImage"]["images"][0])
    assert np.array_equal(restored[:, :SIDE], group[:, :SIDE])
    assert (restored[:, SIDE:] != group[:, SIDE:]).any()


def test_pick_faces_runs_without_the_nodes_behind_it(server: Server, picture: np.ndarray) -> None:
    Image.fromarray(group_of_two(picture)).save(server.base / "input" / "group.png")
    made = prompt(server, "pick_faces", image="group.png")
    kinds = {"LoadImage", "VisageLoadFaceDetector", "VisageDetectFaces", "VisagePickFaces"}
    made = {number: node for number, node in made.items() if node["class_type"] in kinds}
    (picker,) = (number for number, node in made.items() if node["class_type"] == "VisagePickFaces")
    for choice, taken in (("", "2 of 2"), ("take 24,33,20,36", "1 of 2"), ("none; draw 76,40,10,20", "1 of 3")):
        made[picker]["inputs"]["choice"] = choice
        (report,) = server.run(made)["outputs"][picker]["text"]
        assert report.startswith(f"Image 1: {taken} faces taken"), report
    made[picker]["inputs"]["choice"] = "the tall one"
    assert "'the tall one' is no entry of a choice" in json.dumps(server.post(made))


def test_faces_go_to_comfyuis_own_nodes_and_come_back(server: Server, picture: np.ndarray) -> None:
    Image.fromarray(group_of_two(picture)).save(server.base / "input" / "group.png")
    made = {
        "image": {"class_type": "LoadImage", "inputs": {"image": "group.png"}},
        "detector": {"class_type": "VisageLoadFaceDetector", "inputs": {"model_name": "yolov8n-face.pt"}},
        "find": {
            "class_type": "VisageDetectFaces",
            "inputs": {
                "image": ["image", 0],
                "detector": ["detector", 0],
                "confidence": 0.5,
                "min_size": 0,
                "tiles": "auto",
                "rotations": False,
                "preview": False,
            },
        },
        "to": {"class_type": "VisageFacesTo", "inputs": {"faces": ["find", 0], "crop_factor": 3.0}},
        "draw": {"class_type": "DrawBBoxes", "inputs": {"image": ["image", 0], "bboxes": ["to", 0]}},
        "drawn": {"class_type": "PreviewImage", "inputs": {"images": ["draw", 0]}},
        "grow": {"class_type": "GrowMask", "inputs": {"mask": ["to", 2], "expand": 8, "tapered_corners": False}},
        "grown": {"class_type": "MaskPreview", "inputs": {"mask": ["grow", 0]}},
        "box": {"class_type": "PrimitiveBoundingBox", "inputs": {"x": 600, "y": 400, "width": 64, "height": 48}},
    }
    sources = {"boxes": {"bboxes": ["to", 0]}, "segs": {"segs": ["to", 1]}, "mask": {"mask": ["grow", 0]}}
    sources |= {
        "one": {"bboxes": ["box", 0]},
        "all": {name: wire for one in sources.values() for name, wire in one.items()},
    }
    for name, wires in sources.items():
        made[name] = {"class_type": "VisageFacesFrom", "inputs": {"image": ["image", 0], "min_part": 8} | wires}
        made[f"number of {name}"] = {"class_type": "PreviewAny", "inputs": {"source": [name, 1]}}
        made[f"{name} to"] = {"class_type": "VisageFacesTo", "inputs": {"faces": [name, 0], "crop_factor": 1.0}}
        made[f"mask of {name}"] = {"class_type": "MaskPreview", "inputs": {"mask": [f"{name} to", 2]}}
    done = server.run(made)
    assert done["status"]["status_str"] == "success", done["status"]["messages"]
    outputs = done["outputs"]
    numbers = {name: outputs[f"number of {name}"]["text"] for name in sources}
    assert numbers == {"boxes": ["2"], "segs": ["2"], "mask": ["2"], "one": ["1"], "all": ["2"]}
    masks = {name: server.picture(outputs[f"mask of {name}"]["images"][0])[..., 0] == 255 for name in sources}
    grown = server.picture(outputs["grown"]["images"][0])[..., 0] == 255
    assert np.array_equal(masks["mask"], grown)
    assert grown.sum() > masks["boxes"].sum() > 0
    assert not (masks["boxes"] & ~grown).any()
    # At most a line of pixels on each side.
    assert (masks["boxes"] ^ masks["segs"]).sum() < 8 * SIDE
    assert (masks["one"].sum(), masks["one"][400:448, 600:664].all()) == (48 * 64, True)
    # What is drawn lies on the sides of the boxes.
    drawn = (server.picture(outputs["drawn"]["images"][0]) != group_of_two(picture)).any(-1)
    assert drawn.any()
    assert not (drawn & ~grown).any()


@pytest.mark.parametrize("upscaled", [False, True], ids=["as shipped", "with an upscaler"])
def test_old_photo(server: Server, picture: np.ndarray, upscaled: bool) -> None:
    """Enlarged twice; with the bypassed group switched on as its note says, four times."""
    side = SIDE // (4 if upscaled else 2)
    small = Image.fromarray(picture).resize((side, side), Image.Resampling.BOX)
    small.save(server.base / "input" / "small.png")
    if upscaled:
        made = prompt_from(server, switched_on(workflow("old_photo")), image="small.png", scale_by=1.0)
    else:
        made = prompt(server, "old_photo", image="small.png")
        assert not any("Upscale" in node["class_type"] for node in made.values())
    made["enlarged"] = {"class_type": "PreviewImage", "inputs": {"images": [the_only(made, "ImageScaleBy"), 0]}}
    outputs = outputs_of(server, made)
    assert "1 of 1 face restored" in outputs[the_only(made, "PreviewAny")]["text"][0]
    enlarged = server.picture(outputs["enlarged"]["images"][0])
    restored = server.picture(outputs[the_only(made, "SaveImage")]["images"][0])
    assert restored.shape == enlarged.shape == picture.shape
    # The faces have gone into the enlarged picture.
    assert np.array_equal(outside(restored), outside(enlarged))
    assert np.abs(in_face(restored) - in_face(enlarged)).mean() > 1


def test_segs_bridge(server: Server, picture: np.ndarray) -> None:
    """Without the Impact Pack: its SEGS go from one node of Visage into the other. Then into nodes of ComfyUI."""
    made = prompt(server, "segs_bridge")
    image, restore = the_only(made, "LoadImage"), the_only(made, "VisageRestoreFaces")
    composite = {
        "destination": [image, 0],
        "source": [restore, 0],
        "mask": ["grow", 0],
        "x": 0,
        "y": 0,
        "resize_source": False,
    }
    made["grow"] = {
        "class_type": "GrowMask",
        "inputs": {"mask": [restore, 1], "expand": 4, "tapered_corners": False},
    }
    made["composite"] = {"class_type": "ImageCompositeMasked", "inputs": composite}
    made["composed"] = {"class_type": "PreviewImage", "inputs": {"images": ["composite", 0]}}
    made["replaced"] = {"class_type": "MaskPreview", "inputs": {"mask": [restore, 1]}}
    outputs = outputs_of(server, made)
    restored = server.picture(outputs[the_only(made, "SaveImage")]["images"][0])
    assert np.array_equal(outside(restored), outside(picture))
    assert sharpness(restored) > 1.1 * sharpness(picture)
    replaced = server.picture(outputs["replaced"]["images"][0])[..., 0]
    # Masks have more steps than pictures of eight bits.
    assert np.abs(restored[replaced == 0].astype(int) - picture[replaced == 0]).max() <= 1
    composed = server.picture(outputs["composed"]["images"][0])
    assert np.abs(composed[replaced == 255].astype(int) - restored[replaced == 255]).max() <= 1
    assert np.array_equal(outside(composed), outside(picture))


def test_mediapipe_restore(server: Server, picture: np.ndarray) -> None:
    """With weights that nobody trained, of the layout that ComfyUI loads (see ``comfy_mediapipe.py``).

    Its loader, its detectors, its mesh and the geometry behind them are the real ones, and so is everything of Visage.
    Pretended is what the networks see: the middle of the reddest patch for a face, and one mean face for its mesh.
    They are asked for one face, because they would see several in that patch.
    """
    made = prompt(server, "mediapipe_restore", num_faces=1)
    assert not any("Detector" in node["class_type"] for node in made.values())
    find, faces = the_only(made, "MediaPipeFaceLandmarker"), the_only(made, "VisageFacesFrom")
    made["boxes"] = {"class_type": "PreviewAny", "inputs": {"source": [find, 1]}}
    made["to"] = {"class_type": "VisageFacesTo", "inputs": {"faces": [faces, 0], "crop_factor": 1.0}}
    made["five"] = {"class_type": "PreviewAny", "inputs": {"source": ["to", 0]}}
    made["ovals"] = {"class_type": "MaskPreview", "inputs": {"mask": ["to", 2]}}
    outputs = outputs_of(server, made)
    ((box,),) = json.loads(outputs["boxes"]["text"][0])
    left, top, side = PLACE
    assert left < box["x"] + box["width"] / 2 < left + side
    assert top < box["y"] + box["height"] / 2 < top + side
    ((face,),) = json.loads(outputs["five"]["text"][0])
    assert face["x"] - 0.5 == pytest.approx(box["x"], abs=0.01)
    # The eyes of the mean face, and it is upright.
    across = [(x - box["x"]) / box["width"] for x, _ in face["landmarks"]]
    assert across == pytest.approx([0.32, 0.68, 0.5, 0.34, 0.66], abs=0.01)
    assert face["angle"] == pytest.approx(0, abs=0.5)
    oval = server.picture(outputs["ovals"]["images"][0])[..., 0] == 255
    assert oval.sum() == pytest.approx(np.pi / 4 * box["width"] * box["height"], rel=0.02)
    restored = server.picture(outputs[the_only(made, "SaveImage")]["images"][0])
    assert np.abs(restored[oval].astype(float) - picture[oval]).mean() > 1
    assert np.array_equal(outside(restored), outside(picture))
    drawn = server.picture(outputs[the_only(made, "PreviewImage")]["images"][0])
    assert (drawn == (0, 255, 0)).all(-1).any()


def three_frames(picture: np.ndarray) -> list[np.ndarray]:
    """``[160, 320, 3]`` each: a face at the left, nobody, the face at the right."""
    left, top, side = PLACE
    face = Image.fromarray(picture[top : top + side, left : left + side]).resize((128, 128), Image.Resampling.BOX)
    frames = [Image.new("RGB", (320, 160), (90, 110, 120)) for _ in range(3)]
    frames[0].paste(face, (10, 16))
    frames[2].paste(face, (182, 16))
    return [np.asarray(frame) for frame in frames]


def write_video(file: Path, frames: list[np.ndarray]) -> None:
    """Eight frames in a second, with a tone."""
    import av

    with av.open(str(file), "w") as video:
        stream = video.add_stream("libx264", rate=8, options={"crf": "10"})
        sound = video.add_stream("aac", rate=16000)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        tone = np.sin(np.arange(6000, dtype=np.float32) / 8)[None]
        heard = av.AudioFrame.from_ndarray(tone, "fltp", layout="mono")
        heard.rate = 16000
        video.mux(sound.encode(heard))
        video.mux([*stream.encode(), *sound.encode()])


def test_video_frames(server: Server, picture: np.ndarray) -> None:
    import av

    write_video(server.base / "input" / "three.mp4", three_frames(picture))
    made = prompt(server, "video_frames")
    for name, node in (("before", "GetVideoComponents"), ("after", "VisageRestoreFaces")):
        made[name] = {"class_type": "PreviewImage", "inputs": {"images": [the_only(made, node), 0]}}
    outputs = outputs_of(server, made)
    (people,) = outputs[the_only(made, "VisageTrackFaces")]["text"]
    assert people.startswith("2 of 2 people taken\n- face 1 ")
    before, after = ([server.picture(each) for each in outputs[name]["images"]] for name in ("before", "after"))
    changed = [np.flatnonzero((one != other).any(-1).any(0)) for one, other in zip(before, after, strict=True)]
    assert len(changed) == 3
    assert changed[0].size > 40
    assert changed[0].max() < 160
    assert changed[1].size == 0
    assert changed[2].size > 40
    assert changed[2].min() > 160
    (report,) = outputs[the_only(made, "PreviewAny")]["text"]
    assert report.startswith("Image 1: 1 of 1 face restored")
    (saved,) = outputs[the_only(made, "SaveVideo")]["images"]
    query = "&".join(f"{name}={saved[name]}" for name in ("filename", "subfolder", "type"))
    with av.open(io.BytesIO(server.get(f"/view?{query}"))) as video:
        assert (video.streams.video[0].average_rate, len(video.streams.audio)) == (8, 1)
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in video.decode(video=0)]
    # The codec loses something, but no frame is taken for another.
    distances = [[np.abs(frame - other).mean() for other in after] for frame in frames]
    assert [int(np.argmin(row)) for row in distances] == [0, 1, 2]
    assert max(min(row) for row in distances) < 4


def test_pictures_in_the_place_of_a_video(server: Server, picture: np.ndarray) -> None:
    """As the note of the workflow says: Batch Images before it and Save Image behind it."""
    frames = three_frames(picture)
    made = prompt(server, "video_frames")
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(server.base / "input" / f"frame{number}.png")
        made[f"frame {number}"] = {"class_type": "LoadImage", "inputs": {"image": f"frame{number}.png"}}
    wires = {f"images.image{number}": [f"frame {number}", 0] for number in range(3)}
    made["batch"] = {"class_type": "BatchImagesNode", "inputs": wires}
    for node in ("VisageDetectFaces", "VisageTrackFaces", "VisageRestoreFaces"):
        made[the_only(made, node)]["inputs"]["image"] = ["batch", 0]
    made["save"] = {
        "class_type": "SaveImage",
        "inputs": {"images": [the_only(made, "VisageRestoreFaces"), 0], "filename_prefix": "frames"},
    }
    without = {"LoadVideo", "GetVideoComponents", "CreateVideo", "SaveVideo"}
    made = {number: node for number, node in made.items() if node["class_type"] not in without}
    restored = [server.picture(each) for each in outputs_of(server, made)["save"]["images"]]
    assert [(one != other).any() for one, other in zip(frames, restored, strict=True)] == [True, False, True]
    assert np.array_equal(restored[0][:, 160:], frames[0][:, 160:])
    assert np.array_equal(restored[2][:, :160], frames[2][:, :160])


def test_postfix_portrait(server: Server, picture: np.ndarray) -> None:
    """As shipped, the picture goes through the bypassed Refine Faces as it is. Then with its group switched on."""
    made = prompt(server, "postfix_portrait")
    kinds = {node["class_type"] for node in made.values()}
    assert not kinds & {"VisageRefineFaces", "CheckpointLoaderSimple", "CLIPTextEncode", "PreviewImage"}
    restored = result(server, made, "SaveImage")
    assert np.array_equal(outside(restored), outside(picture))
    assert np.abs(in_face(restored) - in_face(picture)).mean() > 1
    made = prompt_from(server, switched_on(workflow("postfix_portrait")), **QUICKLY)
    crops = the_only(made, "PreviewImage")
    made["restored"] = {"class_type": "PreviewImage", "inputs": {"images": [the_only(made, "VisageRestoreFaces"), 0]}}
    outputs = outputs_of(server, made)
    assert np.array_equal(server.picture(outputs["restored"]["images"][0]), restored)
    refined = server.picture(outputs[the_only(made, "SaveImage")]["images"][0])
    assert np.array_equal(outside(refined), outside(picture))
    assert np.abs(in_face(refined) - in_face(restored)).mean() > 1
    (crop,) = outputs[crops]["images"]
    assert max(server.picture(crop).shape) == QUICKLY["max_size"]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, picture: np.ndarray) -> Iterator[Server]:
    """A machine on which nothing has been downloaded, with a picture and a video of the names that workflows have."""
    if reason := comfy_side.why_not():
        pytest.skip(reason)
    base = tmp_path_factory.mktemp("fresh")
    for folder in ("custom_nodes", "input", "models"):
        (base / folder).mkdir()
    (base / "custom_nodes" / PACK).symlink_to(ROOT)
    Image.fromarray(picture).save(base / "input" / "example.png")
    write_video(base / "input" / "example.mp4", three_frames(picture))
    running = Server(comfy_side.comfyui(), base, PACK)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


def as_opened(server: Server, name: str) -> dict[str, Any]:
    """The prompt of a workflow that is opened and run, with nothing changed."""
    return prompt_of(expanded(without_bypassed(workflow(name))), server.json("/object_info"))


@pytest.mark.parametrize("name", [path.stem for path in WORKFLOWS if path.stem not in NEEDS])
def test_workflow_runs_with_the_built_in_models_alone(fresh: Server, name: str) -> None:
    made = as_opened(fresh, name)
    outputs = outputs_of(fresh, made)
    if name == "detect_and_preview":
        assert outputs[the_only(made, "PreviewAny")]["text"] == ["1"]
        return
    (report,) = outputs[the_only(made, "VisageRestoreFaces")]["text"]
    assert report.startswith("Image 1: 1 of 1 face restored")
    (saved,) = (number for number, node in made.items() if node["class_type"] in {"SaveImage", "SaveVideo"})
    assert outputs[saved]["images"]


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_nothing_but_the_named_files_is_missing(fresh: Server, name: str) -> None:
    answer = fresh.post(as_opened(fresh, name))
    errors = [error for node in answer["node_errors"].values() for error in node["errors"]]
    assert {error["extra_info"]["received_value"] for error in errors} == NEEDS[name]


def blueprints(server: Server) -> dict[str, dict[str, Any]]:
    """The subgraphs of the pack as the server lists them, by their names, with what it serves for each."""
    listed = server.json("/global_subgraphs")
    ours = {key: entry for key, entry in listed.items() if entry["info"]["node_pack"] == f"custom_nodes.{PACK}"}
    assert all(entry["source"] == "custom_node" for entry in ours.values())
    return {entry["name"]: json.loads(server.json(f"/global_subgraphs/{key}")["data"]) for key, entry in ours.items()}


def with_blueprint(blueprint: dict[str, Any], wires: dict[str, str]) -> dict[str, Any]:
    """A workflow with a blueprint whose inputs are connected to a picture or a checkpoint and whose image is saved.

    Args:
        wires: for each input that is connected, the output it is connected to.
    """
    (host,) = json.loads(json.dumps(blueprint["nodes"]))
    outputs = {"IMAGE": (101, 0), "MODEL": (102, 0), "CLIP": (102, 1), "VAE": (102, 2)}
    links = []
    for slot, socket in enumerate(host["inputs"]):
        if socket["name"] in wires:
            kind = wires[socket["name"]]
            links.append([len(links) + 1, *outputs[kind], host["id"], slot, kind])
            socket["link"] = len(links)
    host["outputs"][0]["links"] = [99]
    links.append([99, host["id"], 0, 103, 0, "IMAGE"])
    nodes = [
        {"id": 101, "type": "LoadImage", "inputs": [], "widgets_values": ["example.png", "image"]},
        {"id": 103, "type": "SaveImage", "inputs": [{"name": "images", "link": 99}], "widgets_values": ["blueprint"]},
    ]
    if {"MODEL", "CLIP", "VAE"} & set(wires.values()):
        nodes.append({"id": 102, "type": "CheckpointLoaderSimple", "inputs": [], "widgets_values": [CHECKPOINT]})
    return blueprint | {"nodes": [host, *nodes], "links": links}


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_blueprint_is_served_and_runs_in_a_graph(server: Server, picture: np.ndarray, path: Path) -> None:
    served = blueprints(server)
    assert set(served) == {each.stem for each in BLUEPRINTS}
    blueprint = served[path.stem]
    assert blueprint == json.loads(path.read_text(encoding="utf-8"))
    kinds = {socket["name"]: socket["type"] for socket in blueprint["nodes"][0]["inputs"] if "widget" not in socket}
    needed = {name: kind for name, kind in kinds.items() if name in {"image", "model", "clip", "vae"}}
    quickly = QUICKLY if "model" in needed else {}
    made = prompt_from(server, with_blueprint(blueprint, needed), **quickly)
    assert not any("-" in node["class_type"] for node in made.values())
    worked = result(server, made, "SaveImage")
    assert worked.shape == picture.shape
    assert np.array_equal(outside(worked), outside(picture))
    assert np.abs(in_face(worked) - in_face(picture)).mean() > 1


def test_faces_from_nothing_and_unreadable_indices_are_refused_before_they_run(server: Server) -> None:
    made = prompt(server, "group_selected_faces", indices="the first")
    assert "'the first' is no place" in json.dumps(server.post(made))
    image = {"class_type": "LoadImage", "inputs": {"image": "face.png"}}
    faces = {"class_type": "VisageFacesFrom", "inputs": {"image": ["image", 0], "min_part": 8}}
    shown = {"class_type": "PreviewAny", "inputs": {"source": ["faces", 1]}}
    assert "connect bboxes" in json.dumps(server.post({"image": image, "faces": faces, "shown": shown}))


def test_checkpoint_is_not_even_loaded_where_there_is_no_face(server: Server, picture: np.ndarray) -> None:
    made = prompt(server, "refine_portrait", image="nobody.png", ckpt_name="broken.safetensors")
    (encode, *_) = (node for node in made.values() if node["class_type"] == "CLIPTextEncode")
    assert made[encode["inputs"]["clip"][0]]["inputs"]["ckpt_name"] == "broken.safetensors"
    done = server.run(made)
    assert done["status"]["status_str"] == "success", done["status"]["messages"]
    outputs = {made[number]["class_type"]: output for number, output in done["outputs"].items()}
    assert np.array_equal(server.picture(outputs["SaveImage"]["images"][0]), picture[:64, :64])
    # There are no crops, so the node that shows them does not run.
    assert "PreviewImage" not in outputs


@pytest.mark.parametrize("name", ["restore_portrait", "crop_restore_paste"])
def test_picture_without_a_face_comes_out_as_it_is(server: Server, picture: np.ndarray, name: str) -> None:
    assert np.array_equal(result(server, prompt(server, name, image="nobody.png"), "SaveImage"), picture[:64, :64])


def test_models_are_not_even_loaded_at_strength_0(server: Server, picture: np.ndarray) -> None:
    made = prompt(server, "restore_portrait", strength=0.0)
    (loader,) = (node for node in made.values() if node["class_type"] == "VisageLoadFaceRestorer")
    loader["inputs"]["model_name"] = "broken.pth"
    assert np.array_equal(result(server, made, "SaveImage"), picture)
    (node,) = (node for node in made.values() if node["class_type"] == "VisageRestoreFaces")
    node["inputs"]["strength"] = 0.9
    status = server.run(made)["status"]
    assert status["status_str"] == "error"
    (error,) = (content for kind, content in status["messages"] if kind == "execution_error")
    assert error["node_type"] == "VisageLoadFaceRestorer"
    assert "broken.pth is empty: the download failed" in error["exception_message"]


def test_missing_model_is_refused_with_advice(server: Server) -> None:
    made = prompt(server, "restore_portrait", model_name="absent.pt")
    answer = json.dumps(server.post(made))
    assert "There is no face detector called 'absent.pt'" in answer
    assert "models/facerestore_models" in answer


def test_restore_faces_without_a_detector_says_so_before_a_model_is_loaded(server: Server) -> None:
    made = prompt(server, "restore_portrait")
    (loader,) = (node for node in made.values() if node["class_type"] == "VisageLoadFaceRestorer")
    loader["inputs"]["model_name"] = "broken.pth"
    (node,) = (node for node in made.values() if node["class_type"] == "VisageRestoreFaces")
    del node["inputs"]["detector"]
    (error,) = (content for kind, content in server.run(made)["status"]["messages"] if kind == "execution_error")
    assert error["node_type"] == "VisageRestoreFaces"
    assert "connect a detector" in error["exception_message"]
