"""What the model is told to paint: the prompt of the graph, a text instead, or a text with that prompt in it.

A CONDITIONING is a list of pairs: tokens ``[1, T, C]`` and a dictionary of everything else. All here is done on
copies; what came from the graph is shared with other nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...models.refiners import pieces_of
from ...pipeline.prompts.grammar import BASE

Conditioning = list[list[Any]]

# What text encoders give beside the tokens, and the words that a ControlNet is told instead of the model. A text leaves
# nothing of them.
_OF_THE_WORDS = frozenset(
    {
        "attention_mask",
        "attention_mask_mt5xl",
        "clip_end_percent",
        "clip_start_percent",
        "conditioning_byt5small",
        "conditioning_llama3",
        "conditioning_lyrics",
        "conditioning_mt5xl",
        "cross_attn_controlnet",
        "deepstack_embeds",
        "minimax_token_tags",
        "num_layers_stacked",
        "pooled_output",
        "pooled_output_controlnet",
        "t5xxl_ids",
        "t5xxl_weights",
        "visual_pos_masks",
    }
)
# Where words hold in the frame, and how much beside those of other places. A text for a face holds in all of its crop.
_OF_PLACES = frozenset({"area", "default", "gligen", "mask", "mask_strength", "set_area_to_bounds", "strength"})


class Texts:
    """Encodes each text once.

    Args:
        clip: ``None`` where no text is going to be asked for.
    """

    def __init__(self, clip: Any | None) -> None:
        self._clip = clip
        self._known: dict[str, Conditioning] = {}

    def conditioning(self, text: str, given: Conditioning) -> Conditioning:
        """What a text stands for.

        Args:
            text: empty for the prompt of the graph; ``[PROMPT]`` in it stands for that, too.
            given: the prompt of the graph. A text in its place leaves what else it says to the model, such as
                ControlNets, guidance, hooks, pictures and ranges of steps, but not the places that its words were for.

        Raises:
            ValueError: there is a text and nothing to encode it with, or the two prompts do not go together.
        """
        parts = [part.strip(" ,\n\t") for part in text.split(BASE)]
        written = [part if any(pieces_of(part)) else "" for part in parts]
        if not any(written):
            return given
        if len(written) == 1:
            words = self._encoded(written[0])
            return [[tokens, _added(kept, more)] for kept in _distinct(given) for tokens, more in words]
        return [pair for entry in given for pair in self._joined(written, entry)]

    def _encoded(self, text: str) -> Conditioning:
        """An entry for each range of steps that the hooks of the CLIP tell apart; mostly one."""
        if self._clip is None:
            raise ValueError(
                "There is a text in prompt or negative but no CLIP to read it with: connect clip, or clear the text so "
                "that the connected prompts are used."
            )
        if text not in self._known:
            clip = self._clip
            pieces = [clip.encode_from_tokens_scheduled(clip.tokenize(piece)) for piece in pieces_of(text)]
            self._known[text] = [_in_a_row(row, row[0]) for row in zip(*pieces, strict=True)]
        return self._known[text]

    def _joined(self, parts: Sequence[str], entry: list[Any]) -> Conditioning:
        """An entry of the graph's prompt with the texts before, between and after, in that order: as often as the
        hooks of the CLIP change the texts while the entry holds."""
        texts = [self._encoded(part) for part in parts if part]
        joined = []
        for at_once in zip(*texts, strict=True):
            span = _overlap(entry[1], at_once[0][1])
            if span is None:
                continue
            following = iter(at_once)
            row: list[list[Any]] = []
            for number, part in enumerate(parts):
                row += [entry] if number > 0 else []
                row += [next(following)] if part else []
            tokens, rest = _in_a_row(row, entry)
            hooks = {key: value for key, value in at_once[0][1].items() if key == "hooks"}
            joined.append([tokens, _added(rest, hooks) | span])
        return joined


def _in_a_row(row: Sequence[list[Any]], main: list[Any]) -> list[Any]:
    """The tokens of several entries one after the other, with all else as ``main``, one of them, has it."""
    if len({tokens.shape[-1] for tokens, _ in row}) > 1:
        raise ValueError(
            f"{BASE} joins a text to the connected prompt, but the two come from text encoders of different kinds: "
            "connect the clip that the prompt was made with."
        )
    joined = torch.cat([tokens.to(main[0]) for tokens, _ in row], dim=1)
    masks = [more.get("attention_mask") for _, more in row]
    kind = next((mask for mask in (main[1].get("attention_mask"), *masks) if mask is not None), None)
    if kind is None:
        return [joined, main[1].copy()]
    seen = [
        (torch.ones(tokens.shape[:2]) if mask is None else mask).to(kind)
        for (tokens, _), mask in zip(row, masks, strict=True)
    ]
    return [joined, main[1] | {"attention_mask": torch.cat(seen, dim=1)}]


def _distinct(given: Conditioning) -> list[dict[str, Any]]:
    """What the entries of a prompt say beside words and places, each only once; nothing where there is no entry."""
    found: list[dict[str, Any]] = []
    for _, rest in given:
        kept = {key: value for key, value in rest.items() if key not in _OF_THE_WORDS | _OF_PLACES}
        if not any(_same(kept, other) for other in found):
            found.append(kept)
    return found or [{}]


def _same(one: Any, two: Any) -> bool:
    """Whether two values are the very same ones, in containers of their own maybe."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)):
        return len(one) == len(two) and all(map(_same, one, two))
    return one is two or (isinstance(one, (str, int, float)) and isinstance(two, (str, int, float)) and one == two)


def _added(kept: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """What the graph's prompt says, and on top of it what the text says. The hooks of both act."""
    both = kept | more
    if kept.get("hooks") is not None and more.get("hooks") is not None:
        both["hooks"] = kept["hooks"].clone_and_combine(more["hooks"])
    return both


def _overlap(one: dict[str, Any], two: dict[str, Any]) -> dict[str, float] | None:
    """The range of steps in which both hold, as far as hooks of the CLIP set one; ``None`` where there is none."""
    starts = [each["clip_start_percent"] for each in (one, two) if "clip_start_percent" in each]
    ends = [each["clip_end_percent"] for each in (one, two) if "clip_end_percent" in each]
    if not starts:
        return {}
    start, end = max(starts), min(ends)
    return {"clip_start_percent": start, "clip_end_percent": end} if start < end else None
