"""From a workflow as people save it to the prompt that ComfyUI's server runs, for tests.

A small part of what ComfyUI's page does: no reroutes, no muted nodes, no subgraphs in subgraphs. It is stricter in one
thing: a node of Visage must have exactly as many widget values as it has widgets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR"}
# A choice whose options bring inputs of their own.
_DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
# On the page alone.
_NOTES = {"MarkdownNote", "Note"}
# A widget that shows a result. The prompt must name it, whatever it holds.
_VIEW = "IMAGECOMPARE"
# In the links of a subgraph: its own inputs and outputs.
_INSIDE, _OUTSIDE = -10, -20


def prompt_of(workflow: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The prompt for ``POST /prompt``.

    Args:
        workflow: in the format of version 0.4.
        definitions: what ``GET /object_info`` answers.
    """
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] not in _NOTES:
            values = _values(node, definitions[node["type"]])
            linked = {
                socket["name"]: sources[socket["link"]] for socket in node["inputs"] if socket["link"] is not None
            }
            prompt[str(node["id"])] = {"class_type": node["type"], "inputs": values | linked}
    return prompt


def expanded(workflow: dict[str, Any]) -> dict[str, Any]:
    """The same workflow with the nodes of its subgraphs in the place of each subgraph, as ComfyUI runs it.

    Their numbers become ``"outer:inner"``. What is connected to a subgraph goes to the nodes inside; where nothing is,
    their widgets keep the values that the subgraph has.
    """
    subgraphs = {each["id"]: each for each in workflow.get("definitions", {}).get("subgraphs", ())}
    links = {link[0]: link[1:] for link in workflow["links"]}
    nodes = [node for node in workflow["nodes"] if node["type"] not in subgraphs]
    for host in workflow["nodes"]:
        if host["type"] not in subgraphs:
            continue
        inner, brought = _inlined(host, subgraphs[host["type"]], links)
        nodes += inner
        links |= brought
    return workflow | {"nodes": nodes, "links": [[number, *link] for number, link in links.items()]}


def _inlined(
    host: dict[str, Any], subgraph: dict[str, Any], links: dict[Any, list[Any]]
) -> tuple[list[dict[str, Any]], dict[Any, list[Any]]]:
    """The nodes of a subgraph and their links. Links of the outer graph that leave it begin at its nodes afterwards."""
    outer = {socket["name"]: links[socket["link"]] for socket in host["inputs"] if socket["link"] is not None}
    kept: dict[Any, list[Any]] = {}
    for link in subgraph["links"]:
        number = f"{host['id']}:{link['id']}"
        end = [f"{host['id']}:{link['target_id']}", link["target_slot"], link["type"]]
        if link["target_id"] == _OUTSIDE:
            for number_outside in host["outputs"][link["target_slot"]]["links"]:
                links[number_outside][:2] = [f"{host['id']}:{link['origin_id']}", link["origin_slot"]]
        elif link["origin_id"] != _INSIDE:
            kept[number] = [f"{host['id']}:{link['origin_id']}", link["origin_slot"], *end]
        elif (source := outer.get(subgraph["inputs"][link["origin_slot"]]["name"])) is not None:
            kept[number] = [*source[:2], *end]
    nodes = []
    for node in subgraph["nodes"]:
        sockets = [
            socket | {"link": number if (number := f"{host['id']}:{socket['link']}") in kept else None}
            for socket in node["inputs"]
        ]
        nodes.append(node | {"id": f"{host['id']}:{node['id']}", "inputs": sockets})
    return nodes, kept


def widget_names(definition: dict[str, Any]) -> list[str]:
    """The inputs of a node that are widgets, in the order of ``widgets_values``."""
    kinds = {name: kind for group in ("required", "optional") for name, (kind, *_) in _inputs(definition, group)}
    return [name for name, kind in kinds.items() if isinstance(kind, list) or kind in WIDGETS]


def _inputs(definition: dict[str, Any], group: str) -> Any:
    return definition["input"].get(group, {}).items()


def _seeds(definition: dict[str, Any]) -> list[str]:
    """The inputs with a widget behind them that changes them from run to run."""
    pairs = [pair for group in ("required", "optional") for pair in _inputs(definition, group)]
    return [name for name, (_, *more) in pairs if more and more[0].get("control_after_generate")]


def _values(node: dict[str, Any], definition: dict[str, Any]) -> dict[str, Any]:
    names, values = widget_names(definition), list(node["widgets_values"])
    for name in _seeds(definition):
        # Behind a seed the page keeps what becomes of it after a run: "fixed", "randomize" and so on.
        assert isinstance(values.pop(names.index(name) + 1), str)
    if node["type"].startswith("Visage"):
        assert len(names) == len(values), f"{node['type']} has the widgets {names}"
    views = {name: {} for name, (kind, *_) in _inputs(definition, "required") if kind == _VIEW}
    if any(kind == _DYNAMIC for group in ("required", "optional") for _, (kind, *_) in _inputs(definition, group)):
        return dict(_dynamic(definition["input"], values)) | views
    # The page adds values of its own behind those of ComfyUI's nodes, such as the button of Load Image.
    return dict(zip(names, values, strict=False)) | views


def _dynamic(inputs: dict[str, Any], values: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Takes values from the front of the list: behind a choice stand those of the inputs that it brings."""
    for group in ("required", "optional"):
        for name, (kind, *more) in inputs.get(group, {}).items():
            if values and (isinstance(kind, list) or kind in WIDGETS or kind == _DYNAMIC):
                value = values.pop(0)
                yield prefix + name, value
                if kind == _DYNAMIC:
                    (chosen,) = (option for option in more[0]["options"] if option["key"] == value)
                    yield from _dynamic(chosen["inputs"], values, f"{prefix}{name}.")
