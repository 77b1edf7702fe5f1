"""What the nodes that refine faces ask for before they run, and when they run again: on the stand-in for ComfyUI or on
a real one.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from visage.tests import comfy_side

NODES = ("RefineFaces", "RefineFacesDiffusers")
PAINTING = ("model", "positive", "negative")


@pytest.fixture
def wildcard(pack: ModuleType) -> Iterator[Path]:
    from visage.nodes import folders

    file = folders.wildcard_folders()[0] / "people" / "age.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("old\n", encoding="utf-8")
    yield file
    file.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", NODES)
@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_an_edited_wildcard_file_is_noticed(pack: ModuleType, wildcard: Path, kind: str, name: str) -> None:
    def states() -> list[Any]:
        fingerprint = getattr(pack, kind).fingerprint_inputs
        # From a link a text is still unknown here.
        return [fingerprint(**{name: text}, seed=5, model=None) for text in ("__age__, smiling", None, "smiling")]

    seen = [states()]
    wildcard.write_text("young, and some more\n", encoding="utf-8")
    seen.append(states())
    os.utime(wildcard, ns=(0, 0))
    seen.append(states())
    (wildcard.parent / "hair.txt").write_text("red\n", encoding="utf-8")
    seen.append(states())
    (wildcard.parent / "hair.txt").unlink()
    wildcard.unlink()
    seen.append(states())
    written, linked, plain = zip(*seen, strict=True)
    assert len(set(written)) == len(set(linked)) == len(seen)
    assert len(set(plain)) == 1


@pytest.mark.parametrize("kind", NODES)
def test_comfyui_keeps_what_a_node_made_until_a_file_changes(
    pack: ModuleType, wildcard: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.environ.get(comfy_side.VARIABLE) != "comfyui":
        pytest.skip("needs ComfyUI's own cache")
    import execution
    from comfy_execution.caching import CacheKeySetInputSignature
    from comfy_execution.graph import DynamicPrompt

    import nodes as comfyui_nodes

    node = getattr(pack, kind)
    name = node.GET_SCHEMA().node_id
    texts = {"1": "smiling", "2": "__age__", "3": ["9", 0]}

    async def keys() -> list[Any]:
        """Of the nodes with each of the texts, as ComfyUI looks up what they made."""
        prompt = {
            number: {"class_type": name, "inputs": {"prompt": text, "negative_prompt": "", "seed": 5}}
            for number, text in texts.items()
        }
        dynamic = DynamicPrompt(prompt | {"9": {"class_type": "EmptyLatentImage", "inputs": {}}})
        found = CacheKeySetInputSignature(dynamic, texts, execution.IsChangedCache("test", dynamic, None))
        await found.add_keys(texts)
        return [found.get_data_key(number) for number in texts]

    monkeypatch.setitem(comfyui_nodes.NODE_CLASS_MAPPINGS, name, node)
    first, again = asyncio.run(keys()), asyncio.run(keys())
    assert first == again
    wildcard.write_text("young\n", encoding="utf-8")
    plain, drawn, linked = asyncio.run(keys())
    assert plain == first[0]
    assert drawn != first[1]
    assert linked != first[2]


def test_a_guider_takes_the_place_of_model_and_prompts(pack: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from visage.nodes import refine

    def wanted(*connected: str) -> list[str]:
        given: dict[str, Any] = dict.fromkeys(connected) | {"prompt": "", "negative_prompt": "", "image": "there"}
        asked: list[str] = pack.RefineFaces.check_lazy_status(**given | {"strength": 1.0, "denoise": 0.4})
        return asked

    assert wanted("detector", "guider") == wanted("detector", "guider", "model") == ["detector", "guider"]
    assert set(wanted("detector", *PAINTING)) == {"detector", *PAINTING}
    for name in PAINTING:
        with pytest.raises(ValueError, match=rf"or a guider instead of them: connect {name}\.$"):
            wanted("detector", *{*PAINTING} - {name})
    with pytest.raises(ValueError, match=r"connect model, positive, negative\.$"):
        wanted("detector")
    with pytest.raises(ValueError, match=r"connect negative\.$"):
        # Before the image, which a sampler may have to make.
        wanted("detector", "model", "positive", "image")
    required = {socket.id for socket in pack.RefineFaces.GET_SCHEMA().inputs if not socket.optional}
    assert {"image", "vae"} <= required
    assert required.isdisjoint(PAINTING)
    monkeypatch.setattr(refine, "run_refining", lambda node, image, inputs, engine: engine())
    monkeypatch.setattr(refine, "ComfyRefiner", dict)
    made = pack.RefineFaces.execute(None, vae="a VAE", guider="a guider")
    assert (made["guider"], made["model"], made["positive"], made["negative"]) == ("a guider", None, [], [])


@pytest.mark.parametrize("kind", NODES)
def test_what_an_empty_prompt_means_is_told_for_nodes_without_one_too(pack: ModuleType, kind: str) -> None:
    sockets = {socket.id: socket for socket in getattr(pack, kind).GET_SCHEMA().inputs}
    for name in ("prompt", "negative_prompt"):
        assert re.search(r"Empty: the connected (prompt|one), if there is one\.", sockets[name].tooltip)
