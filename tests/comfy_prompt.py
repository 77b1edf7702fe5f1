"""From a workflow as people save it to the prompt that ComfyUI's server runs, for tests.

A small part of what ComfyUI's page does: no subgraphs, no reroutes, no muted nodes. It is stricter in one thing: a node
of Visage must have exactly as many widget values as it has widgets.
"""

from __future__ import annotations

from typing import Any

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
# On the page alone.
_NOTES = {"MarkdownNote", "Note"}
# A widget that shows a result. The prompt must name it, whatever it holds.
_VIEW = "IMAGECOMPARE"


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
    # The page adds values of its own behind those of ComfyUI's nodes, such as the button of Load Image.
    return dict(zip(names, values, strict=False)) | views
