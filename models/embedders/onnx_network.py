"""Runs small ONNX networks in torch, so that gradients go through them.

Only the few operations that plain convolutional networks use are known, and of these only what torch does in one call.
Everything else is refused: a network that is run otherwise than it says still gives vectors, and nothing tells that
they are wrong.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from .onnx_graph import Graph, Node

# The attributes that are heeded, of each operation that is known.
_KNOWN = {
    "Conv": {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"},
    "Clip": {"max", "min"},
    "Relu": set(),
    "Add": set(),
    "Reshape": {"allowzero"},
    "Flatten": {"axis"},
    "Constant": {"value"},
}
# Inputs of each operation: fewest and most.
_INPUTS = {"Conv": (2, 3), "Clip": (1, 1), "Relu": (1, 1), "Add": (2, 2), "Reshape": (2, 2), "Flatten": (1, 1)}


class OnnxNetwork(nn.Module):
    """A chain of convolutions with additions across, run by torch. Weights are buffers: nothing of it is trained."""

    def __init__(self, graph: Graph) -> None:
        """Raises ``ValueError`` where the graph asks for anything that is not known here."""
        super().__init__()
        unknown = sorted({node.operation for node in graph.nodes} - _KNOWN.keys())
        if unknown:
            raise ValueError(f"ONNX operations that are not read: {', '.join(unknown)}.")
        self._nodes = [node for node in graph.nodes if node.operation != "Constant"]
        constants = (node for node in graph.nodes if node.operation == "Constant")
        tensors = graph.tensors | {
            node.output: value for node in constants for value in node.attributes.tensors.values()
        }
        # The shapes that a Reshape is given are the only whole numbers.
        whole = {name: value for name, value in tensors.items() if not value.is_floating_point()}
        self._shapes: dict[str, list[int]] = {name: value.flatten().tolist() for name, value in whole.items()}
        weights = {name: value for name, value in tensors.items() if name not in whole}
        self._buffer_of = {name: f"weight_{index}" for index, name in enumerate(weights)}
        for name, tensor in weights.items():
            self.register_buffer(self._buffer_of[name], tensor)
        self._check(graph)

    def _check(self, graph: Graph) -> None:
        for node in graph.nodes:
            _check_attributes(node)
        there = {*self._buffer_of, *(node.inputs[0] for node in self._nodes[:1] if node.inputs)}
        for node in self._nodes:
            fewest, most = _INPUTS[node.operation]
            if not fewest <= len(node.inputs) <= most:
                raise ValueError(f"{node.operation} with {len(node.inputs)} inputs is not read.")
            taken = node.inputs[:1] if node.operation == "Reshape" else node.inputs
            missing = [name for name in taken if name not in there]
            missing += [name for name in node.inputs[len(taken) :] if name not in self._shapes]
            if missing:
                raise ValueError(f"{node.operation} takes {missing[0]!r}, which is no tensor that is read.")
            there.add(node.output)
        if self._nodes and self._nodes[0].inputs[0] in self._buffer_of:
            raise ValueError("The first operation does not take the picture.")
        if graph.outputs and graph.outputs != [node.output for node in self._nodes[-1:]]:
            raise ValueError("The result is not that of the last operation.")

    def forward(self, images: Tensor) -> Tensor:
        """The last operation's output for ``[N, C, H, W]``.

        Raises:
            ValueError: it would put the numbers of several pictures together.
        """
        values = {self._nodes[0].inputs[0]: images}
        for node in self._nodes:
            if node.operation == "Reshape":
                picture, shape = node.inputs
                values[node.output] = _one_row_each(values[picture], self._shapes[shape])
            else:
                given = [values[name] if name in values else self._weight(name) for name in node.inputs]
                values[node.output] = _run(node, given)
        return values[self._nodes[-1].output]

    def _weight(self, name: str) -> Tensor:
        return self.get_buffer(self._buffer_of[name])


def _check_attributes(node: Node) -> None:
    """Raises ``ValueError`` over what would change the result and is not heeded."""
    unknown = sorted(node.attributes.names - _KNOWN[node.operation] | node.attributes.others)
    if unknown:
        raise ValueError(f"{node.operation} with {', '.join(unknown)} is not read.")
    pads = node.attributes.whole.get("pads", (0, 0, 0, 0))
    if len(pads) != 4 or pads[:2] != pads[2:]:
        raise ValueError(f"{node.operation} with pads {pads} is not read: only the same on opposite sides.")
    auto_pad = node.attributes.words.get("auto_pad", "NOTSET")
    if auto_pad != "NOTSET":
        raise ValueError(f"{node.operation} with auto_pad {auto_pad} is not read: only pads that are told.")
    axis = node.attributes.whole.get("axis", (1,))
    if axis != (1,):
        raise ValueError(f"{node.operation} at axis {axis[0]} is not read: only 1.")


def _one_row_each(picture: Tensor, shape: list[int]) -> Tensor:
    """``[N, ...]`` as ``[N, length]``, if that is what a Reshape to such a shape does with one picture."""
    flat = picture.flatten(1)
    if len(shape) != 2 or shape[0] not in (-1, 0, 1) or shape[1] not in (-1, flat.shape[1]):
        raise ValueError(f"Reshape of {list(picture.shape)} to {shape} is not read: only one row for each picture.")
    return flat


def _run(node: Node, given: list[Tensor]) -> Tensor:
    whole, real = node.attributes.whole, node.attributes.real
    if node.operation == "Conv":
        return F.conv2d(
            given[0],
            given[1],
            given[2] if len(given) > 2 else None,
            stride=list(whole.get("strides", (1, 1))),
            padding=list(whole.get("pads", (0, 0, 0, 0))[:2]),
            dilation=list(whole.get("dilations", (1, 1))),
            groups=whole.get("group", (1,))[0],
        )
    if node.operation == "Clip":
        return given[0].clamp(real.get("min", -math.inf), real.get("max", math.inf))
    if node.operation == "Relu":
        return F.relu(given[0])
    if node.operation == "Add":
        return given[0] + given[1]
    return given[0].flatten(1)
