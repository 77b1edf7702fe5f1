"""From the words of a prompt to what the UNet attends to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...host import Host
from ..pieces import pieces_of
from .held import Held
from .parts import TextPart

# Texts that are remembered: those of one picture with many faces, and their negatives.
_MOST_TEXTS = 64
# Working memory of the larger of the encoders for one piece of text, with room to spare.
_WORKING_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What the UNet is told of a prompt.

    Attributes:
        words: ``[1, N, D]``.
        summary: ``[1, D2]`` for models of the SDXL kind, else ``None``.
    """

    words: Tensor
    summary: Tensor | None


class PromptEncoder:
    """The text encoders of one model. Each text is encoded once, as long as it is not too long ago.

    Prompts that are longer than what an encoder reads at once are read in pieces of 75 tokens, one after the other;
    after the word ``BREAK`` a new one begins.
    """

    def __init__(self, parts: Sequence[TextPart], host: Host, dtype: torch.dtype, is_sdxl: bool) -> None:
        """``is_sdxl``: models of the SDXL kind attend to the last layer but one."""
        self._parts = parts
        self._residents = [host.adopt(Held(part.encoder), dtype) for part in parts]
        self._is_sdxl = is_sdxl
        self._known: dict[str, Conditioning] = {}

    def encode(self, texts: Sequence[str]) -> list[Conditioning]:
        """What the texts mean, each filled up with empty pieces to the length of the longest."""
        found = [self._conditioning(text) for text in texts]
        longest = max(each.words.shape[1] for each in found)
        filled = []
        for each in found:
            words = each.words
            while words.shape[1] < longest:
                words = torch.cat([words, self._conditioning("").words], dim=1)
            filled.append(Conditioning(words, each.summary))
        return filled

    def _conditioning(self, text: str) -> Conditioning:
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= _MOST_TEXTS:
                self._known.clear()
            known = self._known[text] = self._encode(text)
        return known

    def _encode(self, text: str) -> Conditioning:
        layers, summary = [], None
        for part, resident in zip(self._parts, self._residents, strict=True):
            device = resident.bring(_WORKING_BYTES)
            tokens = torch.tensor(_pieces(part, text), device=device)
            output = resident.module.network(tokens, output_hidden_states=self._is_sdxl)
            states = output.hidden_states[-2] if self._is_sdxl else output.last_hidden_state
            layers.append(states.flatten(0, 1)[None])
            # What an encoder sums up is the first piece: it is the one that was read like any in the training.
            summary = output.text_embeds[:1] if "text_embeds" in output else None
        return Conditioning(torch.cat(layers, dim=-1), summary)


def _pieces(part: TextPart, text: str) -> list[list[int]]:
    """The tokens of a text in pieces, each begun, ended and filled up as the encoder knows it. No text is one piece."""
    tokenizer: Any = part.tokenizer
    config: Any = part.encoder.config
    room = config.max_position_embeddings - 2
    pieces = []
    for passage in pieces_of(text):
        # verbose: it would warn of long texts, which are no trouble here.
        tokens: list[int] = tokenizer(passage, add_special_tokens=False, verbose=False).input_ids
        for start in range(0, max(len(tokens), 1), room):
            piece = [tokenizer.bos_token_id, *tokens[start : start + room], tokenizer.eos_token_id]
            pieces.append(piece + [part.padding] * (room + 2 - len(piece)))
    return pieces
