"""What the pages for users say is true: weights and terms, names of settings, links, and that nothing leaves."""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image
from visage.cli import detect as cli_detect
from visage.cli import models as cli_models
from visage.cli import refine as cli_refine
from visage.cli import report as cli_report
from visage.cli import restore as cli_restore
from visage.models.catalogue import CATALOGUE, KnownWeights, by_name
from visage.models.locations import search_folders
from visage.tests import comfy_side

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "js" / "docs").glob("*.md"))]
CARDS = sorted((ROOT / "models" / "cards").glob("*.md"))
PURPOSE = {
    "detector": "finding",
    "restorer": "restoring",
    "parser": "telling regions apart",
    "embedder": "comparing",
    "upscaler": "enlarging",
}
# Modules by which a program can reach the network.
NETWORK = {
    "aiohttp",
    "ftplib",
    "http",
    "httpx",
    "requests",
    "smtplib",
    "socket",
    "ssl",
    "urllib",
    "urllib3",
    "websocket",
}


def table(page: Path, first_column: str) -> list[list[str]]:
    """The cells of the table whose heading begins with that column, without the heading."""
    rows: list[list[str]] = []
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        inside = line.startswith(f"| {first_column} |") or (inside and line.startswith("|"))
        if inside:
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [row for row in rows if row[0] != first_column and set(row[0]) != {"-"}]


def files_in(row: list[str]) -> list[str]:
    return re.findall(r"`([^`]+)`", row[1])


@pytest.mark.parametrize("known", CATALOGUE, ids=lambda known: known.name)
def test_readme_says_where_weights_go_and_their_terms(known: KnownWeights) -> None:
    rows = [
        row
        for row in table(ROOT / "README.md", "weights")
        if any(fnmatchcase(known.file_name, pattern) for pattern in files_in(row))
    ]
    assert len(rows) == 1
    _, _, folder, purpose, terms, commercial = rows[0]
    assert folder == (f"`{known.folder}`" if known.folder else "comes with Visage")
    assert purpose.startswith(PURPOSE[known.kind])
    assert (terms, commercial.strip("*")) == (known.licence.name, known.licence.commercial)


def test_readme_lists_no_weights_that_are_not_known() -> None:
    for row in table(ROOT / "README.md", "weights"):
        for pattern in files_in(row):
            assert any(fnmatchcase(known.file_name, pattern) for known in CATALOGUE), pattern


def test_readme_says_for_how_many_weights_no_hash_is_known() -> None:
    without = [known.name for known in CATALOGUE if known.sha256 is None]
    assert (len(without), sum(name.startswith("gpen") for name in without)) == (8, 4)
    assert {"restoreformer-plus-plus", "vqfr-2", "elir", "codeformer-colorization"} < set(without)
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert "For eight of them no sha256 is known" in text
    assert "RestoreFormer++, VQFR 2, ELIR, CodeFormer for colour, and all four of GPEN" in text


def test_weights_are_looked_for_where_they_are_said_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    for known in CATALOGUE:
        if known.folder:
            assert tmp_path / "models" / known.folder in search_folders(known.kind), known.name


def names_of_nodes() -> set[str]:
    """Every input and output, and what may be chosen."""
    names: set[str] = set()
    for node in json.loads(Path(__file__).with_name("node_schemas.json").read_text(encoding="utf-8")).values():
        names |= {socket["id"] for socket in [*node["inputs"], *node["outputs"]]}
        names |= {choice for socket in node["inputs"] for choice in socket.get("options", [])}
    return names


@pytest.mark.parametrize("page", ["migrating", "troubleshooting"])
def test_settings_that_are_named_exist(page: str) -> None:
    known, named = names_of_nodes(), set()
    for line in (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            # `crop_factor` 3.0: the number stands outside; files, folders, tags and commands are no settings.
            named |= set(re.findall(r"`([a-z][a-z ]*(?:_[a-z]+)*)`", line.strip("|").split("|")[-1]))
    named -= {
        "visage models verify",
        "facerestore_models",
        "facedetection",
        "ultralytics_bbox",
        "ultralytics_segm",
        "upscale_models",
    }
    assert len(named) > 20
    assert named <= known


def test_messages_that_are_quoted_are_in_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in modules_of_visage())
    quoted = [
        part.strip(" .,")
        for line in (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
        for message in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", line.strip("|").split("|")[0])
        for part in message.split("...")
    ]
    assert len(quoted) > 3
    assert {message for message in quoted if message not in code} == {"IMPORT FAILED"}, "which is ComfyUI's own"


def test_defaults_that_migrating_names_are_those_of_the_nodes() -> None:
    schemas = json.loads(Path(__file__).with_name("node_schemas.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
    checked = 0
    for heading, node in (("→ Refine Faces", "VisageRefineFaces"), ("→ Restore Faces", "VisageRestoreFaces")):
        defaults = {socket["id"]: socket.get("default") for socket in schemas[node]["inputs"]}
        for section in re.findall(rf"^## [^\n]*{heading}\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL):
            for line in section.splitlines():
                here = line.strip("|").split("|")[-1]
                # What is told of another node, or as something to set, is no default.
                if line.startswith("|") and "**" not in here and "For the" not in here:
                    for name, number in re.findall(r"`(\w+)` (\d+(?:\.\d+)?)", here):
                        checked += 1
                        assert defaults[name] == float(number) or (name, number) == ("max_faces", "1"), name
    assert checked > 15


@pytest.fixture(scope="module")
def commands() -> dict[str, argparse.ArgumentParser]:
    """The parsers of ``visage restore`` and so on, by these names."""
    modules = {
        "restore": cli_restore,
        "refine": cli_refine,
        "detect": cli_detect,
        "report": cli_report,
        "models": cli_models,
    }
    parsers = {name: argparse.ArgumentParser(prog=f"visage {name}") for name in modules}
    for name, module in modules.items():
        module.add_options(parsers[name])
    return parsers


def test_options_that_migrating_names_exist(commands: dict[str, argparse.ArgumentParser]) -> None:
    text = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
    section = re.search(r"^## [^\n]*→ `visage restore`\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    here = [line.strip("|").split("|")[-1] for line in section[1].splitlines() if line.startswith("|")]
    named = {
        option for cell in here for option in re.findall(r"--[a-z-]*[a-z]", re.sub(r"`visage detect.*`", "", cell))
    }
    assert len(named) > 8
    assert named <= set(commands["restore"]._option_string_actions)
    values = {value for cell in here for value in re.findall(r"--(?:restorer|detector|upscaler) ([\w.-]+)", cell)}
    assert all(by_name(value) for value in values)


def commands_on(page: Path) -> list[str]:
    """What follows the name of the program, on lines of their own, indented, and in the text."""
    found = re.finditer(r"^    visage (.+)$|`visage ([^`]+)`", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [line[1] or line[2] for line in found]


PRINTED = [(page, command) for page in (*PAGES, *CARDS) for command in commands_on(page)]


def test_commands_are_found_where_they_are_printed() -> None:
    assert ("README.md", "models list") in {(page.name, command) for page, command in PRINTED}
    assert ("data.md", "models get yunet") in {(page.name, command) for page, command in PRINTED}
    assert len(PRINTED) > 20


@pytest.mark.parametrize(("page", "command"), PRINTED, ids=lambda value: getattr(value, "name", value))
def test_commands_that_are_printed_can_be_read(
    page: Path, command: str, commands: dict[str, argparse.ArgumentParser]
) -> None:
    """Whole ones as they are; of those that are only named, all that is said of them."""
    first, *arguments = shlex.split(command)
    parser, left = commands[first], list(arguments)
    while left and (below := [action.choices for action in parser._actions if action.nargs == argparse.PARSER]):
        parser = below[0][left.pop(0)]
    assert {word for word in left if word.startswith("-")} <= set(parser._option_string_actions)
    if any(not word.startswith("-") for word in left):
        commands[first].parse_args(arguments)


def test_commands_that_follow_each_other_write_reports_of_their_own() -> None:
    words = [shlex.split(command) for command in commands_on(README)]
    reports = [after for line in words for word, after in pairwise(line) if word in ("--report", "--json")]
    assert len(reports) > 2
    assert len(set(reports)) == len(reports)


def nodes_of_comfyui_named_in(text: str) -> set[str]:
    """After "ComfyUI's", in bold letters, or after "ComfyUI's own nodes" in a list."""
    lists = re.findall(r"ComfyUI's own nodes(?:: | \()([A-Z][^.):]+)", text)
    return {
        *re.findall(r"ComfyUI's \*\*([^*]+)\*\*", text),
        *(name.strip(" *") for names in lists for name in names.split(",")),
    }


@pytest.mark.skipif(comfy_side.comfyui() is None, reason="needs a ComfyUI")
def test_nodes_of_comfyui_are_called_by_their_names() -> None:
    folder = comfy_side.comfyui()
    assert folder is not None
    sources = [folder / "nodes.py", *(folder / "comfy_extras").glob("*.py")]
    names = {
        name
        for source in sources
        for name in re.findall(r"""(?:display_name ?= ?|"\w+": )["']([^"']+)["']""", source.read_text(encoding="utf-8"))
    }
    named = {
        name for page in PAGES for name in nodes_of_comfyui_named_in(" ".join(page.read_text(encoding="utf-8").split()))
    }
    assert len(named) > 8
    # SAM3 stands for all that begin so.
    assert {name for name in named if not any(f"{known} ".startswith(f"{name} ") for known in names)} == set()


@pytest.mark.parametrize("page", sorted({*PAGES, *CARDS, *ROOT.glob("*.md")}), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?://", target):
            continue
        path, _, heading = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def paths_named_in(page: Path) -> set[str]:
    """Files and folders of the project that a page links to or names, from the root."""
    text = page.read_text(encoding="utf-8")
    links = {(page.parent / target.partition("#")[0]).resolve() for target in re.findall(r"\]\(([^)\s]+)\)", text)}
    named = {ROOT / path for path in re.findall(r"[\w.-]+(?:/[\w.-]+)+", text)}
    return {path.relative_to(ROOT).as_posix() for path in links | named if path.exists() and path.is_relative_to(ROOT)}


def test_what_users_are_sent_to_is_in_the_package() -> None:
    left_out = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    assert left_out
    assert all(re.fullmatch(r"[\w.-]+/", folder) for folder in left_out), "the test reads folders of the root alone"
    pages = [ROOT / "README.md", *(ROOT / "js" / "docs").glob("*.md"), *(ROOT / "workflows").glob("*.json")]
    named = {path for page in pages for path in paths_named_in(page)}
    assert {"docs/prompts.md", "docs/restorers.md", "docs/before-after-original.jpg"} <= named
    assert not {path for path in named if f"{path}/".startswith(tuple(left_out))}


@pytest.mark.parametrize("page", sorted((ROOT / "js" / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_every_help_page_has_a_small_picture(page: Path) -> None:
    pictures = re.findall(r"^!\[([^\]]+)\]\(([^)\s]+)\)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert pictures
    for description, target in pictures:
        # ComfyUI puts the address of the folder of the page in front of it.
        assert re.fullmatch(r"Visage\w+\.jpg", target)
        assert len(description) > 20
        assert (page.parent / target).stat().st_size < 60_000
        with Image.open(page.parent / target) as picture:
            assert picture.format == "JPEG"
            assert 400 <= picture.width <= 1000


def test_no_picture_of_the_help_pages_is_left_over() -> None:
    folder = ROOT / "js" / "docs"
    shown = {
        name for page in folder.glob("*.md") for name in re.findall(r"\((\w+\.jpg)\)", page.read_text(encoding="utf-8"))
    }
    assert shown == {picture.name for picture in folder.glob("*.jpg")}


def test_every_library_is_among_the_notices() -> None:
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8").lower()
    files = (ROOT / "requirements.txt", ROOT / "requirements-cli.txt")
    packages = re.findall(r"^[a-z][\w-]*", "\n".join(file.read_text(encoding="utf-8") for file in files), re.MULTILINE)
    assert len(packages) > 10
    for package in packages:
        assert re.search(rf"(?<![\w-]){package}(?![\w-])", notices), package


def test_every_picture_is_among_the_notices() -> None:
    """By its name, or by that of its folder with the others that are named."""
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    for folder in ("docs", "js/docs", "workflows"):
        for picture in (ROOT / folder).glob("*.jpg"):
            assert f"`{folder}/`" in notices or f"`{folder}/{picture.name}`" in notices, picture


def modules_of_visage() -> list[Path]:
    """What runs on users' machines: not the tests, the benchmarks and the training."""
    folders = ("cli", "faces", "models", "nodes", "pipeline")
    return [*ROOT.glob("*.py"), *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]


def imports_of(path: Path) -> set[str]:
    """Modules by their full names, wherever in the file they are imported; relative ones with their dots."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def test_only_the_download_module_can_reach_the_network() -> None:
    # urllib.parse reads addresses, and goes nowhere.
    reaching = {
        str(path.relative_to(ROOT))
        for path in modules_of_visage()
        if any(
            name.split(".")[0] in NETWORK and not name.startswith("urllib.parse") and name != "urllib"
            for name in imports_of(path)
        )
    }
    assert reaching == {"models/download.py"}


def test_only_the_command_that_gets_models_downloads() -> None:
    using = {
        str(path.relative_to(ROOT))
        for path in modules_of_visage()
        if any(name.endswith("download.download") for name in imports_of(path))
    }
    assert using == {"cli/models.py"}


def test_page_code_talks_to_its_own_server_alone() -> None:
    for path in (ROOT / "js").rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"https?://(?!www\.w3\.org/)|\bXMLHttpRequest\b|\bWebSocket\b|sendBeacon|(?<!\w)fetch\(", text
        )
