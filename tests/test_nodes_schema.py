"""What the nodes promise to workflows and to people: sockets, widgets, tooltips, help pages, translations.

A workflow keeps widgets by their position and links by socket, so what is released must not change by accident.
``VISAGE_UPDATE=1 pytest tests/test_nodes_schema.py`` writes the snapshot and the English texts anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOT = Path(__file__).with_name("node_schemas.json")
ENGLISH = ROOT / "locales" / "en" / "nodeDefs.json"
UPDATE = os.environ.get("VISAGE_UPDATE") == "1"
# What may be chosen of these depends on ComfyUI and on the packs beside this one.
CHOSEN_BY_COMFYUI = {("VisageRefineFaces", "sampler"), ("VisageRefineFaces", "scheduler")}
# What may be chosen of these, the default and what the tooltip says depend on the files that are there.
OF_THE_FILES = {"model_name"}
PARAMETERS = ("default", "min", "max", "step", "options", "lazy", "advanced", "force_input", "socketless")


@pytest.fixture(scope="module")
def schemas(pack: ModuleType) -> dict[str, Any]:
    nodes: list[Any] = asyncio.run(pack.VisageExtension().get_node_list())
    return {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in nodes)}


def as_data(schema: Any) -> dict[str, Any]:
    return {
        "display_name": schema.display_name,
        "category": schema.category,
        "has_intermediate_output": schema.has_intermediate_output,
        "is_output_node": schema.is_output_node,
        "inputs": [socket_data(schema.node_id, socket) for socket in schema.inputs],
        "outputs": [{"id": socket.id, "type": socket.io_type} for socket in schema.outputs],
    }


def socket_data(node: str, socket: Any) -> dict[str, Any]:
    given = {name: getattr(socket, name, None) for name in PARAMETERS}
    if socket.id in OF_THE_FILES:
        del given["options"], given["default"]
    if (node, socket.id) in CHOSEN_BY_COMFYUI:
        del given["options"]
    data = {"id": socket.id, "type": socket.get_io_type(), "optional": bool(socket.optional)}
    return data | {name: value for name, value in given.items() if value is not None}


def texts(schema: Any) -> dict[str, Any]:
    inputs = {
        socket.id: {"name": socket.id} | ({} if socket.id in OF_THE_FILES else {"tooltip": socket.tooltip})
        for socket in schema.inputs
    }
    outputs = {
        str(number): {"name": socket.display_name, "tooltip": socket.tooltip}
        for number, socket in enumerate(schema.outputs)
    }
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": inputs,
        "outputs": outputs,
    }


def agrees(file: Path, data: dict[str, Any]) -> bool:
    if UPDATE:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return bool(json.loads(file.read_text(encoding="utf-8")) == data)


def test_interface_is_the_released_one(schemas: dict[str, Any]) -> None:
    assert agrees(SNAPSHOT, {name: as_data(schema) for name, schema in schemas.items()})


def test_english_texts_are_those_of_the_nodes(schemas: dict[str, Any]) -> None:
    assert agrees(ENGLISH, {name: texts(schema) for name, schema in schemas.items()})


def test_english_texts_hold_no_signs_that_translations_give_a_meaning(schemas: dict[str, Any]) -> None:
    assert not set("{}@|") & set("".join(strings({name: texts(schema) for name, schema in schemas.items()})))


def strings(data: Any) -> list[str]:
    if isinstance(data, dict):
        return [text for value in data.values() for text in strings(value)]
    return [data]


def test_every_node_can_be_told_apart_found_and_understood(schemas: dict[str, Any]) -> None:
    for name, schema in schemas.items():
        assert name.startswith("Visage")
        assert schema.category.split("/")[0] == "Visage"
        assert schema.description.endswith(".")
        assert schema.search_aliases
        for socket in [*schema.inputs, *schema.outputs]:
            assert socket.tooltip, (name, socket.id)
            assert socket.tooltip.endswith("."), (name, socket.id)


def test_every_setting_has_a_line_in_the_help_page(schemas: dict[str, Any]) -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "js" / "docs").glob("*.md")}
    assert set(pages) == set(schemas)
    for name, schema in schemas.items():
        assert pages[name].startswith(f"# {schema.display_name}\n")
        explained = set(re.findall(r"^\| `(\w+)` \|", pages[name], re.MULTILINE))
        assert explained == {socket.id for socket in [*schema.inputs, *schema.outputs]}, name


def test_help_pages_give_the_defaults_of_the_nodes(schemas: dict[str, Any]) -> None:
    for name, schema in schemas.items():
        page = (ROOT / "js" / "docs" / f"{name}.md").read_text(encoding="utf-8")
        for socket in schema.inputs:
            default = getattr(socket, "default", None)
            if default is not None and socket.id not in OF_THE_FILES:
                (line,) = re.findall(rf"^\| `{socket.id}` \|.*$", page, re.MULTILINE)
                shown = {True: "on", False: "off"}.get(default, default) if isinstance(default, bool) else default
                assert f"| {shown} |" in line, (name, socket.id)
