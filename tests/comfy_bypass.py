"""Bypassed nodes of a workflow, for tests, treated as ComfyUI's page treats them before it runs the workflow."""

from __future__ import annotations

from typing import Any

_ON, _BYPASSED = 0, 4


def without_bypassed(workflow: dict[str, Any]) -> dict[str, Any]:
    """The same workflow as it runs: what goes into a bypassed node comes out of it where the types are the same.

    Outputs that no input has the type of give nothing, and what is connected to them is not connected to anything.
    """
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    kept = {}
    for number, source, output, *end in links.values():
        found = _source(nodes, links, source, output)
        if found is not None and nodes[end[0]]["mode"] != _BYPASSED:
            kept[number] = [number, *found, *end]
    running = [
        node
        | {
            "inputs": [
                socket | {"link": socket["link"] if socket["link"] in kept else None} for socket in node["inputs"]
            ]
        }
        for node in nodes.values()
        if node["mode"] != _BYPASSED
    ]
    return workflow | {"nodes": running, "links": list(kept.values())}


def _source(
    nodes: dict[Any, dict[str, Any]], links: dict[Any, list[Any]], number: Any, output: int
) -> tuple[Any, int] | None:
    node = nodes[number]
    if node["mode"] != _BYPASSED:
        return number, output
    kind = node["outputs"][output]["type"]
    # The input at the same place comes first.
    for socket in [*node["inputs"][output : output + 1], *node["inputs"]]:
        if socket["type"] == kind:
            return None if socket["link"] is None else _source(nodes, links, *links[socket["link"]][1:3])
    return None


def switched_on(workflow: dict[str, Any]) -> dict[str, Any]:
    """The same workflow with no node bypassed."""
    return workflow | {"nodes": [node | {"mode": _ON} for node in workflow["nodes"]]}
