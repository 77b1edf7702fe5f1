"""The page, in a real Chromium on a real ComfyUI: with nodes drawn by the classic canvas and by Vue (Nodes 2.0).

The tests of one look of the nodes share a page and go on from one another, as a user does. Pictures of the page are
kept in ``.build/screenshots``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from visage.models import builtin
from visage.tests import browser, comfy_side
from visage.tests.browser import Browser
from visage.tests.browser_graph import Graph
from visage.tests.comfy_server import Server
from visage.tests.test_workflows import ROOT, SCHEMAS

PACK = "visage-main"
# Faces that no camera saw: which of the photographs, its left and top edge and its side in the picture.
FACES = ((3, 10, 30, 200), (4, 220, 10, 130), (5, 360, 20, 120), (6, 240, 160, 100), (13, 370, 165, 115))
WIDTH, HEIGHT = 500, 320
PICKER, RESTORER, REFINER = "VisagePickFaces", "VisageRestoreFaces", "VisageRefineFaces"
BLUEPRINT = "Restore Faces (Detector and Restorer)"
# What a page of ComfyUI misses on a new server and of help in English, what it would ask of the network, and the run
# that a test has refused.
NO_FAULT_OF_OURS = (
    "user.css",
    "userdata",
    "ComfyApp graph accessed",
    "/en.md",
    "huggingface.co",
    "/api/prompt ",
    "PromptExecutionError",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Server]:
    for reason in (comfy_side.why_not(), browser.why_not()):
        if reason:
            pytest.skip(reason)
    base = tmp_path_factory.mktemp("server")
    for folder in ("custom_nodes", "input"):
        (base / folder).mkdir()
    (base / "custom_nodes" / PACK).symlink_to(ROOT)
    Image.fromarray(group(data)).save(base / "input" / "example.png")
    running = Server(comfy_side.comfyui(), base, PACK)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


def group(data: Path) -> np.ndarray:
    """``[320, 500, 3]`` uint8: five faces on a plain ground, so blurred that the built-in restorer changes them."""
    photographs = sorted((data / "photos" / "synthetic_1024").iterdir())
    canvas = Image.new("RGB", (WIDTH, HEIGHT), (96, 104, 112))
    for number, left, top, side in FACES:
        small = Image.open(photographs[number]).convert("RGB").resize((side // 3, side // 3))
        canvas.paste(small.resize((side, side), Image.Resampling.BICUBIC), (left, top))
    return np.asarray(canvas)


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "modern"])
def page(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    # A page shows again what the server last made for a workflow: not what it made for the page before.
    server.forget()
    opened = Browser(server, tmp_path_factory.mktemp("chromium"), modern=request.param)
    try:
        opened.open()
        yield opened
    finally:
        opened.stop()


@pytest.fixture(autouse=True)
def not_stuck(page: Browser) -> None:
    if page.is_stuck:
        pytest.skip("the page got stuck in an earlier test")


# ---- what a user sees and does


def status(page: Browser) -> str:
    return page.one(".visage-pick-status").text


def choice(page: Browser) -> str:
    """What the workflow keeps."""
    code = "return app.rootGraph.nodes.find((node) => node.type === arguments[0]).widgets[0].value"
    return str(page.script(code, PICKER))


def write(page: Browser, text: str) -> None:
    """Writes the choice as text, as one step that can be undone."""
    code = """
        const widget = app.rootGraph.nodes.find((node) => node.type === arguments[0]).widgets[0];
        app.canvas.emitBeforeChange();
        widget.value = arguments[1];
        widget.callback?.(widget.value);
        app.canvas.emitAfterChange();
    """
    page.script(code, PICKER, text)


def face(page: Browser, number: int) -> Any:
    return page.one(f".visage-pick-face[aria-label^='Face {number},']")


def is_taken(page: Browser) -> list[bool]:
    return [each.get_attribute("aria-checked") == "true" for each in page.find(".visage-pick-face")]


def drag(
    page: Browser, element: Any, by: tuple[float, float], shift: bool = False, off: tuple[float, float] = (0, 0)
) -> None:
    """Pulls with the mouse from the middle of an element, or off it, by a way; both in shares of the picture."""
    from selenium.webdriver import ActionChains, Keys

    size = page.one(".visage-pick-frame").rect
    actions = ActionChains(page.driver)
    if shift:
        actions.key_down(Keys.SHIFT)
    actions.move_to_element_with_offset(element, round(off[0] * size["width"]), round(off[1] * size["height"]))
    actions.click_and_hold()
    for _ in range(4):
        actions.move_by_offset(round(by[0] * size["width"] / 4), round(by[1] * size["height"] / 4))
    actions.release()
    if shift:
        actions.key_up(Keys.SHIFT)
    actions.perform()


def press(page: Browser, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(page.driver).send_keys(*keys).perform()


def run(page: Browser, server: Server) -> dict[str, Any]:
    """Presses the button, and waits for what the server says of it: outputs by the kinds of the nodes."""
    before = set(server.json("/history"))
    page.one("[data-testid=queue-button]").click()
    (number,) = page.wait(lambda: set(server.json("/history")) - before, 180)
    done = server.json("/history")[number]
    assert done["status"]["status_str"] == "success", done["status"]["messages"]
    return {done["prompt"][2][node]["class_type"]: output for node, output in done["outputs"].items()}


def look_at_node(page: Browser, kind: str) -> None:
    """Brings a node in front of the eyes, at its full size."""
    left, top = page.script("return [...app.rootGraph.nodes.find((node) => node.type === arguments[0]).pos]", kind)
    look_at(page, 1, (400 - left, 120 - top))


def look_at(page: Browser, scale: float, offset: tuple[float, float]) -> None:
    """Zooms and moves the graph, and waits until it is drawn so."""
    page.script(
        """
        app.canvas.ds.scale = arguments[0];
        app.canvas.ds.offset = arguments[1];
        app.canvas.setDirty(true, true);
        """,
        scale,
        offset,
    )
    # A frame to lay the nodes out, and one to draw them.
    page.later("requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100)))")


# ---- one after the other


def test_a_workflow_of_the_pack_is_opened_from_the_templates(page: Browser) -> None:
    page.one(".templates-tab-button").click()
    page.wait(lambda: page.reading(PACK))[-1].click()
    card = page.one("[data-testid=template-workflow-pick_faces]")
    shown = "return [...arguments[0].querySelectorAll('img')].some((image) => image.naturalWidth > 0)"
    page.wait(lambda: page.script(shown, card))
    page.picture("1-templates")
    card.click()
    page.wait(lambda: page.script("return app.rootGraph.nodes.some((node) => node.type === arguments[0])", PICKER))
    look_at_node(page, PICKER)
    assert "Run the workflow" in page.one(".visage-pick-empty").text
    assert choice(page) == ""
    page.picture("2-before-the-first-run")


def test_after_a_run_all_faces_are_shown_and_taken(page: Browser, server: Server) -> None:
    done = run(page, server)
    assert done[PICKER]["text"] == ["Image 1: 5 of 5 faces taken"]
    page.wait(lambda: len(page.find(".visage-pick-face")) == len(FACES))
    assert is_taken(page) == [True] * 5
    assert status(page) == "5 of 5 faces taken."
    assert page.script("return document.querySelector('.visage-pick-image').naturalWidth") == WIDTH
    page.picture("3-after-the-first-run")


def test_faces_are_clicked_and_boxes_drawn_and_moved(page: Browser) -> None:
    face(page, 2).click()
    assert is_taken(page) == [True, False, True, True, True]
    assert status(page) == "Face 2 taken out. 4 of 5 faces taken."
    assert choice(page).startswith("leave ")
    face(page, 2).click()
    assert choice(page) == ""
    face(page, 1).click()
    face(page, 2).click()
    # A box where there is nothing but ground, made larger at its corner, moved with Shift held.
    drag(page, page.one(".visage-pick-frame"), (-0.12, 0.12), off=(-0.05, 0.3))
    assert status(page) == "Box 1 added. 3 of 5 faces taken, and 1 drawn."
    box = numbers(choice(page), "draw")
    assert box == pytest.approx([33, 80, 12, 12], abs=0.7)
    drag(page, page.one(".visage-pick-handle"), (0.08, 0))
    assert numbers(choice(page), "draw") == pytest.approx([box[0], box[1], box[2] + 8, box[3]], abs=1.5)
    drag(page, page.one(".visage-pick-drawn"), (-0.2, 0), shift=True)
    moved = numbers(choice(page), "draw")
    assert moved == pytest.approx([box[0] - 20, box[1], box[2] + 8, box[3]], abs=1.5)
    assert choice(page).count("leave") == 2
    page.picture("4-picked")


def test_the_keyboard_does_it_too(page: Browser) -> None:
    from selenium.webdriver import Keys

    before = choice(page)
    active = "return document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    page.script("document.querySelector('.visage-pick-button').focus()")
    press(page, Keys.TAB, Keys.TAB, Keys.TAB, Keys.TAB)
    assert page.script(active).startswith("Face 1,")
    press(page, Keys.SPACE)
    assert page.script(active).startswith("Face 1,")
    assert is_taken(page) == [True, False, True, True, True]
    press(page, Keys.ENTER)
    assert is_taken(page) == [False, False, True, True, True]
    press(page, Keys.TAB, Keys.TAB, Keys.TAB, Keys.TAB, Keys.TAB)
    assert page.script(active).startswith("Box 1.")
    box = numbers(choice(page), "draw")
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_UP)
    assert numbers(choice(page), "draw") == pytest.approx([box[0] + 1, box[1] - 0.5, *box[2:]])
    page.picture("5-keyboard")
    press(page, Keys.DELETE)
    assert "draw" not in choice(page)
    assert page.find(".visage-pick-face"), "the node itself is still there"
    page.wait(lambda: is_kept(page))
    undo(page)
    page.wait(lambda: "draw" in choice(page))
    assert choice(page).count("leave") == before.count("leave")
    assert page.wait(lambda: page.find(".visage-pick-drawn"))


def test_keys_stay_in_the_picture_and_do_not_delete_the_node(page: Browser) -> None:
    from selenium.webdriver import Keys

    before = choice(page)
    page.script(
        "app.canvas.selectItems([app.rootGraph.nodes.find((node) => node.type === arguments[0])])",
        PICKER,
    )
    page.script("document.querySelector('.visage-pick-button[title^=Add]').focus()")
    press(page, Keys.ARROW_LEFT, Keys.BACKSPACE)
    assert choice(page) == before
    press(page, Keys.SPACE)
    assert status(page).startswith("Box 2 added.")
    press(page, Keys.DELETE)
    assert choice(page) == before
    # Where the box was, the picture has the focus now.
    for key in (Keys.DELETE, Keys.BACKSPACE, Keys.ARROW_LEFT):
        press(page, key)
        assert page.script("return app.rootGraph.nodes.some((node) => node.type === arguments[0])", PICKER)
    assert choice(page) == before


def test_the_choice_is_kept_over_a_reload_and_the_picture_with_it(page: Browser) -> None:
    kept, taken = choice(page), is_taken(page)
    assert kept.count("leave") == 2
    page.wait(lambda: is_kept(page))
    page.open()
    page.wait(lambda: page.script("return app.rootGraph.nodes.some((node) => node.type === arguments[0])", PICKER))
    look_at_node(page, PICKER)
    page.wait(lambda: len(page.find(".visage-pick-face")) == len(FACES))
    assert choice(page) == kept
    assert is_taken(page) == taken == [False, False, True, True, True]
    assert page.find(".visage-pick-drawn")
    page.picture("6-after-the-reload")
    look_at_node(page, RESTORER)
    page.wait(lambda: compared(page) == [WIDTH, WIDTH])
    assert page.script("return arguments[0].value", page.one("textarea[readonly]")).startswith("Image 1: 5 of 5 faces")
    page.picture("6-compared-after-the-reload")
    look_at_node(page, PICKER)


def test_the_next_run_does_what_was_chosen(page: Browser, server: Server, data: Path) -> None:
    done = run(page, server)
    (report,) = done[PICKER]["text"]
    assert report.startswith("Image 1: 4 of 6 faces taken\n- face 1 (")
    assert report.count("taken out by hand") == 2
    before, after = group(data), server.picture(done["SaveImage"]["images"][0])
    changed = [
        bool((before != after)[top : top + side, left : left + side].any()) for _, left, top, side in reading_order()
    ]
    assert changed == [False, False, True, True, True]
    page.picture("7-after-the-second-run")


def test_a_choice_that_cannot_be_read_is_told_on_the_page(page: Browser, server: Server) -> None:
    write(page, "the tall one")
    assert status(page).startswith("'the tall one' is no entry of a choice. Correct the text")
    page.one("[data-testid=queue-button]").click()
    page.wait(lambda: page.reading("Pick Faces rejected the value for choice."))
    page.picture("8-unreadable")
    page.find(".visage-pick-button")[0].click()
    assert (choice(page), status(page)) == ("", "All faces taken. 5 of 5 faces taken.")


def test_entries_that_match_no_face_are_told_and_cleared(page: Browser) -> None:
    write(page, "leave 0,90,5,5; draw 1,1,9,9")
    told = "5 of 5 faces taken, and 1 drawn. 1 entry of the choice matches no face here."
    assert status(page) == told
    page.find(".visage-pick-button")[3].click()
    assert (choice(page), status(page)) == ("", "Choice cleared. 5 of 5 faces taken.")


def test_the_help_page_opens_with_its_picture(page: Browser) -> None:
    page.script(
        "app.canvas.selectItems([app.rootGraph.nodes.find((node) => node.type === arguments[0])])",
        PICKER,
    )
    page.one("[data-testid=info-button]").click()
    text = page.wait(lambda: [each for each in page.find(".node-help-content") if "The choice as text" in each.text])
    loaded = """
        const images = [...arguments[0].querySelectorAll('img')];
        return images.length > 0 && images.every((image) => image.naturalWidth > 0);
    """
    page.wait(lambda: page.script(loaded, text[0]))
    page.picture("9-help")


def test_a_workflow_that_is_dropped_is_seen_beside_the_bars_of_the_page(page: Browser) -> None:
    page.script(
        "return app.handleFile(new File([arguments[0]], 'dropped.json', { type: 'application/json' }))",
        (ROOT / "workflows" / "restore_portrait.json").read_text(encoding="utf-8"),
    )
    page.wait(lambda: not page.script("return app.rootGraph.nodes.some((node) => node.type === arguments[0])", PICKER))
    bars = [page.one(f"[data-testid={bar}]").rect for bar in ("side-toolbar", "subgraph-breadcrumb")]
    # The title of the first node stands above its place.
    left, top = page.script("return [...app.canvas.ds.convertOffsetToCanvas([0, -30])]")
    assert left > bars[0]["x"] + bars[0]["width"]
    assert top > bars[1]["y"] + bars[1]["height"]
    page.picture("10-dropped")


def test_a_graph_that_was_saved_before_there_was_a_widget_gets_its_default(page: Browser) -> None:
    graph = json.loads((ROOT / "workflows" / "restore_portrait.json").read_text(encoding="utf-8"))
    (saved,) = (node for node in graph["nodes"] if node["type"] == RESTORER)
    saved["widgets_values"] = [0.7, *saved["widgets_values"][1:-1]]
    code = """
        const value = (name) => app.rootGraph.nodes
          .find((node) => node.type === arguments[1])
          .widgets.find((widget) => widget.name === name).value;
        return app.loadGraphData(arguments[0]).then(() => ["fidelity", "adain", "grain"].map(value));
    """
    assert page.script(code, graph, RESTORER) == [0.7, True, 0.25]


@pytest.mark.parametrize("name", ["refine_portrait", "refine_group_prompts", "restore_then_refine", "postfix_portrait"])
def test_refine_faces_needs_no_more_room_than_its_templates_give_it(page: Browser, name: str) -> None:
    """Else the page, which fits a template into the window, shows it too small for the classic canvas to draw words."""
    graph = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    (size,) = (node["size"] for node in graph["nodes"] if node["type"] == REFINER)
    code = """
        const size = () => [...app.rootGraph.nodes.find((node) => node.type === arguments[1]).size];
        return app.loadGraphData(arguments[0]).then(size);
    """
    assert page.script(code, graph, REFINER) == size


def test_every_node_of_the_pack_is_drawn(page: Browser) -> None:
    page.script("return app.extensionManager.setting.set('Comfy.RightSidePanel.IsOpen', false)")
    Graph(page).new()
    page.script(
        """
        arguments[0].forEach((kind, place) => {
          const node = LiteGraph.createNode(kind);
          node.pos = [(place % 5) * 460, Math.floor(place / 5) * 1600];
          app.rootGraph.add(node);
        });
        """,
        list(SCHEMAS),
    )
    code = "return app.rootGraph.nodes.map((node) => [node.type, node.title, Boolean(node.has_errors)])"
    assert page.script(code) == [[kind, schema["display_name"], False] for kind, schema in SCHEMAS.items()]
    for row in range((len(SCHEMAS) + 4) // 5):
        look_at(page, 0.62, (140, 230 - 1600 * row))
        page.picture(f"nodes-{row + 1}")
        assert not page.find(".node-error")
    look_at_node(page, PICKER)
    assert "Run the workflow" in page.one(".visage-pick-empty").text


def test_a_picker_that_was_added_by_hand_follows_an_undo(page: Browser) -> None:
    graph = Graph(page)
    graph.new()
    graph.search("Pick Faces", (300, 300), "Pick Faces")
    graph.take("Pick Faces", (300, 300))
    for text in ("one", "two"):
        write(page, text)
        assert status(page).startswith(f"'{text}' is no entry")
        page.wait(lambda: is_kept(page))
    undo(page)
    page.wait(lambda: choice(page) == "one")
    page.wait(lambda: status(page).startswith("'one' is no entry"))


def test_the_blueprint_is_found_and_says_what_it_wants(page: Browser) -> None:
    graph = Graph(page)
    graph.new()
    graph.search("restore faces", (640, 200), BLUEPRINT)
    page.picture("10-blueprint-found")
    graph.take(BLUEPRINT, (640, 200))
    assert graph.sockets(BLUEPRINT) == (["image", "region", "background"], ["image", "mask", "report"])
    widgets = ["detector", "restorer", "fidelity", "strength", "mask_shape", "max_faces", "confidence"]
    assert list(graph.widgets(BLUEPRINT)) == widgets
    graph.choose(BLUEPRINT, "detector", f"{builtin.DETECTOR}.safetensors")
    graph.choose(BLUEPRINT, "restorer", f"{builtin.RESTORER}.safetensors")
    page.picture("10-blueprint-on-the-canvas")


def test_the_blueprint_restores_the_faces_of_a_picture(page: Browser, server: Server, data: Path) -> None:
    graph = Graph(page)
    for title, place in (("Load Image", (240, 200)), ("Save Image", (1040, 200))):
        graph.search(title, place, title)
        graph.take(title, place)
    graph.connect("Load Image", "IMAGE", BLUEPRINT, "image")
    graph.connect(BLUEPRINT, "image", "Save Image", "images")
    done = run(page, server)
    assert done[RESTORER]["text"][0].startswith("Image 1: 5 of 5 faces restored")
    before, after = group(data).astype(float), server.picture(done["SaveImage"]["images"][0]).astype(float)
    for _, left, top, side in FACES:
        middle = np.s_[top + side // 4 : top + side * 3 // 4, left + side // 4 : left + side * 3 // 4]
        assert np.abs(after - before)[middle].mean() > 1
    # A corner that no crop reaches.
    assert np.array_equal(after[295:, :150], before[295:, :150])
    page.wait(lambda: page.script("return app.rootGraph.nodes.some((node) => node.type === 'SaveImage' && node.imgs)"))
    if page.is_modern:
        # Before and after, as the node inside shows them. The classic canvas draws no pictures of nodes inside.
        page.wait(lambda: graph.pictures(BLUEPRINT) == [WIDTH, WIDTH])
    page.picture("11-blueprint-has-run")


def test_the_page_has_nothing_to_complain_about(page: Browser) -> None:
    assert [error for error in page.errors() if not any(known in error for known in NO_FAULT_OF_OURS)] == []


# ---- help


def is_kept(page: Browser) -> bool:
    """Whether the page has put the choice by, as it does a moment after each change."""
    code = "return Object.values({...localStorage}).some((kept) => kept.includes(arguments[0]))"
    return bool(page.script(code, f'\\"{choice(page)}\\"'))


def compared(page: Browser) -> list[int]:
    """How wide the pictures are, before and after, that Restore Faces shows."""
    code = "return [...document.querySelectorAll('[data-testid=image-compare-viewport] img')]"
    if not page.is_modern:
        code = f"return (app.rootGraph.nodes.find((node) => node.type === '{RESTORER}').imgs ?? [])"
    widths: list[int] = page.script(f"{code}.map((picture) => picture.naturalWidth)")
    return widths


def undo(page: Browser) -> None:
    from selenium.webdriver import ActionChains, Keys

    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()


def numbers(text: str, kind: str) -> list[float]:
    """Those of the only entry of a kind in a choice."""
    (entry,) = (entry for entry in text.split("; ") if entry.startswith(kind))
    read: list[float] = json.loads(f"[{entry.removeprefix(kind)}]")
    return read


def reading_order() -> list[tuple[int, int, int, int]]:
    """The photographs in the picture as their faces are numbered."""
    return [FACES[place] for place in (1, 2, 0, 3, 4)]
