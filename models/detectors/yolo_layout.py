"""The plan of a YOLO network, as it travels with the weights, checked before anything is built from it.

A plan names layers, and ultralytics looks those names up among everything its module knows and evaluates the name of
the activation as Python. A plan comes from a stranger, so it is held against fixed lists first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..weights import WeightsError

# Layers of the detection networks that ultralytics publishes (YOLOv3u to YOLO26). Left out on purpose: anything
# that fetches weights (TorchVision), text-guided layers and heads for other jobs.
_LAYERS = frozenset(
    (
        *("A2C2f", "AConv", "ADown", "Bottleneck", "BottleneckCSP", "C1", "C2", "C2PSA", "C2f", "C2fCIB", "C2fPSA"),
        *("C3", "C3Ghost", "C3TR", "C3k2", "C3x", "CBFuse", "CBLinear", "Concat", "Conv", "ConvTranspose", "DWConv"),
        *("DWConvTranspose2d", "ELAN1", "Focus", "GhostBottleneck", "GhostConv", "HGBlock", "HGStem", "PSA", "RepC3"),
        *("RepNCSPELAN4", "SCDown", "SPP", "SPPELAN", "SPPF"),
        *("nn.ConvTranspose2d", "nn.Identity", "nn.MaxPool2d", "nn.Upsample", "nn.ZeroPad2d"),
    )
)
_TASKS = {
    "Detect": "detect",
    "v10Detect": "detect",
    "Segment": "segment",
    "Segment26": "segment",
    "Pose": "pose",
    "Pose26": "pose",
}
_ACTIVATIONS = frozenset(
    f"{prefix}nn.{call}"
    for prefix in ("", "torch.")
    for call in (
        "SiLU()",
        "ReLU()",
        "ReLU6()",
        "LeakyReLU()",
        "LeakyReLU(0.1)",
        "Hardswish()",
        "Mish()",
        "GELU()",
        "Identity()",
    )
)
# Strings among the arguments of layers. All others would be looked up as variables of the building function.
_WORDS = frozenset({"nc", "kpt_shape", "None", "True", "False", "nearest", "bilinear"})
_NUMBERS = ("nc", "depth_multiple", "width_multiple", "reg_max")
# About twice what the largest published networks have: layers with their repetitions (YOLOv6 99), channels (YOLOv5x
# 1280), other numbers among arguments (SPP 13) and those that say how many times larger a picture becomes (2), outputs
# that one layer takes (6). Of classes and points there may be any sensible number.
_MOST_LAYERS = 200
_MOST_CHANNELS = 2560
_LARGEST_ARGUMENT = 32
_LARGEST_STEP = 4
_MOST_SOURCES = 16
_LARGEST = 4096
# How many of the first arguments of a layer are numbers of channels; where nothing is said one, of PyTorch's none.
_CHANNELS = {
    **dict.fromkeys(("Concat", "CBFuse"), 0),
    **dict.fromkeys(("SPPELAN", "HGBlock", "HGStem"), 2),
    **dict.fromkeys(("RepNCSPELAN4", "ELAN1", *_TASKS), 3),
    "nn.ConvTranspose2d": 1,
}
_ENLARGING = frozenset({"nn.Upsample", "nn.ConvTranspose2d", "ConvTranspose", "DWConvTranspose2d"})


@dataclass(frozen=True)
class YoloLayout:
    """A checked plan.

    Attributes:
        plan: what ultralytics builds from: layers, widths, number of classes.
        names: class names in the order of the class numbers.
        task: ``detect``, ``segment`` or ``pose``.
    """

    plan: dict[str, Any]
    names: tuple[str, ...]
    task: str

    @property
    def landmark_values(self) -> int:
        """Values per landmark (2 or 3) if the network gives five landmarks, otherwise 0."""
        shape = self.plan.get("kpt_shape")
        return int(shape[1]) if self.task == "pose" and shape is not None and shape[0] == 5 else 0


def checked_layout(file: str, plan: object, names: object) -> YoloLayout:
    """A plan that holds nothing but known layers with plain arguments.

    Args:
        file: name of the file, for the message.
        plan: the ``yaml`` of an ultralytics checkpoint.
        names: its class names, a list or a mapping from class number to name.

    Raises:
        WeightsError: the plan is damaged, hostile, or of a network that is no detector.
    """
    try:
        kept = _checked_plan(plan)
        count = _number(kept["nc"])
        return YoloLayout(kept, _class_names(names, int(count)), _TASKS[kept["head"][-1][2]])
    except (_RefusedError, KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{file} was refused: the plan of its network is damaged or not that of a face or object detector "
            f"({error}). Nothing was run. Use a detect, segment or pose model of YOLOv8 or newer."
        ) from error


class _RefusedError(Exception):
    """Something that no published detector has in its plan."""


def _checked_plan(plan: object) -> dict[str, Any]:
    if not isinstance(plan, Mapping):
        raise _RefusedError("no plan")
    kept: dict[str, Any] = {name: _number(plan[name]) for name in _NUMBERS if plan.get(name) is not None}
    kept["backbone"] = _checked_layers(plan["backbone"], _LAYERS)
    *body, head = plan["head"]
    kept["head"] = _checked_layers(body, _LAYERS) + _checked_layers([head], _TASKS)
    if plan.get("activation") is not None:
        kept["activation"] = _one_of(plan["activation"], _ACTIVATIONS, "activation")
    if plan.get("kpt_shape") is not None:
        kept["kpt_shape"] = [int(_number(value)) for value in _short(plan["kpt_shape"])]
    if plan.get("end2end") is not None:
        kept["end2end"] = bool(plan["end2end"])
    if plan.get("scales"):
        kept["scales"] = {str(name): [_number(value) for value in row] for name, row in plan["scales"].items()}
        # ultralytics writes the size into the plan; a plan without it means the first one.
        kept["scale"] = str(plan.get("scale") or next(iter(kept["scales"])))
        if kept["scale"] not in kept["scales"]:
            raise _RefusedError(f"unknown size {kept['scale']!r}")
    _refuse_what_is_large(kept)
    if plan.get("channels", plan.get("ch", 3)) not in (3, None):
        raise _RefusedError("the network does not take three colour channels")
    return kept


def _refuse_what_is_large(plan: Mapping[str, Any]) -> None:
    """Counts as ultralytics does: repetitions and channels are multiplied by the size of the network."""
    depth, width, most = plan.get("depth_multiple", 1.0), plan.get("width_multiple", 1.0), _LARGEST
    if "scales" in plan:
        depth, width, most = plan["scales"][plan["scale"]]
    layers = plan["backbone"] + plan["head"]
    if any(repeats < 1 for _, repeats, *_ in layers):
        raise _RefusedError("a layer that is not there")
    if sum(max(round(repeats * depth), 1) for _, repeats, *_ in layers) > _MOST_LAYERS:
        raise _RefusedError("too many layers")
    for _, _, layer, arguments in layers:
        count = _CHANNELS.get(layer, 0 if layer.startswith("nn.") else 1)
        for channels in _numbers(arguments[:count]):
            if max(channels, min(channels, most) * width) > _MOST_CHANNELS:
                raise _RefusedError(f"a {layer} of {channels} channels")
        largest = _LARGEST_STEP if layer in _ENLARGING else _LARGEST_ARGUMENT
        if any(abs(value) > largest for value in _numbers(arguments[count:])):
            raise _RefusedError(f"a {layer} with an argument above {largest}")


def _numbers(arguments: Iterable[Any]) -> Iterator[float]:
    for value in arguments:
        if isinstance(value, list):
            yield from _numbers(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield value


def _checked_layers(layers: object, known: Iterable[str]) -> list[list[Any]]:
    if not isinstance(layers, list | tuple):
        raise _RefusedError("no list of layers")
    kept = []
    for source, repeats, layer, arguments in layers:
        _one_of(layer, known, "layer")
        kept.append([_argument(source), int(_number(repeats)), layer, [_argument(value) for value in arguments]])
    return kept


def _argument(value: object) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, list | tuple):
        return [_argument(item) for item in _short(value)]
    if isinstance(value, str):
        return _one_of(value, _WORDS, "argument")
    return _number(value)


def _short(values: Any) -> Any:
    if len(values) > _MOST_SOURCES:
        raise _RefusedError("a long list")
    return values


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise _RefusedError(f"{value!r} is no sensible number")
    return value


def _one_of(value: object, known: Iterable[str], what: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise _RefusedError(f"unknown {what} {value!r}")
    return value


def _class_names(names: object, count: int) -> tuple[str, ...]:
    if isinstance(names, Mapping):
        named = {int(number): str(name) for number, name in names.items()}
    elif isinstance(names, list | tuple):
        named = {number: str(name) for number, name in enumerate(names)}
    else:
        named = {}
    return tuple(named.get(number, str(number)) for number in range(count))
