"""The workflows that come with Visage, run by a real ComfyUI server with real weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from visage.tests import comfy_side
from visage.tests.comfy_prompt import WIDGETS, prompt_of, widget_names
from visage.tests.comfy_server import Server
from visage.tests.test_workflows import ROOT, SCHEMAS, WORKFLOWS, workflow

# What the workflows ask for, and the small files that stand in for it.
WEIGHTS = {
    "face_yolov8m.pt": ("yolov8n-face.pt", "ultralytics/bbox"),
    "GFPGANv1.4.pth": ("realesr-general-x4v3.pth", "facerestore_models"),
    "RealESRGAN_x4plus.safetensors": ("realesr-general-x4v3.pth", "upscale_models"),
    "example.png": ("face.png", None),
    "v1-5-pruned-emaonly-fp16.safetensors": ("small.safetensors", None),
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
            (base / "models" / folder / name).symlink_to(data / "weights" / name)
    (base / "models" / "facerestore_models" / "broken.pth").write_bytes(b"")
    (base / "models" / "checkpoints").mkdir()
    (base / "models" / "checkpoints" / "broken.safetensors").write_bytes(b"")
    write_checkpoint(base / "models" / "checkpoints" / "small.safetensors")
    Image.fromarray(picture).save(base / "input" / "face.png")
    Image.fromarray(picture[:64, :64]).save(base / "input" / "nobody.png")
    running = Server(comfyui, base, PACK)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


def write_checkpoint(file: Path) -> None:
    """One in the layout of Stable Diffusion 1.5 with random weights, made by ComfyUI in a process of its own."""
    done = subprocess.run(
        [sys.executable, "comfy_diffusion.py", str(file)],
        cwd=Path(__file__).resolve().parent,
        env=os.environ | {comfy_side.VARIABLE: "comfyui"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def prompt(server: Server, name: str, **changes: Any) -> dict[str, Any]:
    """The prompt of a workflow, with the files at hand and with some inputs changed wherever they occur."""
    made = prompt_of(workflow(name), server.json("/object_info"))
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


def test_crop_restore_paste(server: Server, picture: np.ndarray) -> None:
    pasted = result(server, prompt(server, "crop_restore_paste"), "SaveImage")
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


def test_restore_faces_without_a_detector_is_refused_before_it_runs(server: Server) -> None:
    made = prompt(server, "restore_portrait")
    (node,) = (node for node in made.values() if node["class_type"] == "VisageRestoreFaces")
    del node["inputs"]["detector"]
    assert "connect a detector" in json.dumps(server.post(made))
