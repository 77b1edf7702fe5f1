"""The plan of a YOLO network is held against fixed lists before anything is built from it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from visage.models.detectors.ultralytics_import import ultralytics_module
from visage.models.detectors.yolo_layout import checked_layout
from visage.models.weights import WeightsError

PLAN: dict[str, Any] = {
    "nc": 1,
    "depth_multiple": 0.33,
    "width_multiple": 0.25,
    "kpt_shape": [5, 3],
    "backbone": [
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 3, "C2f", [128, True]],
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
    ],
    "head": [[[-1, 1], 1, "Concat", [1]], [[1, 2, 3], 1, "Pose", ["nc", "kpt_shape"]]],
    "ch": 3,
    "yaml_file": "/home/somebody/model.yaml",
}


def published_plans() -> list[Path]:
    import importlib.util

    found = importlib.util.find_spec("ultralytics")
    assert found is not None and found.origin is not None
    return sorted((Path(found.origin).parent / "cfg" / "models").rglob("*.yaml"))


@pytest.mark.parametrize("path", published_plans(), ids=lambda path: path.stem)
def test_published_plans(path: Path) -> None:
    """Detect, segment and pose networks pass, from YOLOv3 to YOLO26; networks for other jobs are refused."""
    import yaml

    plan = yaml.safe_load(path.read_text())
    job = plan["head"][-1][2]
    other = job in ("Classify", "OBB", "OBB26", "RTDETRDecoder", "SemanticSegment", "Depth", "WorldDetect")
    if other or job.startswith("YOLOE"):
        with pytest.raises(WeightsError, match=r"model\.pt was refused"):
            checked_layout("model.pt", plan, None)
    else:
        layout = checked_layout("model.pt", plan, {index: f"class {index}" for index in range(plan["nc"])})
        for size in plan.get("scales", ()):
            checked_layout("model.pt", plan | {"scale": size}, None)
        assert layout.task == {"D": "detect", "v": "detect", "S": "segment", "P": "pose"}[job[0]]
        assert len(layout.names) == plan["nc"]


def test_what_is_kept() -> None:
    layout = checked_layout("model.pt", PLAN, {"0": "face"})
    assert layout.names == ("face",)
    assert layout.task == "pose"
    assert layout.landmark_values == 3
    assert "yaml_file" not in layout.plan
    assert checked_layout("model.pt", PLAN, ["face"]).names == ("face",)
    assert checked_layout("model.pt", PLAN, None).names == ("0",)


def test_only_five_points_are_landmarks_of_a_face() -> None:
    assert checked_layout("person.pt", PLAN | {"kpt_shape": [17, 3]}, ["person"]).landmark_values == 0
    assert checked_layout("face.pt", PLAN | {"kpt_shape": [5, 2]}, ["face"]).landmark_values == 2


def itself() -> list[Any]:
    loop: list[Any] = [1]
    loop.append(loop)
    return loop


def changed(**changes: object) -> dict[str, Any]:
    return copy.deepcopy(PLAN) | changes


def with_layer(*layer: object) -> dict[str, Any]:
    return changed(backbone=[*PLAN["backbone"], list(layer)])


@pytest.mark.parametrize(
    "plan",
    [
        None,
        "yolov8n.yaml",
        {},
        changed(backbone=None),
        changed(head=[]),
        changed(head=PLAN["head"][:1]),
        changed(head=[*PLAN["head"], [-1, 1, "Conv", [64]]]),
        changed(nc="__import__('os').system('touch x')"),
        changed(nc=10**9),
        changed(nc=float("nan")),
        changed(nc=True),
        changed(channels=4),
        changed(ch=1),
        changed(activation="__import__('os').system('touch x')"),
        changed(activation="nn.SiLU() or print()"),
        changed(activation=["nn.SiLU()"]),
        changed(kpt_shape=[5, "x"]),
        changed(scales={"n": ["x"]}),
        changed(scales={"n": [0.3, 0.2, 1024]}, scale="q"),
        with_layer(-1, 1, "os.system", ["touch x"]),
        with_layer(-1, 1, "exec", ["1"]),
        with_layer(-1, 1, "torch_load", ["x"]),
        with_layer(-1, 1, "TorchVision", [512, "resnet18", "DEFAULT"]),
        with_layer(-1, 1, "nn.Module", []),
        with_layer(-1, 1, "torchvision.ops.nms", []),
        with_layer(-1, 1, "Detect", ["nc"]),
        with_layer(-1, 1, ["Conv"], [64]),
        with_layer(-1, 1, "Conv", ["layers"]),
        with_layer(-1, 1, "Conv", ["d"]),
        with_layer(-1, 1, "Conv", [10**7, 3]),
        with_layer(-1, 10**6, "Conv", [64, 3]),
        with_layer(-1, 1, "Conv", [{"a": 1}]),
        with_layer(-1, 1, "Conv", itself()),
        with_layer(-1, 1, "Conv"),
        changed(backbone=[[-1, 1, "Conv", [64, 3, 2]]] * 300),
        changed(backbone=[[-1, 4000, "Conv", [64, 1, 1]]], depth_multiple=4000),
        changed(backbone=[[-1, 4000, "C2f", [64]]], scales={"n": [4000, 0.25, 1024]}),
        changed(width_multiple=40),
        changed(scales={"n": [0.33, 40, 4096]}),
        with_layer(-1, 0, "Conv", [64, 3]),
        with_layer(-1, -4, "C2f", [64, True]),
        with_layer(-1, 1, "Conv", [4096, 3]),
        with_layer(-1, 1, "HGBlock", [48, 4096, 3]),
        with_layer(-1, 1, "CBLinear", [[64, 4096]]),
        with_layer(-1, 1, "Conv", [64, 999, 1]),
        with_layer(-1, 1, "Conv", [64, 1, 1, 999]),
        with_layer(-1, 1, "C2f", [64, True, 1, 4000.0]),
        with_layer(-1, 1, "nn.ZeroPad2d", [[999] * 4]),
        with_layer(-1, 1, "nn.Upsample", ["None", 16, "nearest"]),
        with_layer([-1] * 400, 1, "Concat", [1]),
        changed(kpt_shape=[2] * 400),
    ],
    ids=str,
)
def test_everything_else_is_refused(plan: object) -> None:
    with pytest.raises(WeightsError, match=r"model\.pt was refused: .* Nothing was run"):
        checked_layout("model.pt", plan, ["face"])


def test_the_lists_name_layers_that_exist() -> None:
    """A typing error here would refuse good files."""
    from torch import nn
    from visage.models.detectors import yolo_layout

    tasks = ultralytics_module("ultralytics.nn.tasks")
    for name in yolo_layout._LAYERS | yolo_layout._TASKS.keys():
        kind = getattr(nn, name[3:]) if name.startswith("nn.") else getattr(tasks, name)
        assert issubclass(kind, nn.Module), name
    for call in yolo_layout._ACTIVATIONS:
        name = call.split("nn.")[1].split("(")[0]
        assert issubclass(getattr(nn, name), nn.Module), call
