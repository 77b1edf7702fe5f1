"""Translations: every text of ``locales/en``, nothing else, nothing empty, and nothing lost that is no language."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LOCALES = Path(__file__).resolve().parent.parent / "locales"
SCHEMAS = Path(__file__).with_name("node_schemas.json")
TRANSLATIONS = sorted(path.parent.name for path in LOCALES.glob("*/nodeDefs.json") if path.parent.name != "en")
# Tags of prompts, and numbers: 0,2-4,-1 and 64x64 as well as 0.02.
_TAGS_AND_NUMBERS = re.compile(r"\[[A-Z-]+\]|(?<![A-Za-z\d])-?\d+(?:\.\d+)?(?:[x-]\d+)?")
# How the page of ComfyUI 0.33 calls its languages.
LANGUAGES = {"ar", "en", "es", "fa", "fr", "he", "ja", "ko", "pt-BR", "ru", "tr", "zh", "zh-TW"}


def texts_of(language: str) -> dict[str, str]:
    """Every text by the path of its keys."""
    data = json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))
    return dict(_flat(data, ""))


def _flat(data: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _flat(value, f"{path}/{key}")
    else:
        yield path, data


@pytest.fixture(scope="module")
def english() -> dict[str, str]:
    return texts_of("en")


def test_there_is_a_language_besides_english() -> None:
    assert "zh" in TRANSLATIONS
    assert set(TRANSLATIONS) <= LANGUAGES


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_every_text_is_translated_and_no_other(language: str, english: dict[str, str]) -> None:
    translated = texts_of(language)
    assert english.keys() - translated.keys() == set(), "missing"
    assert translated.keys() - english.keys() == set(), "superfluous"
    assert [path for path, text in translated.items() if not isinstance(text, str) or not text.strip()] == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_sentences_are_translated(language: str, english: dict[str, str]) -> None:
    translated = texts_of(language)
    assert [path for path, text in english.items() if " " in text and translated[path] == text] == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_tags_and_numbers_are_kept(language: str, english: dict[str, str]) -> None:
    translated = texts_of(language)
    for path, text in english.items():
        wanted, got = (sorted(_TAGS_AND_NUMBERS.findall(each)) for each in (text, translated[path]))
        assert got == wanted, path


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_signs_that_the_page_gives_a_meaning_are_not_used(language: str) -> None:
    assert not set("{}@|") & set("".join(texts_of(language).values()))


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_explained_choices_keep_the_names_that_the_widget_shows(language: str, english: dict[str, str]) -> None:
    translated = texts_of(language)
    schemas = json.loads(SCHEMAS.read_text(encoding="utf-8"))
    explained = 0
    for node, schema in schemas.items():
        for socket in schema["inputs"]:
            path = f"/{node}/inputs/{socket['id']}/tooltip"
            for choice in socket.get("options", []):
                # "auto: ..." or "auto does ...", at the beginning of a sentence or after a comma.
                if re.search(rf"(?:^|[.:;,] ){re.escape(choice)}(?: \w|:)", english.get(path, "")):
                    explained += 1
                    assert choice in translated[path], (path, choice)
    assert explained > 20


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_two_settings_of_a_node_do_not_share_a_name(language: str) -> None:
    for name, node in json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8")).items():
        for part in ("inputs", "outputs"):
            names = [socket["name"] for socket in node[part].values()]
            assert len(names) == len(set(names)), (name, part)


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_nodes_have_names_of_their_own(language: str, english: dict[str, str]) -> None:
    names = [text for path, text in texts_of(language).items() if path.endswith("/display_name")]
    assert len(names) == len(set(names))
