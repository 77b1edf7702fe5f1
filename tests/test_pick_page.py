"""The page's half of a choice made by hand (``js/pick``) and what it shows again (``js/runs``), run by Node.js.

The first is held to the server's half.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from visage.faces.face import Face
from visage.faces.selection.picking import pick_in_frame
from visage.faces.selection.picks import Pick, box_in_percent, drawn_face, parse_picks

SCRIPTS = Path(__file__).resolve().parent.parent / "js"
# Reads calls from the standard input, [[module, function, arguments], ...], and writes what they return or throw.
RUNNER = """
import { readFileSync } from "node:fs";
const modules = Object.fromEntries(await Promise.all(
  ["pick/choice", "pick/boxes", "runs/history"].map(async (path) => [path.split("/")[1], await import(`./${path}.js`)]),
));
const answers = JSON.parse(readFileSync(0, "utf8")).map(([module, name, values]) => {
  try {
    return { returned: modules[module][name](...values) ?? null };
  } catch (error) {
    return { thrown: error.message };
  }
});
process.stdout.write(JSON.stringify(answers));
"""
FACES = ((10.0, 20.0, 20.0, 40.0), (40.0, 20.0, 20.0, 40.0), (70.0, 20.0, 20.0, 40.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("node") is None:
        pytest.skip("needs Node.js")
    made = tmp_path_factory.mktemp("page")
    shutil.copytree(SCRIPTS, made, dirs_exist_ok=True)
    (made / "package.json").write_text('{"type": "module"}')
    (made / "runner.js").write_text(RUNNER)
    return made


def called(folder: Path, *calls: tuple[str, str, list[Any]]) -> list[Any]:
    """What functions return; an error is a text that begins with an exclamation mark."""
    done = subprocess.run(
        ["node", "runner.js"],  # noqa: S607 - the user's own
        cwd=folder,
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [answer.get("returned", f"!{answer.get('thrown')}") for answer in json.loads(done.stdout)]


def data(read: tuple[Pick, ...]) -> list[dict[str, Any]]:
    return [{"kind": each.kind, "box": each.box and list(each.box), "image": each.image} for each in read]


def some_choices(number: int, apart: bool = False) -> list[tuple[str, list[tuple[float, float, float, float]]]]:
    """Choices and faces at random, many of which have something in common; the faces among them not, if ``apart``."""
    chance = random.Random(5)

    def box(near: tuple[float, float, float, float] | None = None, way: float = 12) -> Any:
        left, top, width, height = near or chance.choice(FACES)
        shifted = left + chance.uniform(-way, way), top + chance.uniform(-way, way)
        return round(shifted[0], 2), round(shifted[1], 2), round(width * chance.uniform(0.6, 1.6), 2), height

    def found() -> list[tuple[float, float, float, float]]:
        if apart:
            return [(*box(near, 3)[:2], 20.0, 40.0) for near in chance.sample(FACES, chance.randint(0, 3))]
        return [box() for _ in range(chance.randint(0, 5))]

    def entry() -> str:
        place = chance.choice(["", "", "image 1: ", "image 2: "])
        kind = chance.choice(["take", "leave", "draw", "none"])
        return place + (kind if kind == "none" else f"{kind} {','.join(map(str, box()))}")

    return [("; ".join(entry() for _ in range(chance.randint(0, 6))), found()) for _ in range(number)]


def outcome(text: str, faces: list[tuple[float, float, float, float]], image: int = 1) -> list[bool]:
    """Which faces of an image the server takes."""
    found = [drawn_face(box, 10000, 10000) for box in faces]
    entries = [entry for entry in parse_picks(text) if entry.image in (None, image)]
    left_out = pick_in_frame(found, 10000, 10000, entries).left_out
    return [all(each.face is not face for each in left_out) for face in found]


def notes(text: str, faces: list[tuple[float, float, float, float]]) -> int:
    """How many entries mean no face of image 1, as the server says."""
    found = [drawn_face(box, 10000, 10000) for box in faces]
    entries = [entry for entry in parse_picks(text) if entry.image in (None, 1)]
    return len(pick_in_frame(found, 10000, 10000, entries).notes)


def drawn(text: str, image: int) -> list[Any]:
    """The boxes that are drawn in an image."""
    return [entry.box for entry in parse_picks(text) if entry.kind == "draw" and entry.image in (None, image)]


def test_both_read_the_same_and_refuse_the_same(folder: Path) -> None:
    texts = [
        "",
        " ; \n ",
        "take 31.2,18,10.5,14",
        "TAKE 1 2 3 4",
        "1,2,3,4",
        "image 3: none\nleave .5,-1,2,3; Image 2 :draw 0,0,1,1.",
        "the tall one",
        "keep 1,2,3,4",
        "image 0: none",
        "image 2 take 1,2,3,4",
        "none 1",
        "take 1,2,3",
        "take 1,2,0,4",
        "take 1,2,1e1,4",
        "take 100,2,3,4",
        "take 1,2,,4",
        "take -3,2,3,4",
        "draw 1,2,201,4",
    ]
    answers = called(folder, *(("choice", "parse", [text]) for text in texts))
    for text, answer in zip(texts, answers, strict=True):
        try:
            expected: Any = data(parse_picks(text))
        except ValueError:
            assert answer == f"!'{text}' is no entry of a choice.", text
        else:
            assert answer == expected, text


def test_both_take_the_same_faces_and_write_the_same(folder: Path) -> None:
    cases = some_choices(400)
    # Faces travel to the page in the numbers of a choice.
    boxes = [[box_in_percent(drawn_face(box, 10000, 10000), 10000, 10000) for box in faces] for _, faces in cases]
    read = [data(parse_picks(text)) for text, _ in cases]
    states = called(folder, *(("choice", "states", [one, two, 1]) for one, two in zip(read, boxes, strict=True)))
    expected = [outcome(text, faces) for text, faces in cases]
    assert [[state["taken"] for state in each] for each in states] == expected
    assert 0.1 < sum(map(sum, expected)) / sum(map(len, expected)) < 0.9
    assert any(state["covered"] for each in states for state in each)
    # An entry that means no face is told on the page as in the report.
    strangers = called(folder, *(("choice", "unmatched", [one, two, 1]) for one, two in zip(read, boxes, strict=True)))
    assert strangers == [notes(text, faces) for text, faces in cases]
    assert any(strangers)
    written = called(folder, *(("choice", "format", [one]) for one in read))
    assert written == ["; ".join(map(str, parse_picks(text))) for text, _ in cases]


def test_a_click_changes_one_face_and_no_other(folder: Path) -> None:
    cases = [(text, faces, place) for text, faces in some_choices(300, apart=True) for place in range(len(faces))]
    boxes = [[box_in_percent(drawn_face(box, 10000, 10000), 10000, 10000) for box in faces] for _, faces, _ in cases]
    calls = [
        [data(parse_picks(text)), shown, place, 1, total]
        for (text, _, place), shown in zip(cases, boxes, strict=True)
        for total in (1, 3)
    ]
    changed = called(folder, *(("choice", "toggled", call) for call in calls))
    written = called(folder, *(("choice", "format", [each]) for each in changed))
    states = called(
        folder, *(("choice", "states", [each, call[1], 1]) for each, call in zip(changed, calls, strict=True))
    )
    for number, (result, state) in enumerate(zip(written, states, strict=True)):
        text, faces, place = cases[number // 2]
        wanted = outcome(text, faces)
        # A face under a drawn box stays out.
        wanted[place] = not wanted[place] and not state[place]["covered"]
        assert outcome(result, faces) == wanted, (text, faces, place, result)
        # In the other images of a batch all stays as it was, also what is said of all images.
        for image in (2, 3)[: calls[number][-1] - 1]:
            assert outcome(result, faces, image) == outcome(text, faces, image), (text, faces, place, result)
    assert any(state[call[2]]["covered"] for state, call in zip(states, calls, strict=True))


def test_all_none_and_drawn_boxes_change_one_image_of_a_batch(folder: Path) -> None:
    cases = [(text, faces, data(parse_picks(text))) for text, faces in some_choices(200)]
    changes: list[tuple[str, list[Any]]] = []
    for _, _, read in cases:
        here = [place for place, pick in enumerate(read) if pick["kind"] == "draw" and pick["image"] in (None, 1)]
        changes += [("withAll", [read, 1, 3]), ("withNone", [read, 1, 3]), ("withDrawn", [read, [1, 1, 9, 9], 1, 3])]
        changes += [("without", [read, place, 1, 3]) for place in here[:1]]
        changes += [("withMoved", [read, place, [1, 1, 9, 9], 1, 3]) for place in here[:1]]
    changed = called(folder, *(("choice", *change) for change in changes))
    texts = called(folder, *(("choice", "format", [each]) for each in changed))
    cases_of = {json.dumps(read): (text, faces) for text, faces, read in cases}
    for (name, values), result in zip(changes, texts, strict=True):
        text, faces = cases_of[json.dumps(values[0])]
        for image in (2, 3):
            assert drawn(result, image) == drawn(text, image), (name, text, result)
            assert outcome(result, faces, image) == outcome(text, faces, image), (name, text, result)
        boxes = drawn(text, 1)
        wanted = {"withDrawn": [*boxes, (1, 1, 9, 9)], "without": boxes[1:], "withMoved": [(1, 1, 9, 9), *boxes[1:]]}
        assert drawn(result, 1) == wanted.get(name, boxes), (name, text, result)
    assert {name for name, _ in changes} >= {"without", "withMoved"}


def test_both_languages_say_the_same_things(folder: Path) -> None:
    code = """
        import { textsIn } from "./pick/texts.js";
        const said = (texts) => Object.entries(texts).map(
          ([name, text]) => [name, text.length, typeof text === "string" ? text : text(1, 2, 3, 4)],
        );
        process.stdout.write(JSON.stringify(["en", "zh", "fr"].map((locale) => said(textsIn(locale)))));
    """
    (folder / "languages.js").write_text(code)
    done = subprocess.run(["node", "languages.js"], cwd=folder, capture_output=True, text=True, check=True)  # noqa: S607
    english, chinese, other = json.loads(done.stdout)
    assert other == english
    assert [name for name, *_ in english] == [name for name, *_ in chinese]
    for (name, _, one), (_, _, two) in zip(english, chinese, strict=True):
        assert one.isascii(), name
        assert any("\u4e00" <= letter <= "\u9fff" for letter in two), name
        # The numbers are the same in both.
        assert {*filter(str.isdigit, one)} == {*filter(str.isdigit, two)}, name


def test_all_and_none_keep_drawn_boxes(folder: Path) -> None:
    read = data(parse_picks("take 1,2,3,4; image 2: leave 1,2,3,4; draw 5,6,7,8; none; image 1: leave 9,9,9,9"))
    everyone, nobody, added, without = called(
        folder,
        ("choice", "withAll", [read, 1, 1]),
        ("choice", "withNone", [read, 1, 1]),
        ("choice", "withDrawn", [read, [1, 1, 1, 1], 2, 2]),
        ("choice", "without", [read, 2, 1, 1]),
    )
    assert everyone == data(parse_picks("image 2: leave 1,2,3,4; draw 5,6,7,8"))
    assert nobody == data(parse_picks("image 2: leave 1,2,3,4; draw 5,6,7,8; none"))
    assert added == [*read, *data(parse_picks("image 2: draw 1,1,1,1"))]
    assert without == [*read[:2], *read[3:]]


def test_boxes_stay_in_the_image(folder: Path) -> None:
    answers = called(
        folder,
        ("boxes", "between", [[60, 70], [20, 30]]),
        ("boxes", "between", [[-5, 90], [10.004, 130]]),
        ("boxes", "between", [[100, 100], [100, 100]]),
        ("boxes", "moved", [[10, 10, 20, 20], -15, 100]),
        ("boxes", "moved", [[-5, 10, 120, 20], 1, 1]),
        ("boxes", "resized", [[10, 10, 20, 20], 100, -100]),
        ("boxes", "pointIn", [{"clientX": 15, "clientY": 40}, {"left": 10, "top": 20, "width": 50, "height": 40}]),
    )
    assert answers == [
        [20, 30, 40, 40],
        [0, 90, 10, 10],
        [99.5, 99.5, 0.5, 0.5],
        [0, 80, 20, 20],
        [0, 11, 120, 20],
        [10, 10, 90, 0.5],
        [10, 50],
    ]


def test_the_last_run_of_the_same_workflow_and_node_is_shown(folder: Path) -> None:
    def run(number: int, workflow: str | None, **outputs: Any) -> dict[str, Any]:
        extra = {} if workflow is None else {"extra_pnginfo": {"workflow": {"id": workflow}}}
        return {"prompt": [number, "id", {}, extra, []], "outputs": outputs}

    history = {
        "a": run(3, "ours", **{"5": {"pick": [3]}}),
        # The server negates the number of a run that was put in front of the queue.
        "b": run(-9, "ours", **{"5": {"pick": [9]}, "5:7": {"pick": [7]}}),
        "c": run(11, "theirs", **{"5": {"pick": [11]}}),
        "d": run(12, None, **{"5": {"pick": [12]}}),
        "e": run(13, "ours", **{"6": {}}),
    }
    asked = (("ours", "5"), ("ours", "5:7"), ("ours", "8"), ("nobody's", "5"))
    answers = called(folder, *(("history", "lastOutput", [history, *each]) for each in asked))
    assert answers == [{"pick": [9]}, {"pick": [7]}, None, None]


def test_a_face_is_where_the_server_says() -> None:
    assert box_in_percent(Face((-0.5, 59.5, 99.5, 119.5)), 400, 240) == (0, 25, 25, 25)
