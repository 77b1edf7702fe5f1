"""Ultralytics checkpoints: reading them without running them, converting them, building their networks."""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...atomic import replacing
from ..host import is_out_of_memory
from ..packages import needed_by
from ..pickles import Placeholder
from ..weights import (
    RECORDS,
    RefusedError,
    Weights,
    WeightsError,
    names_asked_for,
    no_room,
    read_pickle,
    write_safetensors,
)
from .allocation_limit import AllocationLimit, TooLargeError
from .proposer import channels_last
from .ultralytics_import import ultralytics_module
from .yolo_layout import YoloLayout, checked_layout

# What ultralytics checkpoints hold besides tensors: objects of its own classes and of torch's layers, and in the
# training record also bound methods. None of it is needed, so each becomes a placeholder.
_PLACEHOLDER_MODULES = ("ultralytics.", "torch.nn.modules.")
_PLACEHOLDER_NAMES = RECORDS | {"builtins.getattr"}
_CLASSES = {"detect": "DetectionModel", "segment": "SegmentationModel", "pose": "PoseModel"}
# Elements of tensors that may come about while a network is built: for each one in the file, and in any case. The
# networks that ultralytics publishes take 1.4 (YOLOv5x6) to 11.3 (YOLO26n-p2) for each, and no more than 0.4 of both.
_ALLOWED, _ALLOWED_ALWAYS = 16, 2**25
_PLAN, _NAMES = "yolo.plan", "yolo.names"


@dataclass(frozen=True)
class YoloFile:
    """A YOLO detector as a file holds it: the checked plan, and the tensors by name as they were stored."""

    layout: YoloLayout
    tensors: dict[str, Tensor]


def read_yolo_pickle(path: Path) -> YoloFile:
    """Reads an ultralytics ``.pt`` without running anything of it.

    Every object in it becomes an inert placeholder, whatever its class, so that no code of ultralytics or anybody
    else runs; the tensors and the plan of the network are taken out of the placeholders.

    Raises:
        WeightsError: the file is cut short, asks for anything but the known names, or is no YOLO detector.
    """
    try:
        checkpoint = read_pickle(path, _is_placeholder)
    except RefusedError as error:
        raise WeightsError(
            f"{path.name} was refused: it asks for {', '.join(error.names[:3])}, which a detector of YOLOv8 or newer "
            "does not need. Nothing was run. Use a safetensors file, or a copy from the model's own page."
        ) from error
    network = _network_in(checkpoint)
    if network is None or "yaml" not in network:
        raise WeightsError(f"{path.name} is no YOLO detector. Use a detect, segment or pose model of YOLOv8 or newer.")
    layout = checked_layout(path.name, network["yaml"], network.get("names"))
    tensors: dict[str, Tensor] = {}
    try:
        _collect(network, "", tensors)
    except (RecursionError, AttributeError, TypeError) as error:
        raise WeightsError(f"{path.name} was refused: its network is damaged ({error}). Nothing was run.") from error
    return YoloFile(layout, {name: value for name, value in tensors.items() if name.startswith("model.")})


def yolo_from_safetensors(weights: Weights) -> YoloFile:
    """What :func:`convert_yolo` wrote, from the tensors and the text of the file.

    Raises:
        WeightsError: the text holds no plan of a network, or one that is not known.
    """
    try:
        plan, names = json.loads(weights.metadata[_PLAN]), json.loads(weights.metadata[_NAMES])
    except (KeyError, json.JSONDecodeError, RecursionError) as error:
        raise WeightsError(
            f"{weights.path.name} does not say how its network is built. Convert the original .pt file again with "
            "`visage models convert`."
        ) from error
    return YoloFile(checked_layout(weights.path.name, plan, names), weights.tensors)


def is_yolo_metadata(metadata: Mapping[str, str]) -> bool:
    """Whether the text of a safetensors file is that of a converted YOLO detector."""
    return _PLAN in metadata


def convert_yolo(source: Path, target: Path) -> None:
    """Writes an ultralytics ``.pt`` as safetensors, with the plan of its network as text beside the tensors.

    The tensors keep their bits and their type, so the converted file gives the same numbers.

    Raises:
        WeightsError, OSError: as :func:`read_yolo_pickle` and :func:`~..weights.write_safetensors`.
    """
    file = read_yolo_pickle(source)
    metadata = {_PLAN: json.dumps(file.layout.plan), _NAMES: json.dumps(file.layout.names)}
    with replacing(target) as part:
        write_safetensors(part, file.tensors, metadata, source.name)


@torch.inference_mode(False)
def build_yolo(name: str, file: YoloFile) -> nn.Module:
    """The network of a YOLO file in float32, with its weights, in evaluation mode, ready to be run.

    Not in the inference mode in which ComfyUI runs nodes: with PyTorch 2.4 ultralytics cannot build anything in it.

    Normalisation is folded into the convolutions, as ultralytics' own predictor does.

    Raises:
        WeightsError: plan and weights do not belong together, or ultralytics is not installed.
    """
    with needed_by(name, "ultralytics"):
        tasks = ultralytics_module("ultralytics.nn.tasks")
    # Building draws random weights, and a plan that fails half-way would leave its activation to every later network.
    default_activation = tasks.Conv.default_act
    try:
        with torch.random.fork_rng(devices=[]), AllocationLimit(_ALLOWED * _held(file.tensors) + _ALLOWED_ALWAYS):
            network: Any = getattr(tasks, _CLASSES[file.layout.task])(
                copy.deepcopy(file.layout.plan), ch=3, verbose=False
            )
        network.load_state_dict(file.tensors, strict=True)
    except TooLargeError as error:
        raise WeightsError(
            f"{name} was refused: the network that it describes is far larger than the weights in it."
        ) from error
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError) as error:
        if is_out_of_memory(error):
            raise no_room(name) from error
        raise WeightsError(
            f"{name} cannot be used: its weights do not fit the network it describes ({_first_line(error)}). "
            "It is damaged, or made for another version of ultralytics."
        ) from error
    finally:
        tasks.Conv.default_act = default_activation
    # Before 8.3.200 or so, fusing what still learns makes weights that cannot be told not to.
    network = network.eval().requires_grad_(False).fuse(verbose=False).requires_grad_(False)
    # Anchors made anew at every call follow the device of the picture, whichever way the host moves the weights.
    list(network.model.children())[-1].dynamic = True
    return channels_last(network)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _held(tensors: Mapping[str, Tensor]) -> int:
    """How many numbers there are; a tensor may show the same ones many times."""
    stored = {value.untyped_storage().data_ptr(): value for value in tensors.values()}
    return sum(value.untyped_storage().nbytes() // value.element_size() for value in stored.values())


def asks_for_ultralytics(path: Path) -> bool:
    """Whether a file is a pickle with objects of ultralytics. The names in it are read; nothing is loaded.

    Raises:
        WeightsError: a PyTorch archive that is damaged.
    """
    return zipfile.is_zipfile(path) and any(name.startswith("ultralytics.") for name in names_asked_for(path))


def _is_placeholder(name: str) -> bool:
    return name in _PLACEHOLDER_NAMES or name.startswith(_PLACEHOLDER_MODULES)


def _network_in(checkpoint: object) -> dict[str, Any] | None:
    """The state of the network: the averaged one where training left one, as ultralytics itself prefers."""
    if not isinstance(checkpoint, Mapping):
        return None
    found = (checkpoint.get(key) for key in ("ema", "model"))
    return next((network.state for network in found if isinstance(network, Placeholder)), None)


def _collect(state: Mapping[str, Any], prefix: str, tensors: dict[str, Tensor]) -> None:
    """What ``state_dict`` would give, from the attributes that a pickled ``nn.Module`` carries."""
    passing = state.get("_non_persistent_buffers_set") or ()
    for group in ("_parameters", "_buffers"):
        for name, value in (state.get(group) or {}).items():
            if isinstance(value, Tensor) and name not in passing:
                tensors[f"{prefix}{name}"] = value
    for name, child in (state.get("_modules") or {}).items():
        if isinstance(child, Placeholder):
            _collect(child.state, f"{prefix}{name}.", tensors)
