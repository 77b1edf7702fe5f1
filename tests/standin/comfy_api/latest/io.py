"""A stand-in for sockets, widgets and nodes: inputs keep what they are given, under the names that ComfyUI uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class _Input:
    io_type: str

    def __init__(self, id: str, optional: bool = False, tooltip: str | None = None, **rest: Any) -> None:  # noqa: A002
        self.id, self.optional, self.tooltip = id, optional, tooltip
        self._rest = {"lazy": None, "advanced": None} | rest

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._rest:
            raise AttributeError(name)
        return self._rest[name]

    def get_io_type(self) -> str:
        return self.io_type


class _Output:
    io_type: str

    def __init__(
        self,
        id: str,  # noqa: A002
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        self.id, self.display_name, self.tooltip = id, display_name or id, tooltip
        self.is_output_list = is_output_list


def Custom(io_type: str) -> type:  # noqa: N802 - ComfyUI's name
    parts = {kind.__name__[1:]: type(kind.__name__[1:], (kind,), {"io_type": io_type}) for kind in (_Input, _Output)}
    return type(io_type, (), {"io_type": io_type, **parts})


Image, Mask, BoundingBox = Custom("IMAGE"), Custom("MASK"), Custom("BOUNDING_BOX")
Int, Float, Boolean, Combo = Custom("INT"), Custom("FLOAT"), Custom("BOOLEAN"), Custom("COMBO")
String = Custom("STRING")
Model, Clip, Vae, Conditioning = Custom("MODEL"), Custom("CLIP"), Custom("VAE"), Custom("CONDITIONING")
Guider, Sampler, Sigmas = Custom("GUIDER"), Custom("SAMPLER"), Custom("SIGMAS")
ImageCompare = Custom("IMAGECOMPARE")
# A view of a result, which no link can lead to.
ImageCompare.Input.socketless = True
Input, Output = _Input, _Output


@dataclass
class Schema:
    node_id: str
    display_name: str
    category: str
    inputs: list
    outputs: list
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    has_intermediate_output: bool = False
    is_output_node: bool = False


class NodeOutput:
    def __init__(self, *args: Any, ui: Any = None) -> None:
        self.args, self.ui = args, ui

    def __getitem__(self, index: int) -> Any:
        return self.args[index]

    @property
    def result(self) -> tuple:
        return self.args


class ComfyNode:
    @classmethod
    def GET_SCHEMA(cls) -> Schema:  # noqa: N802
        return cls.define_schema()
