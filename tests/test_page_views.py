"""What nodes show on ComfyUI's page (``js/report.js``, ``js/compare.js``), run by Node.js on a stand-in for it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "js"
# Extensions lie two folders below the page's root, beside its scripts.
APP = """
export const app = {
  extensions: [],
  nodeOutputs: {},
  canvas: {},
  registerExtension(extension) { this.extensions.push(extension); },
  getRandParam: () => "",
  widgets: {
    STRING(node, name) {
      const widget = { name, value: "", options: {}, element: {} };
      node.widgets.push(widget);
      return { widget };
    },
  },
};
"""
API = """
export const api = {
  apiURL: (path) => path,
  addEventListener(name, act) { this[name] = act; },
  fetchApi: async () => ({ ok: true, json: async () => globalThis.runs }),
};
"""
PAGE = """
import { api } from "./scripts/api.js";
import { app } from "./scripts/app.js";
import "./extensions/visage/compare.js";
import "./extensions/visage/report.js";
globalThis.runs = {};
const graph = (nodes) => Object.assign(app, { rootGraph: { id: "ours", nodes, setDirtyCanvas() {} } });
const made = (kind, id = 3, ...widgets) => {
  const outputs = [{ name: "report", localized_name: "r" }];
  const node = { constructor: { comfyClass: kind }, id, widgets, size: [200, 1000], outputs, setDirtyCanvas() {} };
  node.setSize = (size) => { node.size = size; };
  for (const extension of app.extensions) extension.nodeCreated?.(node);
  return node;
};
const view = () => ({ name: "compare_view", options: {} });
const told = (node) => node.widgets.filter((widget) => widget.name === "report_view").map((widget) => widget.value);
const configured = async () => {
  for (const extension of app.extensions) extension.afterConfigureGraph();
  await new Promise((done) => setTimeout(done, 10));
};
const run = (outputs) => ({ prompt: [1, "", {}, { extra_pnginfo: { workflow: { id: "ours" } } }], outputs });
const say = (value) => process.stdout.write(JSON.stringify(value));
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("node") is None:
        pytest.skip("needs Node.js")
    made = tmp_path_factory.mktemp("page")
    shutil.copytree(SCRIPTS, made / "extensions" / "visage")
    (made / "scripts").mkdir()
    (made / "package.json").write_text('{"type": "module"}')
    (made / "scripts" / "app.js").write_text(APP)
    (made / "scripts" / "api.js").write_text(API)
    return made


def said(folder: Path, code: str) -> Any:
    """What code gives to ``say``."""
    (folder / "page.js").write_text(PAGE + code)
    done = subprocess.run(["node", "page.js"], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S607
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_node_shows_its_report_as_text_that_cannot_be_written(folder: Path) -> None:
    code = """
        const node = made("VisageSelectFaces");
        const before = told(node);
        node.onExecuted({ text: ["Image 1: 2 of 3 faces taken\\n- face 3"] });
        node.onExecuted(null);
        node.onExecuted({ text: ["Image 1: 1 of 1 face taken"] });
        const [{ label, serialize, options, element }] = node.widgets;
        say([before, told(node), label, serialize, options, element.readOnly, told(made("VisageDetectFaces"))]);
    """
    before, shown, label, serialize, options, fixed, other = said(folder, code)
    assert (before, shown, other) == ([], ["Image 1: 1 of 1 face taken"], [])
    assert (label, serialize, fixed) == ("r", False, True)
    # Else the next run would be one of another workflow.
    assert (options["serialize"], options["read_only"]) == (False, True)


def test_the_report_of_the_last_run_comes_back_with_a_node_that_is_made_anew(folder: Path) -> None:
    code = """
        const older = run({ "3": { text: ["old"] } });
        globalThis.runs = { older, newer: run({ "3": { text: ["new"] }, "9:3": { text: ["in"] } }) };
        const [outer, inner] = [made("VisageRestoreFaces", 3, view()), made("VisageFaceReport")];
        const inside = { id: "sub", isRootGraph: false, nodes: [inner] };
        graph([outer, { id: 9, subgraph: inside }]);
        await configured();
        const restored = [told(outer), told(inner)];
        for (const extension of app.extensions) {
          extension.onNodeOutputsUpdated({ "3": { text: ["of this tab"] }, "sub:3": { text: ["and in it"] } });
        }
        say([restored, told(outer), told(inner)]);
    """
    assert said(folder, code) == [[["new"], ["in"]], ["of this tab"], ["and in it"]]


def test_a_node_shows_what_went_wrong(folder: Path) -> None:
    code = """
        const [outer, inner] = [made("VisageRestoreFaces", 3, view()), made("VisageRefineFaces", 3, view())];
        graph([outer, { id: 9, subgraph: { id: "sub", isRootGraph: false, nodes: [inner] } }]);
        for (const extension of app.extensions) extension.setup?.();
        const fail = (node_id, exception_message) => api.execution_error({ detail: { node_id, exception_message } });
        fail("9:3", "Connect a detector.\\n");
        fail("4", "of another node");
        const failed = [told(outer), told(inner)];
        inner.onExecuted({ text: ["Image 1: no face"] });
        say([failed, told(inner)]);
    """
    assert said(folder, code) == [[[], ["Connect a detector."]], ["Image 1: no face"]]


def test_a_node_without_a_report_shows_what_went_wrong_until_the_next_run(folder: Path) -> None:
    code = """
        const nodes = [made("VisageFaceRegions"), made("VisageLoadFaceDetector", 4), made("KSampler", 5)];
        for (const node of nodes) {
          node.outputs = [{ name: "mask" }];
          node.size = [200, 100];
          node.removeWidget = (widget) => node.widgets.splice(node.widgets.indexOf(widget), 1);
        }
        graph(nodes);
        for (const extension of app.extensions) extension.setup?.();
        const fail = (node_id, exception_message) => api.execution_error({ detail: { node_id, exception_message } });
        fail("3", "Connect a parser.\\n");
        fail("4", "\\n");
        fail("5", "of another pack");
        const failed = [nodes.map(told), nodes[0].widgets[0].label];
        nodes[0].size = [260, 230];
        api.execution_start({ detail: {} });
        const taken = [nodes.map(told), nodes[0].size];
        fail("3", "Connect a parser.");
        say([failed, taken, told(nodes[0])]);
    """
    failed, taken, again = said(folder, code)
    assert failed == [[["Connect a parser."], [], []], "error"]
    assert taken == [[[], [], []], [260, 100]]
    assert again == ["Connect a parser."]


def test_a_new_node_has_room_for_the_comparison_and_none_for_settings_that_are_hidden(folder: Path) -> None:
    code = """
        const height = (advanced) => {
          const settings = Array.from({ length: 5 }, () => ({ name: "cfg", options: { advanced } }));
          return made("VisageRefineFaces", 3, ...settings, view()).size[1];
        };
        const classic = height(true);
        globalThis.LiteGraph = { vueNodesMode: true };
        say([classic, height(false), height(true)]);
    """
    classic, shown, hidden = said(folder, code)
    assert (classic, shown - hidden) == (1000, 5 * 24)
    assert shown > 1200


def test_the_pictures_of_the_run_before_go_where_a_run_has_none(folder: Path) -> None:
    code = """
        const node = made("VisageRestoreFaces", 3, view());
        const [first] = node.widgets;
        const [a, b] = [{ filename: "a" }, { filename: "b" }];
        node.onExecuted({ a_images: [a], b_images: [b], images: [a, b], text: ["Image 1: 1 of 1 face restored"] });
        Object.assign(node, { images: [{}, {}], imgs: ["drawn"] });
        const kept = [first.value, node.imgs];
        node.onExecuted({ text: ["Image 1: no face"] });
        say([kept, first.value, "imgs" in node && [node.imgs ?? null, node.images ?? null]]);
    """
    kept, emptied, drawn = said(folder, code)
    assert kept == [{"beforeImages": ["/view?filename=a"], "afterImages": ["/view?filename=b"]}, ["drawn"]]
    assert emptied == {"beforeImages": [], "afterImages": []}
    assert drawn == [None, None]
