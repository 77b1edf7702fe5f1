"""What stands in the file of a small ONNX network: its operations, and its tensors by name.

ONNX is a protocol buffer; only the few fields that plain convolutional networks use are read (field numbers:
``onnx.proto`` of the ONNX project, IR version 3 and later).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
# Types of numbers in tensors that are read.
_TYPES = {1: torch.float32, 7: torch.int64}

Value = int | bytes


@dataclass(frozen=True)
class Attributes:
    """The attributes of one operation by name.

    Attributes:
        whole: one whole number or several.
        real: one real number.
        words: text.
        tensors: of float32 or int64.
        others: names of those of any other type, which is not read.
    """

    whole: dict[str, tuple[int, ...]] = field(default_factory=dict)
    real: dict[str, float] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)

    @property
    def names(self) -> set[str]:
        """Of all of them."""
        return {*self.whole, *self.real, *self.words, *self.tensors, *self.others}


@dataclass(frozen=True)
class Node:
    """One operation: what it is, what it takes and gives by name, and its attributes."""

    operation: str
    inputs: tuple[str, ...]
    output: str
    attributes: Attributes


@dataclass
class Graph:
    """A network: the operations in order, the tensors of float32 and int64 by name, and the names of its outputs."""

    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)


def read_graph(path: Path) -> Graph:
    """Reads the graph of an ONNX file whose tensors lie in the file itself, as raw bytes.

    Raises:
        OSError, ValueError, LookupError and others: no ONNX file, or a damaged one, or tensors that lie elsewhere.
    """
    graph = Graph()
    for number, value in _fields(_message(path.read_bytes(), 7)):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            graph.nodes.append(_node(value))
        elif number == 5:
            name, tensor = _tensor(value)
            if tensor is not None:
                graph.tensors[name] = tensor
        elif number == 12:
            graph.outputs.append(_message(value, 1).decode())
    return graph


def _node(message: bytes) -> Node:
    inputs: list[str] = []
    output, operation = "", ""
    attributes = Attributes()
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
            _read_attribute(value, attributes)
    return Node(operation, tuple(inputs), output, attributes)


def _read_attribute(message: bytes, attributes: Attributes) -> None:
    name = ""
    numbers: list[int] = []
    real: float | None = None
    word: str | None = None
    tensor: Tensor | None = None
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            name = value.decode()
        elif number == 2 and isinstance(value, bytes):
            real = struct.unpack("<f", value)[0]
        elif number in (3, 8) and isinstance(value, int):
            numbers.append(_signed(value))
        elif number == 8 and isinstance(value, bytes):
            numbers.extend(_packed(value))
        elif number == 4 and isinstance(value, bytes):
            word = value.decode()
        elif number == 5 and isinstance(value, bytes):
            _, tensor = _tensor(value)
    if numbers:
        attributes.whole[name] = tuple(numbers)
    elif real is not None:
        attributes.real[name] = real
    elif word is not None:
        attributes.words[name] = word
    elif tensor is not None:
        attributes.tensors[name] = tensor
    else:
        attributes.others.add(name)


def _tensor(message: bytes) -> tuple[str, Tensor | None]:
    """A tensor's name and, if it is of a type that is read, the tensor."""
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
    if kind not in _TYPES:
        return name, None
    dtype = _TYPES[kind]
    if len(raw) != math.prod(sides) * dtype.itemsize:
        raise ValueError(f"The numbers of the tensor {name} are not all in the file, as raw bytes.")
    return name, torch.frombuffer(bytearray(raw), dtype=dtype).reshape(sides) if raw else torch.empty(sides)


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
        numbers.append(_signed(number))
    return numbers


def _signed(number: int) -> int:
    """A varint as the signed number of 64 bits that it stands for."""
    return number - (1 << 64) if number >> 63 else number
