"""What the model is told to paint: the prompt of the graph, a text instead, or a text with that prompt in it.

A CONDITIONING is a list of pairs: tokens ``[1, T, C]`` and a dictionary of everything else. All here is done on
copies; what came from the graph is shared with other nodes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...pipeline.prompts.grammar import BASE

Conditioning = list[list[Any]]


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
            given: the prompt of the graph.

        Raises:
            ValueError: there is a text and nothing to encode it with, or the two prompts do not go together.
        """
        parts = [part.strip(" ,\n\t") for part in text.split(BASE)]
        if not any(parts):
            return given
        if len(parts) == 1:
            return self._encoded(parts[0])
        return [self._joined(parts, tokens, rest) for tokens, rest in given]

    def _encoded(self, text: str) -> Conditioning:
        if self._clip is None:
            raise ValueError(
                "There is a text in prompt or negative but no CLIP to read it with: connect clip, or clear the text so "
                "that the connected prompts are used."
            )
        if text not in self._known:
            self._known[text] = self._clip.encode_from_tokens_scheduled(self._clip.tokenize(text))
        return self._known[text]

    def _joined(self, parts: list[str], tokens: Tensor, rest: dict[str, Any]) -> list[Any]:
        """The tokens of the graph's prompt with those of the texts before, between and after, in that order."""
        pieces: list[tuple[Tensor, Tensor | None]] = []
        for number, part in enumerate(parts):
            if number > 0:
                pieces.append((tokens, rest.get("attention_mask")))
            if part:
                words, more = self._encoded(part)[0]
                pieces.append((words, more.get("attention_mask")))
        if len({piece.shape[-1] for piece, _ in pieces}) > 1:
            raise ValueError(
                f"{BASE} joins a text to the connected prompt, but the two come from text encoders of different "
                "kinds: connect the clip that the prompt was made with."
            )
        joined = torch.cat([piece.to(tokens) for piece, _ in pieces], dim=1)
        if rest.get("attention_mask") is None:
            return [joined, rest.copy()]
        seen = [torch.ones(piece.shape[:2]) if mask is None else mask for piece, mask in pieces]
        return [joined, rest | {"attention_mask": torch.cat([mask.to(rest["attention_mask"]) for mask in seen], dim=1)}]
