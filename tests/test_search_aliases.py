"""What people type who come from other tools finds the nodes that do that job."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import pytest

WANTED = {
    "adetailer": {"VisageRefineFaces", "VisageRefineFacesDiffusers", "VisageRestoreFaces", "VisageLoadFaceDetector"},
    "facedetailer": {"VisageRefineFaces", "VisageRefineFacesDiffusers", "VisageRestoreFaces", "VisageLoadFaceDetector"},
    "gfpgan": {"VisageRestoreFaces", "VisageLoadFaceRestorer"},
    "codeformer": {"VisageRestoreFaces", "VisageLoadFaceRestorer"},
    "reactor": {"VisageRestoreFaces", "VisageLoadFaceRestorer"},
    "face fix": {"VisageRestoreFaces", "VisageRefineFaces", "VisageRefineFacesDiffusers", "VisageLoadFaceRestorer"},
}


@pytest.fixture(scope="module")
def aliases(pack: ModuleType) -> dict[str, list[str]]:
    nodes: list[Any] = asyncio.run(pack.VisageExtension().get_node_list())
    return {schema.node_id: schema.search_aliases for schema in (node.GET_SCHEMA() for node in nodes)}


@pytest.mark.parametrize("typed", WANTED)
def test_names_of_other_tools_find_the_nodes_for_that_job(typed: str, aliases: dict[str, list[str]]) -> None:
    found = {node for node, words in aliases.items() if typed in words}
    assert found >= WANTED[typed]
    # A name that finds everything finds nothing.
    assert len(found) <= 6


def test_every_node_has_words_of_its_own(aliases: dict[str, list[str]]) -> None:
    for node, words in aliases.items():
        assert len(words) >= 3, node
        assert len(words) == len(set(words)), node
        # The search of ComfyUI does not mind capitals; one way of writing keeps the lists free of doubles.
        assert all(word == word.lower().strip() != "" for word in words), node
        elsewhere = {word for other, theirs in aliases.items() if other != node for word in theirs}
        assert set(words) - elsewhere, node
