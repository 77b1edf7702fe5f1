"""YOLO files and networks: read without running them, converted without a changed bit, decoded as ultralytics does."""

from __future__ import annotations

import json
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from visage.models.detectors import load_detector
from visage.models.detectors.ultralytics_import import ultralytics_module
from visage.models.detectors.yolo import YoloProposer
from visage.models.detectors.yolo_files import YoloFile, build_yolo, convert_yolo, read_yolo_pickle
from visage.models.detectors.yolo_layout import checked_layout
from visage.models.host import TorchHost
from visage.models.weights import WeightsError, read_weights

HOST = TorchHost("cpu", quiet=True)
FILES = ("yolov8n-face.pt", "face_yolov8n.pt", "yolov8n-seg.pt")


def photograph(data: Path) -> Tensor:
    """``[1, 3, 384, 512]``."""
    import cv2

    picture = cv2.imread(str(data / "photos" / "dlib_faces" / "2008_002506.jpg"))
    tensor = torch.from_numpy(picture[:, :, ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    return nn.functional.pad(tensor, (0, 12, 0, 9), value=0.5)


def plan_of(name: str, **changes: object) -> dict[str, Any]:
    """A plan that ultralytics publishes, at its smallest size."""
    import importlib.util

    import yaml

    found = importlib.util.find_spec("ultralytics")
    assert found is not None and found.origin is not None
    plan: dict[str, Any] = yaml.safe_load((Path(found.origin).parent / "cfg" / "models" / name).read_text())
    return plan | {"scale": "n", "nc": 2} | changes


def network_of(plan: dict[str, Any], kind: str = "DetectionModel") -> Any:
    """A network with random weights, the normalisation too, as a trained one has."""
    torch.manual_seed(3)
    network = getattr(ultralytics_module("ultralytics.nn.tasks"), kind)(plan, ch=3, verbose=False).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    network.names = {0: "face", 1: "hand"}
    return network


def file_of(network: Any) -> YoloFile:
    return YoloFile(checked_layout("test", network.yaml, network.names), network.state_dict())


def reference(output: Tensor, min_score: float, overlap: float, classes: int) -> list[Tensor]:
    """What ultralytics makes of the output of its network: rows of box, score, class, extras."""
    suppress = ultralytics_module("ultralytics.utils.nms").non_max_suppression
    found: list[Tensor] = suppress(output, min_score, overlap, nc=classes, max_det=3000)
    return found


@pytest.mark.parametrize("name", FILES)
def test_decoding_equals_ultralytics(data: Path, name: str) -> None:
    proposer = YoloProposer(name, read_yolo_pickle(data / "weights" / name), HOST)
    picture = photograph(data)
    with torch.inference_mode():
        output = proposer.resident.module(picture.contiguous(memory_format=torch.channels_last))[0]
    expected = reference(output[0] if name.endswith("seg.pt") else output, 0.1, 0.4, len(proposer.labels))[0]
    (found,) = proposer.propose(picture, 0.1, 0.4)
    assert len(found) == len(expected) >= 3
    assert torch.allclose(found.boxes + 0.5, expected[:, :4], atol=1e-3)
    assert torch.equal(found.scores, expected[:, 4])
    assert torch.equal(found.labels, expected[:, 5].long())
    if name == "yolov8n-face.pt":
        assert found.landmarks is not None
        assert torch.allclose(found.landmarks + 0.5, expected[:, 6:].view(-1, 5, 3)[..., :2], atol=1e-3)
    else:
        assert found.landmarks is None
    assert (found.outlines is not None) == (name == "yolov8n-seg.pt")


def test_masks_equal_ultralytics(data: Path) -> None:
    import cv2
    import numpy as np

    proposer = YoloProposer("seg", read_yolo_pickle(data / "weights" / "yolov8n-seg.pt"), HOST)
    picture = photograph(data)
    with torch.inference_mode():
        output, prototypes = proposer.resident.module(picture.contiguous(memory_format=torch.channels_last))[0]
    rows = reference(output, 0.5, 0.4, 80)[0]
    process = ultralytics_module("ultralytics.utils.ops").process_mask
    expected = process(prototypes[0], rows[:, 6:], rows[:, :4], picture.shape[2:], upsample=True)
    (found,) = proposer.propose(picture, 0.5, 0.4)
    assert found.outlines is not None and len(found.outlines) == len(expected) >= 3
    for outline, mask in zip(found.outlines, expected, strict=True):
        drawn = np.zeros(picture.shape[2:], np.uint8)
        cv2.fillPoly(drawn, [outline.round().int().numpy()], 1)
        ours, theirs = torch.from_numpy(drawn) > 0, mask.cpu() > 0.5
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.97


@pytest.mark.parametrize("name", FILES)
def test_a_converted_file_gives_the_same_bits(data: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "converted.safetensors"
    convert_yolo(data / "weights" / name, target)
    assert [path.name for path in tmp_path.iterdir()] == ["converted.safetensors"]
    original, converted = load_detector(data / "weights" / name, HOST), load_detector(target, HOST)
    assert converted.proposer.labels == original.proposer.labels
    assert original.proposer.resident is not None and converted.proposer.resident is not None
    picture = photograph(data)
    with torch.inference_mode():
        one, two = original.proposer.resident.module(picture)[0], converted.proposer.resident.module(picture)[0]
    for left, right in zip(one, two, strict=True) if name.endswith("seg.pt") else [(one, two)]:
        assert torch.equal(left, right)
    frames = picture.permute(0, 2, 3, 1)
    assert converted.detect(frames) == original.detect(frames)


@pytest.mark.parametrize(
    ("plan", "kind", "changes"),
    [
        ("11/yolo11.yaml", "DetectionModel", {}),
        ("11/yolo11-pose.yaml", "PoseModel", {"kpt_shape": [5, 3]}),
        ("v8/yolov8-pose.yaml", "PoseModel", {"kpt_shape": [5, 2]}),
        ("v8/yolov8-pose.yaml", "PoseModel", {"kpt_shape": [17, 3]}),
        ("v9/yolov9t.yaml", "DetectionModel", {}),
        ("12/yolo12.yaml", "DetectionModel", {"activation": "nn.ReLU()"}),
    ],
)
def test_other_networks_are_decoded_alike(plan: str, kind: str, changes: dict[str, Any]) -> None:
    network = network_of(plan_of(plan, **changes), kind)
    picture = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    proposer = YoloProposer("test", file_of(network), HOST)
    with torch.inference_mode():
        output = network(picture)[0]
        running = proposer.resident.module(picture.contiguous(memory_format=torch.channels_last))[0]
    # Folding the normalisation into the convolutions rounds differently, and nothing else.
    assert torch.allclose(running, output, atol=1e-3, rtol=1e-3)
    floor = float(running[:, 4:6].amax(1).flatten().sort().values[-30])
    for found, expected in zip(proposer.propose(picture, floor, 0.4), reference(running, floor, 0.4, 2), strict=True):
        assert len(found) == len(expected)
        assert torch.allclose(found.boxes + 0.5, expected[:, :4], atol=1e-3)
        shape = changes.get("kpt_shape", [0, 0])
        assert (found.landmarks is not None) == (shape[0] == 5)
        if found.landmarks is not None:
            points = expected[:, 6:].view(-1, *shape)[..., :2]
            assert torch.allclose(found.landmarks + 0.5, points, atol=1e-3)
    assert sum(map(len, proposer.propose(picture, floor, 0.4))) > 0


@pytest.mark.parametrize(
    ("plan", "kind", "changes"),
    [
        ("v10/yolov10n.yaml", "DetectionModel", {}),
        ("26/yolo26.yaml", "DetectionModel", {}),
        ("26/yolo26-pose.yaml", "PoseModel", {"kpt_shape": [5, 3]}),
        ("26/yolo26-seg.yaml", "SegmentationModel", {}),
    ],
)
@pytest.mark.parametrize("chosen", [True, False])
def test_end_to_end_heads(
    plan: str, kind: str, changes: dict[str, Any], chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These can give the best rows themselves: box corners, score, class, extras. Versions of ultralytics differ in
    whether they do so unasked."""
    monkeypatch.setattr(ultralytics_module("ultralytics.nn.modules").Detect, "_end2end", chosen, raising=False)
    network = network_of(plan_of(plan, **changes), kind)
    picture = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    proposer = YoloProposer("test", file_of(network), HOST)
    with torch.inference_mode():
        output = proposer.resident.module(picture.contiguous(memory_format=torch.channels_last))[0]
    (found,) = proposer.propose(picture, 0.0, 1.0)
    rows = (output[0] if kind == "SegmentationModel" else output)[0]
    if not chosen:
        corners = torch.cat((rows[:2] - rows[2:4] / 2, rows[:2] + rows[2:4] / 2))
        rows = torch.cat((corners, rows[4:6].amax(0)[None], rows[4:6].argmax(0)[None], rows[6:])).mT
    assert len(found) == len(rows)
    rows = rows[rows[:, 4].argsort(descending=True, stable=True)]
    assert torch.equal(found.scores, rows[:, 4])
    assert torch.allclose(found.boxes + 0.5, rows[:, :4], atol=1e-3)
    assert torch.equal(found.labels, rows[:, 5].long())
    assert (found.landmarks is not None) == (kind == "PoseModel")
    assert (found.outlines is not None) == (kind == "SegmentationModel")


def test_building_leaves_the_random_numbers_and_the_library_alone() -> None:
    tasks = ultralytics_module("ultralytics.nn.tasks")
    file = file_of(network_of(plan_of("v8/yolov8.yaml", activation="nn.ReLU()")))
    before, activation = torch.get_rng_state(), tasks.Conv.default_act
    build_yolo("test", file)
    assert torch.equal(torch.get_rng_state(), before)
    broken = checked_layout("test", file.layout.plan | {"head": [[[-1, 999], 1, "Detect", ["nc"]]]}, None)
    with pytest.raises(WeightsError, match="do not fit the network"):
        build_yolo("test", YoloFile(broken, file.tensors))
    assert tasks.Conv.default_act is activation


def test_what_is_fused_learns_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to about 8.3.200 fusing is on the record of gradients otherwise, and what it makes is refused as a weight."""
    learning = []
    base = ultralytics_module("ultralytics.nn.tasks").BaseModel
    fuse = base.fuse

    def watched(network: Any, **options: Any) -> Any:
        learning.extend(name for name, value in network.named_parameters() if value.requires_grad)
        return fuse(network, **options)

    monkeypatch.setattr(base, "fuse", watched)
    build_yolo("test", file_of(network_of(plan_of("v8/yolov8.yaml"))))
    assert learning == []


def test_in_inference_mode_too_a_network_is_built_outside_of_it() -> None:
    """As ComfyUI's nodes run in it, and ultralytics builds nothing in it with PyTorch 2.4."""
    with torch.inference_mode():
        network = build_yolo("test", file_of(network_of(plan_of("v8/yolov8.yaml"))))
    assert not any(value.is_inference() for value in network.state_dict().values())


def test_weights_and_plan_must_belong_together() -> None:
    file = file_of(network_of(plan_of("v8/yolov8.yaml")))
    with pytest.raises(WeightsError, match="do not fit"):
        build_yolo("some.pt", YoloFile(checked_layout("some.pt", plan_of("v8/yolov8.yaml", nc=3), None), file.tensors))
    with pytest.raises(WeightsError, match="do not fit"):
        build_yolo("some.pt", YoloFile(file.layout, dict(list(file.tensors.items())[:-1])))


# --- checkpoints as they are found in the wild


class Strange:
    """A pickle that runs a command when it is read in the usual way."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def checkpoint(**extras: object) -> dict[str, Any]:
    return {"model": network_of(plan_of("v8/yolov8.yaml")).half(), "ema": None, "epoch": -1} | extras


def test_a_training_record_is_read_over(tmp_path: Path) -> None:
    """Paths, numpy numbers, bound methods and losses are in real files; none of them is brought to life."""
    import numpy as np

    losses = ultralytics_module("ultralytics.utils.loss")
    made = checkpoint(
        train_args={"save_dir": tmp_path, "names": ["a"]},
        train_metrics={"fitness": np.float64(0.5)},
        loss=losses.FocalLoss(1.5, 0.25),
    )
    made["model"].args = ultralytics_module("ultralytics.utils").IterableSimpleNamespace(box=7.5)
    torch.save(made, tmp_path / "model.pt")
    allowed = set(map(str, torch.serialization.get_safe_globals()))
    file = read_yolo_pickle(tmp_path / "model.pt")
    expected = made["model"].state_dict()
    assert file.tensors.keys() == expected.keys()
    assert all(torch.equal(file.tensors[name], expected[name]) for name in expected)
    assert file.layout.names == ("face", "hand")
    assert file.tensors["model.0.conv.weight"].dtype == torch.float16
    detector = load_detector(tmp_path / "model.pt", HOST)
    assert detector.proposer.labels == ("face", "hand")
    assert set(map(str, torch.serialization.get_safe_globals())) == allowed


def test_the_averaged_network_is_preferred(tmp_path: Path) -> None:
    made = checkpoint()
    made["ema"], made["model"] = made["model"], nn.Conv2d(1, 1, 1)
    torch.save(made, tmp_path / "model.pt")
    assert "model.0.conv.weight" in read_yolo_pickle(tmp_path / "model.pt").tensors


def test_names_of_old_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions before 8.0.44 called their modules otherwise; files from then are still about."""
    old = types.ModuleType("ultralytics.yolo.utils")
    old.IterableSimpleNamespace = type("IterableSimpleNamespace", (), {"__module__": old.__name__})  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ultralytics.yolo", types.ModuleType("ultralytics.yolo"))
        patch.setitem(sys.modules, "ultralytics.yolo.utils", old)
        torch.save(checkpoint(train_args=old.IterableSimpleNamespace()), tmp_path / "old.pt")
    assert read_yolo_pickle(tmp_path / "old.pt").layout.task == "detect"


@pytest.mark.parametrize("where", ["beside", "inside", "instead"])
def test_hostile_pickles_are_refused_and_nothing_runs(tmp_path: Path, where: str) -> None:
    trace = tmp_path / "trace"
    evil = Strange(f"echo run > {trace}")
    made: Any = checkpoint()
    if where == "beside":
        made["train_args"] = evil
    elif where == "inside":
        made["model"].yaml["nc"] = evil
    else:
        made = {"model": evil}
    torch.save(made, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match=r"evil\.pt was refused.*Nothing was run"):
        load_detector(tmp_path / "evil.pt", HOST)
    with pytest.raises(WeightsError, match=r"evil\.pt was refused.*Nothing was run"):
        convert_yolo(tmp_path / "evil.pt", tmp_path / "target.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pt"]
    # The test itself is sound: an unsafe reader would have run the command.
    assert b"system" in pickle.dumps(evil)


def test_files_are_read_after_somebody_allowed_their_classes(tmp_path: Path) -> None:
    """As ultralytics' own documentation advises. The classes themselves are not made here either."""
    tasks, convolution = ultralytics_module("ultralytics.nn.tasks"), ultralytics_module("ultralytics.nn.modules.conv")
    torch.save(checkpoint(), tmp_path / "model.pt")
    allowed = [tasks.DetectionModel, convolution.Conv, nn.Sequential, nn.Conv2d]
    with torch.serialization.safe_globals(allowed):
        assert "model.0.conv.weight" in read_yolo_pickle(tmp_path / "model.pt").tensors
        assert load_detector(tmp_path / "model.pt", HOST).proposer.labels == ("face", "hand")
        assert set(allowed) <= set(torch.serialization.get_safe_globals())


def test_a_replaced_reader_makes_nothing_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names that stand for nothing here, an unsafe reader could run code: ``getattr`` is among them."""
    torch.save(checkpoint(), tmp_path / "model.pt")
    reader = torch.load

    def unsafe(*arguments: Any, **more: Any) -> Any:
        return reader(*arguments, **{**more, "weights_only": False})

    monkeypatch.setattr("torch.load", unsafe)
    assert "model.0.conv.weight" in read_yolo_pickle(tmp_path / "model.pt").tensors
    monkeypatch.setattr("torch.serialization.load", unsafe)
    with pytest.raises(WeightsError, match=r"model\.pt was not read.*visage models convert"):
        read_yolo_pickle(tmp_path / "model.pt")


def test_damage_without_a_reason_is_told(tmp_path: Path) -> None:
    plan = {"nc": 1, "backbone": [[-1, 1, "Conv", [16, 1, 1]], [-1, 1, "PSA", [128]]], "head": DETECTING}
    with pytest.raises(WeightsError, match=r"model\.pt cannot be used.*AssertionError"):
        build_yolo("model.pt", YoloFile(checked_layout("model.pt", plan, None), {}))


@pytest.mark.parametrize("change", [{"activation": "open('trace', 'w')"}, {"backbone": [[-1, 1, "exec", ["1"]]]}])
def test_hostile_plans_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    monkeypatch.chdir(tmp_path)
    made = checkpoint()
    made["model"].yaml |= change
    torch.save(made, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match=r"evil\.pt was refused.*Nothing was run"):
        load_detector(tmp_path / "evil.pt", HOST)
    metadata = {"yolo.plan": json.dumps(made["model"].yaml), "yolo.names": '["face"]'}
    save_file({"model.0.conv.weight": torch.zeros(1)}, tmp_path / "evil.safetensors", metadata)
    with pytest.raises(WeightsError, match=r"evil\.safetensors was refused.*Nothing was run"):
        load_detector(tmp_path / "evil.safetensors", HOST)
    assert not (tmp_path / "trace").exists()


WIDE = [[-1, 1, "Conv", [2048, 9, 1]]] * 4
DETECTING = [[[0], 1, "Detect", ["nc"]]]


@pytest.mark.parametrize(
    "plan",
    [
        {"backbone": WIDE, "head": DETECTING},
        {"backbone": [[-1, 1, "Conv", [2048, 1, 1]]], "head": DETECTING},
        {"backbone": [[-1, 1, "Conv", [2560, 1, 32]], [-1, 1, "C2f", [2560, True, 1, 32]]], "head": DETECTING},
        {"backbone": [[-1, 1, "nn.Upsample", ["None", 4, "nearest"]]] * 8, "head": DETECTING},
        {"backbone": [[-1, 1, "nn.Upsample", ["None", 4, "bilinear"]]] * 8, "head": DETECTING},
        {"backbone": [[-1, 1, "nn.ConvTranspose2d", [16, 4, 4]]] * 8, "head": DETECTING},
        {"backbone": [[-1, 1, "Conv", [16, 1, 1]], *[[[-1] * 16, 1, "Concat", [1]]] * 8], "head": DETECTING},
        {"backbone": [[-1, 1, "Conv", [128, 3, 2]], [-1, 1, "PSA", [128]]], "head": DETECTING},
    ],
    ids=["weights", "picture", "inside", "nearest", "bilinear", "turned", "joined", "attention"],
)
def test_a_small_file_cannot_ask_for_a_large_network(tmp_path: Path, plan: dict[str, Any]) -> None:
    metadata = {"yolo.plan": json.dumps({"nc": 1, **plan}), "yolo.names": '["face"]'}
    save_file({"model.0.conv.weight": torch.zeros(1)}, tmp_path / "evil.safetensors", metadata)
    most = Largest()
    with most, pytest.raises(WeightsError, match=r"evil\.safetensors was refused.*far larger than the weights"):
        load_detector(tmp_path / "evil.safetensors", HOST)
    assert most.elements <= 2**25
    pickled = YoloFile(checked_layout("evil.pt", {"nc": 1, **plan}, None), {"model.0.a": torch.zeros(1).expand(10**9)})
    with pytest.raises(WeightsError, match=r"evil\.pt was refused.*far larger"):
        build_yolo("evil.pt", pickled)


class Largest(TorchDispatchMode):
    """The most elements that a tensor had; views of others do not count."""

    elements = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operation(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.elements = max(self.elements, made.untyped_storage().nbytes() // made.element_size())
        return made


@pytest.mark.parametrize(
    "metadata", [{"yolo.plan": "{"}, {"yolo.plan": "[" * 10**5, "yolo.names": "[]"}, {"yolo.plan": "{}"}]
)
def test_damaged_metadata(tmp_path: Path, metadata: dict[str, str]) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors", metadata)
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        load_detector(tmp_path / "model.safetensors", HOST)


def test_a_checkpoint_that_holds_itself(tmp_path: Path) -> None:
    made = checkpoint()
    made["model"].model.loop = made["model"].model
    torch.save(made, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"model\.pt was refused"):
        load_detector(tmp_path / "model.pt", HOST)


def test_other_jobs_are_refused(tmp_path: Path) -> None:
    plan = plan_of("v8/yolov8-obb.yaml")
    torch.save({"model": network_of(plan, "OBBModel")}, tmp_path / "obb.pt")
    with pytest.raises(WeightsError, match=r"obb\.pt.*detect, segment or pose"):
        load_detector(tmp_path / "obb.pt", HOST)
    layers = nn.Sequential(ultralytics_module("ultralytics.nn.modules").Conv(3, 8))
    torch.save({"model": layers}, tmp_path / "part.pt")
    with pytest.raises(WeightsError, match=r"part\.pt is no YOLO detector"):
        load_detector(tmp_path / "part.pt", HOST)


def test_converting_keeps_the_type_of_the_tensors(tmp_path: Path) -> None:
    torch.save(checkpoint(), tmp_path / "half.pt")
    convert_yolo(tmp_path / "half.pt", tmp_path / "half.safetensors")
    written = read_weights(tmp_path / "half.safetensors")
    original = read_yolo_pickle(tmp_path / "half.pt").tensors
    assert written.tensors.keys() == original.keys()
    for name, value in original.items():
        assert written.tensors[name].dtype == value.dtype
        assert torch.equal(written.tensors[name], value)
