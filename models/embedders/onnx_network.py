"""Reads small ONNX networks into torch, so that gradients go through them.

ONNX is a protocol buffer; only the few fields and operations that plain convolutional networks use are read
(field numbers: ``onnx.proto`` of the ONNX project, IR version 3 and later).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_FLOAT32 = 1

Value = int | bytes


@dataclass(frozen=True)
class Node:
    """One operation: what it is, what it takes and gives by name, and its whole-number attributes."""

    operation: str
    inputs: tuple[str, ...]
    output: str
    whole: dict[str, tuple[int, ...]]
    real: dict[str, float]


@dataclass
class Graph:
    """A network: the operations in order, and the float tensors by name."""

    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)


def read_graph(path: Path) -> Graph:
    """Reads the graph of an ONNX file whose tensors lie in the file itself."""
    graph = Graph()
    for number, value in _fields(_message(path.read_bytes(), 7)):
        if number == 1 and isinstance(value, bytes):
            graph.nodes.append(_node(value))
        elif number == 5 and isinstance(value, bytes):
            name, tensor = _tensor(value)
            if tensor is not None:
                graph.tensors[name] = tensor
    return graph


class OnnxNetwork(nn.Module):
    """A chain of convolutions with additions across, run by torch. Weights are buffers: nothing of it is trained."""

    def __init__(self, graph: Graph) -> None:
        """Raises ``ValueError`` where the graph holds an operation that is not known here."""
        super().__init__()
        unknown = sorted({node.operation for node in graph.nodes} - _KNOWN)
        if unknown:
            raise ValueError(f"ONNX operations that are not read: {', '.join(unknown)}.")
        self._nodes = [node for node in graph.nodes if node.operation != "Constant"]
        self._buffer_of = {name: f"weight_{index}" for index, name in enumerate(graph.tensors)}
        for name, tensor in graph.tensors.items():
            self.register_buffer(self._buffer_of[name], tensor)

    def forward(self, images: Tensor) -> Tensor:
        """The last operation's output for ``[N, C, H, W]``."""
        values = {self._nodes[0].inputs[0]: images}
        for node in self._nodes:
            given = [values[name] if name in values else self._weight(name) for name in node.inputs]
            values[node.output] = _run(node, given)
        return values[self._nodes[-1].output]

    def _weight(self, name: str) -> Tensor:
        # The shape that a Reshape is given is a constant and not among the weights.
        return self.get_buffer(self._buffer_of[name]) if name in self._buffer_of else torch.empty(0)


_KNOWN = frozenset({"Conv", "Clip", "Relu", "Add", "Reshape", "Flatten", "Constant"})


def _run(node: Node, given: list[Tensor]) -> Tensor:
    if node.operation == "Conv":
        pads = node.whole.get("pads", (0, 0, 0, 0))
        return F.conv2d(
            given[0],
            given[1],
            given[2] if len(given) > 2 else None,
            stride=list(node.whole.get("strides", (1, 1))),
            padding=list(pads[:2]),
            groups=node.whole.get("group", (1,))[0],
        )
    if node.operation == "Clip":
        return given[0].clamp(node.real["min"], node.real["max"])
    if node.operation == "Relu":
        return F.relu(given[0])
    if node.operation == "Add":
        return given[0] + given[1]
    return given[0].flatten(1)


def _node(message: bytes) -> Node:
    inputs: list[str] = []
    output, operation = "", ""
    whole: dict[str, tuple[int, ...]] = {}
    real: dict[str, float] = {}
    for number, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            inputs.append(value.decode())
        elif number == 2:
            output = value.decode()
        elif number == 4:
            operation = value.decode()
        elif number == 5:
            _read_attribute(value, whole, real)
    return Node(operation, tuple(inputs), output, whole, real)


def _read_attribute(message: bytes, whole: dict[str, tuple[int, ...]], real: dict[str, float]) -> None:
    name = ""
    numbers: list[int] = []
    for field_number, value in _fields(message):
        if field_number == 1 and isinstance(value, bytes):
            name = value.decode()
        elif field_number == 2 and isinstance(value, bytes):
            real[name] = struct.unpack("<f", value)[0]
        elif field_number in (3, 8) and isinstance(value, int):
            numbers.append(value)
        elif field_number == 8 and isinstance(value, bytes):
            numbers.extend(_packed(value))
    whole[name] = tuple(numbers)


def _tensor(message: bytes) -> tuple[str, Tensor | None]:
    """A tensor's name and, if it is of float32 in raw bytes, the tensor."""
    sides: list[int] = []
    name, raw, kind = "", b"", 0
    for number, value in _fields(message):
        if number == 1:
            sides.extend([value] if isinstance(value, int) else _packed(value))
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8 and isinstance(value, bytes):
            name = value.decode()
        elif number == 9 and isinstance(value, bytes):
            raw = value
    if kind != _FLOAT32:
        return name, None
    return name, torch.frombuffer(bytearray(raw), dtype=torch.float32).reshape(sides)


def _message(data: bytes, number: int) -> bytes:
    """The first message with that field number."""
    for found, value in _fields(data):
        if found == number and isinstance(value, bytes):
            return value
    raise ValueError("This is no ONNX network.")


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Field numbers and values of a message; floats and doubles as their bytes."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == _VARINT:
            number, place = _varint(data, place)
            yield key >> 3, number
            continue
        if kind == _LENGTH:
            size, place = _varint(data, place)
        elif kind in (_FOUR_BYTES, _EIGHT_BYTES):
            size = 4 if kind == _FOUR_BYTES else 8
        else:
            raise ValueError("This is no ONNX network.")
        yield key >> 3, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place after it."""
    number = shift = 0
    while shift < 70:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, place
    raise ValueError("This is no ONNX network.")


def _packed(data: bytes) -> list[int]:
    numbers, place = [], 0
    while place < len(data):
        number, place = _varint(data, place)
        numbers.append(number)
    return numbers
