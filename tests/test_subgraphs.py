"""The subgraph blueprints that come with Visage, as files: what ComfyUI's page asks of them, up to date with the nodes.

``test_workflows_on_server.py`` has them served by a real ComfyUI and runs them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from visage.models.catalogue import by_file_name
from visage.tests.test_workflows import BUILT_IN, ROOT, SCHEMAS, overlapping

BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
# In the links of a subgraph: its own inputs and outputs.
INSIDE, OUTSIDE = -10, -20


def blueprint(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The whole file, its one node, and the subgraph that this node stands for."""
    whole = json.loads(path.read_text(encoding="utf-8"))
    (host,), (subgraph,) = whole["nodes"], whole["definitions"]["subgraphs"]
    return whole, host, subgraph


def test_there_is_one_for_each_of_the_two_main_jobs() -> None:
    inside = [{node["type"] for node in blueprint(path)[2]["nodes"]} for path in BLUEPRINTS]
    jobs = [kinds & {"VisageRestoreFaces", "VisageRefineFaces"} for kinds in inside]
    assert sorted(map(tuple, jobs)) == [("VisageRefineFaces",), ("VisageRestoreFaces",)]
    assert all("VisageLoadFaceDetector" in kinds for kinds in inside)


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_blueprint_is_one_subgraph_with_what_the_page_shows_of_it(path: Path) -> None:
    whole, host, subgraph = blueprint(path)
    assert (whole["version"], whole["links"], host["type"]) == (0.4, [], subgraph["id"])
    assert host["title"] == subgraph["name"] == path.stem
    assert whole["extra"]["BlueprintDescription"] == subgraph["description"] != ""
    assert whole["extra"]["BlueprintSearchAliases"]
    ids = [subgraph["id"], *(socket["id"] for socket in subgraph["inputs"] + subgraph["outputs"])]
    assert len({UUID(each) for each in ids}) == len(ids)
    for side in ("inputs", "outputs"):
        told = [(socket["name"], socket["type"], socket.get("label")) for socket in subgraph[side]]
        assert [(socket["name"], socket["type"], socket.get("label")) for socket in host[side]] == told
        assert len({name for name, *_ in told}) == len(told)
    assert overlapping(subgraph["nodes"]) == []
    left, right = subgraph["inputNode"]["bounding"], subgraph["outputNode"]["bounding"]
    assert left[0] + left[2] < min(node["pos"][0] for node in subgraph["nodes"])
    assert right[0] > max(node["pos"][0] + node["size"][0] for node in subgraph["nodes"])


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_links_join_what_they_say(path: Path) -> None:
    _, _, subgraph = blueprint(path)
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    for link in subgraph["links"]:
        if link["origin_id"] == INSIDE:
            source = subgraph["inputs"][link["origin_slot"]]
            assert link["id"] in source["linkIds"]
        else:
            source = nodes[link["origin_id"]]["outputs"][link["origin_slot"]]
            assert link["id"] in source["links"]
        if link["target_id"] == OUTSIDE:
            target = subgraph["outputs"][link["target_slot"]]
            assert target["linkIds"] == [link["id"]]
        else:
            target = nodes[link["target_id"]]["inputs"][link["target_slot"]]
            assert target["link"] == link["id"]
        assert source["type"] == target["type"] == link["type"]


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_widgets_outside_are_those_of_the_nodes_inside(path: Path) -> None:
    _, host, subgraph = blueprint(path)
    nodes = {str(node["id"]): node for node in subgraph["nodes"]}
    links = {link["id"]: link for link in subgraph["links"]}
    shown = []
    for socket in subgraph["inputs"]:
        ends = [(str(links[each]["target_id"]), links[each]["target_slot"]) for each in socket["linkIds"]]
        inner = [nodes[number]["inputs"][slot] for number, slot in ends]
        if "widget" in inner[0]:
            shown.append([ends[0][0], inner[0]["widget"]["name"]])
    assert host["properties"]["proxyWidgets"] == shown
    assert [socket["widget"] for socket in host["inputs"] if "widget" in socket] == [
        {"name": socket["name"]} for socket in host["inputs"] if "widget" in socket
    ]
    assert sum("widget" in socket for socket in host["inputs"]) == len(shown)
    # The pictures of the node that works are seen outside, in Nodes 2.0.
    (exposed,) = host["properties"]["previewExposures"]
    assert nodes[exposed["sourceNodeId"]]["type"] in {"VisageRestoreFaces", "VisageRefineFaces"}


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_nodes_inside_are_those_of_today(path: Path) -> None:
    for node in blueprint(path)[2]["nodes"]:
        if not node["type"].startswith("Visage"):
            assert node["properties"]["cnr_id"] == "comfy-core"
            continue
        schema = SCHEMAS[node["type"]]
        sockets = {socket["id"]: socket for socket in schema["inputs"]}
        assert all(sockets[socket["name"]]["type"] == socket["type"] for socket in node["inputs"])
        outputs = [(socket["name"], socket["type"]) for socket in node["outputs"]]
        assert outputs == [(socket["id"], socket["type"]) for socket in schema["outputs"]]
        linked = {socket["name"] for socket in node["inputs"] if socket["link"] is not None}
        needed = {name for name, socket in sockets.items() if socket["type"].isupper() and not socket["optional"]}
        widgets = {name for name in needed if sockets[name]["type"] in {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}}
        assert needed - widgets <= linked
        for model in node["properties"].get("models", ()):
            assert model["name"] == node["widgets_values"][0]
            known = by_file_name(model["name"])
            assert known is not None
            assert model["url"] in known.urls
            assert (model["hash"], model["hash_type"]) == (known.sha256, "SHA256")
            assert model["directory"] == known.folder.replace("/", "_")
        is_got = node["type"].startswith("VisageLoad") and node["widgets_values"][0] not in BUILT_IN
        assert ("models" in node["properties"]) == is_got
