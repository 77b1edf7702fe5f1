"""The workflows that come with Visage, as files: whole, up to date with the nodes, with models that can be got."""

from __future__ import annotations

import json
import math
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from visage.models import builtin
from visage.models.catalogue import by_file_name

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
# Nobody has to get these.
BUILT_IN = [f"{name}.safetensors" for name in (builtin.DETECTOR, builtin.RESTORER)]
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
# The workflows that a user has to get files for before they run. All others run on a new machine.
NEEDS = {
    "mediapipe_restore": {"mediapipe_face_fp32.safetensors"},
    "refine_group_prompts": {CHECKPOINT},
    "refine_portrait": {CHECKPOINT},
    "restore_then_refine": {CHECKPOINT},
}
BYPASSED = 4
Place = tuple[float, float]
SCHEMAS = json.loads(Path(__file__).with_name("node_schemas.json").read_text(encoding="utf-8"))


def workflow(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    return read


def ours(flow: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in flow["nodes"] if node["type"].startswith("Visage")]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_is_complete(path: Path) -> None:
    flow = workflow(path.stem)
    assert flow["version"] == 0.4
    assert any(node["type"] == "MarkdownNote" for node in flow["nodes"])
    for node in ours(flow):
        schema = SCHEMAS[node["type"]]
        assert node["properties"]["cnr_id"] == "visage"
        sockets = {socket["id"]: socket["type"] for socket in schema["inputs"]}
        assert all(sockets[socket["name"]] == socket["type"] for socket in node["inputs"])
        assert [(socket["name"], socket["type"]) for socket in node["outputs"]] == [
            (socket["id"], socket["type"]) for socket in schema["outputs"]
        ]
        required = {socket["id"] for socket in schema["inputs"] if not socket["optional"]} & {
            socket["name"] for socket in node["inputs"]
        }
        assert all(socket["link"] is not None for socket in node["inputs"] if socket["name"] in required)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_time_it_is_opened_it_is_a_workflow_of_its_own(path: Path) -> None:
    # ComfyUI gives one to a workflow without. By it the page finds what a workflow made when it ran last.
    assert "id" not in workflow(path.stem)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_notes_can_be_read_in_every_theme(path: Path) -> None:
    for node in workflow(path.stem)["nodes"]:
        if node["type"] == "MarkdownNote":
            (text,) = node["widgets_values"]
            # Nodes 2.0 draws code in blue, whatever the ground.
            assert "`" not in text
            assert not {"color", "bgcolor"} & set(node)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_links_join_what_they_say(path: Path) -> None:
    flow = workflow(path.stem)
    nodes = {node["id"]: node for node in flow["nodes"]}
    for number, source, output, target, slot, kind in flow["links"]:
        socket = nodes[target]["inputs"][slot]
        assert (socket["link"], socket["type"]) == (number, kind)
        assert number in nodes[source]["outputs"][output]["links"]
        assert nodes[source]["outputs"][output]["type"] == kind or kind == "*"


def rectangle(node: dict[str, Any]) -> tuple[float, float, float, float]:
    """Left, top, right, bottom on ComfyUI's canvas, which makes a node as high as its sockets and widgets need."""
    sockets = [socket for socket in node["inputs"] if "widget" not in socket]
    rows = max(len(sockets), len(node["outputs"]), 1)
    widgets = len(node["widgets_values"])
    needed = 20 * rows + (24 * widgets + 8 if widgets else 0) + 6
    (left, top), (width, height) = node["pos"], node["size"]
    # The title stands above the place of a node.
    return left, top - 30, left + width, top + max(height, needed)


def overlapping(nodes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Pairs of nodes with less than ten pixels between them."""
    placed = [(node["type"], *rectangle(node)) for node in nodes]
    return [
        (one, other)
        for (one, left, top, right, bottom), (other, *there) in combinations(placed, 2)
        if left < there[2] + 10 and there[0] < right + 10 and top < there[3] + 10 and there[1] < bottom + 10
    ]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nodes_do_not_overlap_on_the_canvas(path: Path) -> None:
    assert overlapping(workflow(path.stem)["nodes"]) == []


def sockets(node: dict[str, Any], side: str) -> list[Place]:
    """Where the sockets stand on the canvas that are no widgets."""
    (left, top), width = node["pos"], node["size"][0]
    seen = [socket for socket in node[side] if "widget" not in socket]
    return [(left + (width if side == "outputs" else 0), top + 14 + 20 * number) for number in range(len(seen))]


def curve(start: Place, end: Place) -> list[Place]:
    """Places on a link: it leaves and arrives level, with a quarter of its length as handles."""
    reach = math.dist(start, end) / 4
    handles = (start, (start[0] + reach, start[1]), (end[0] - reach, end[1]), end)
    shares = [(t / 200, 1 - t / 200) for t in range(201)]
    weights = [(u**3, 3 * u * u * t, 3 * u * t * t, t**3) for t, u in shares]
    return [
        (
            sum(w * x for w, (x, _) in zip(row, handles, strict=True)),
            sum(w * y for w, (_, y) in zip(row, handles, strict=True)),
        )
        for row in weights
    ]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_link_seems_to_end_at_a_node_behind_which_it_passes(path: Path) -> None:
    """A socket is a dot of ten pixels."""
    flow = workflow(path.stem)
    nodes = {node["id"]: node for node in flow["nodes"]}
    for _, source, output, target, slot, kind in flow["links"]:
        if "widget" in nodes[target]["inputs"][slot]:
            continue
        places = curve(sockets(nodes[source], "outputs")[output], sockets(nodes[target], "inputs")[slot])
        for node in flow["nodes"]:
            if node["id"] in (source, target):
                continue
            for x, y in sockets(node, "inputs") + sockets(node, "outputs"):
                near = [place for one, place in pairwise(places) if min(one[0], place[0]) <= x < max(one[0], place[0])]
                assert all(abs(place[1] - y) > 6 for place in near), (kind, node["type"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_is_opened_under_the_bars_of_the_page(path: Path) -> None:
    """They are 60 pixels wide at the left edge, and 90 high at the upper one."""
    flow = workflow(path.stem)
    scale, offset = flow["extra"]["ds"]["scale"], flow["extra"]["ds"]["offset"]
    corners = [rectangle(node)[:2] for node in flow["nodes"]] + [group["bounding"][:2] for group in flow["groups"]]
    left, top = (scale * (offset[axis] + min(corner[axis] for corner in corners)) for axis in (0, 1))
    assert 65 < left < 120
    assert 95 < top < 120


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_words_are_drawn_where_all_of_it_is_seen_in_a_window(path: Path) -> None:
    """ComfyUI fits a template with 10 pixels around it into three quarters of the window, which is 1920 x 950 here. The
    classic canvas draws letters of 14 pixels down to a size of 8.
    """
    nodes = workflow(path.stem)["nodes"]
    corners = [rectangle(node) for node in nodes]
    left, top, right, bottom = (
        choose(corner[side] for corner in corners) for side, choose in enumerate((min, min, max, max))
    )
    assert 0.75 * min(1920 / (right - left + 20), 950 / (bottom - top + 20)) > 8 / 14


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_faces_are_refined_at_the_size_of_the_checkpoint_that_is_named(path: Path) -> None:
    nodes = workflow(path.stem)["nodes"]
    names = [socket["id"] for socket in SCHEMAS["VisageRefineFaces"]["inputs"] if "default" in socket]
    # ComfyUI's own widget stands behind the seed.
    names.insert(names.index("seed") + 1, "control_after_generate")
    for node in nodes:
        if node["type"] == "VisageRefineFaces":
            assert CHECKPOINT in files_of(nodes)
            assert dict(zip(names, node["widgets_values"], strict=False))["guide_size"] == 768


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_group_switches_on_is_in_it_and_nothing_else(path: Path) -> None:
    """A key switches all nodes of a group on if all are bypassed, else it bypasses all of them."""
    flow = workflow(path.stem)
    inside = []
    for group in flow["groups"]:
        left, top, width, height = group["bounding"]
        for node in flow["nodes"]:
            box = rectangle(node)
            if box[0] < left + width and left < box[2] and box[1] < top + height and top < box[3]:
                assert left < box[0] < box[2] < left + width, node["type"]
                assert top < box[1] < box[3] < top + height, node["type"]
                inside.append(node["id"])
    assert inside == [node["id"] for node in flow["nodes"] if node["mode"] == BYPASSED]


def files_of(nodes: list[dict[str, Any]]) -> set[str]:
    """The files of models that are chosen in some nodes, without those that come with Visage."""
    chosen = [node["widgets_values"][0] for node in nodes if "Load" in node["type"]]
    return {name for name in chosen if name.endswith((".pt", ".pth", ".safetensors")) and name not in BUILT_IN}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_only_some_workflows_need_a_download(path: Path) -> None:
    running = [node for node in workflow(path.stem)["nodes"] if node["mode"] != BYPASSED]
    assert files_of(running) == NEEDS.get(path.stem, set())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_models_can_be_got_from_the_dialog_for_missing_models(path: Path) -> None:
    nodes = workflow(path.stem)["nodes"]
    listed = {model["name"]: model for node in nodes for model in node["properties"].get("models", [])}
    assert set(listed) == files_of(nodes)
    for name, model in listed.items():
        # The dialog offers nothing else.
        assert model["url"].startswith("https://huggingface.co/")
        assert model["url"].endswith(f"/{name}")
        known = by_file_name(name)
        if known is not None and known.file_name == name:
            assert model["url"] in known.urls
            assert (model["hash"], model["hash_type"]) == (known.sha256, "SHA256")
            assert model["directory"] == known.folder.replace("/", "_")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_has_a_small_thumbnail(path: Path) -> None:
    thumbnail = path.with_suffix(".jpg")
    assert thumbnail.stat().st_size < 60_000
    with Image.open(thumbnail) as picture:
        assert 300 <= picture.width <= 500
