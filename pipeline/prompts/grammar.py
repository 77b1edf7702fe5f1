"""The tags of the prompt language: which prompts a text holds, and to whom they go.

The words are those of ADetailer (``[SEP]``, ``[SKIP]``, ``[PROMPT]``) and of the Impact Pack's detailers (``[ASC]``,
``[DSC]``, ``[ASC-SIZE]``, ``[DSC-SIZE]``, ``[RND]``, ``[LAB]``, ``[SEP:seed]``, ``[STOP]``, ``[CONCAT]``), in capitals
as there. All other brackets are plain text. docs/prompts.md tells users the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

BASE: Final = "[PROMPT]"
SKIP: Final = "[SKIP]"
STOP: Final = "[STOP]"

# In [LAB]: the label of all faces.
EVERYONE: Final = "all"

# The seed of [SEP:R]: drawn anew for each face.
ANY_SEED: Final = "R"

Order = Literal["LR", "ASC", "DSC", "ASC-SIZE", "DSC-SIZE", "RND"]

_ORDERS: dict[str, Order] = {order: order for order in get_args(Order)}
_FIRST = "|".join(("CONCAT", "LAB", *_ORDERS))
_BEGINNING = re.compile(rf"\s*\[({_FIRST})\]")
_SEPARATOR = re.compile(r"\[SEP(?::([^\[\]]*))?\]")
_LABEL = re.compile(rf"\[(?!(?:SEP|SKIP|STOP|PROMPT|{_FIRST})\])([\w. -]+)\]")

# To the end of a line that begins with it, as in the Impact Pack. The line itself stays, for messages to count.
_COMMENT = re.compile(r"^[^\S\n]*#[^\n]*", re.MULTILINE)

# Tags that cannot stand inside a prompt, as a pattern.
MISPLACED = rf"\[(?P<first>{_FIRST})\]|\[(?P<alone>SKIP|STOP)\]|(?P<between>\[SEP(?::[^\[\]]*)?\])"


class PromptError(ValueError):
    """A prompt that cannot be read. The message says where, what is wrong, and what to write instead."""


@dataclass(frozen=True)
class Passage:
    """A piece of a text, and where it stands.

    Attributes:
        text: the piece.
        name: what it is called in messages, such as ``prompt 2``.
        line, column: where it begins in what the user has written, from 1.
    """

    text: str
    name: str
    line: int = 1
    column: int = 1

    def part(self, start: int, end: int, name: str) -> Passage:
        """The text from ``start`` to ``end`` without the blanks around it."""
        piece = self.text[start:end]
        line, column = self._place(start + len(piece) - len(piece.lstrip()))
        return Passage(piece.strip(), name, line, column)

    def error(self, at: int, message: str) -> PromptError:
        line, column = self._place(at)
        return PromptError(f"{self.name}, line {line}, character {column}: {message}")

    def _place(self, at: int) -> tuple[int, int]:
        before = self.text[:at]
        breaks = before.count("\n")
        return self.line + breaks, at - before.rfind("\n") if breaks else self.column + at


@dataclass(frozen=True)
class Segment:
    """One of the prompts in a text.

    Attributes:
        passage: its text; empty for the base prompt.
        seed: what the user has written in ``[SEP:seed]``.
        label: of the faces that it is for, in lower case; ``None`` where prompts go by order.
    """

    passage: Passage
    seed: int | Literal["R"] | None = None
    label: str | None = None

    @property
    def skips(self) -> bool:
        return self.passage.text in {SKIP, STOP}

    @property
    def stops(self) -> bool:
        return self.passage.text == STOP


@dataclass(frozen=True)
class Script:
    """What a text says.

    Attributes:
        segments: its prompts, at least one; each with a label where ``labelled``.
        order: in which the faces come; ``None`` for the one in which they are given.
        labelled: whether prompts go by label and not by order.
        concat: whether each prompt is added to the base prompt instead of replacing it.
    """

    segments: tuple[Segment, ...]
    order: Order | None = None
    labelled: bool = False
    concat: bool = False


def parse(text: str) -> Script:
    """Splits a text into its prompts, without its comments. What is inside of the prompts is not looked at.

    Raises:
        PromptError: tags contradict each other or are not complete.
    """
    text = _COMMENT.sub("", text)
    whole = Passage(text, "prompt")
    chosen: str | None = None
    concat = False
    start = 0
    while found := _BEGINNING.match(text, start):
        tag = found[1]
        if tag == "CONCAT":
            concat = True
        elif chosen is not None:
            raise whole.error(found.start(1) - 1, f"[{tag}] does not go together with [{chosen}]. Keep one of them.")
        else:
            chosen = tag
        start = found.end()
    if chosen == "LAB":
        return Script(tuple(_labelled(whole, start)), labelled=True, concat=concat)
    return Script(tuple(_separated(whole, start)), None if chosen is None else _ORDERS[chosen], concat=concat)


def _separated(whole: Passage, start: int) -> Iterator[Segment]:
    separators = list(_SEPARATOR.finditer(whole.text, start))
    seed: int | Literal["R"] | None = None
    for number, separator in enumerate([*separators, None], 1):
        end = len(whole.text) if separator is None else separator.start()
        yield Segment(whole.part(start, end, f"prompt {number}" if separators else "prompt"), seed)
        if separator is not None:
            seed = _seed(whole, separator)
            start = separator.end()


def _seed(whole: Passage, separator: re.Match[str]) -> int | Literal["R"] | None:
    given = separator[1]
    if given is None:
        return None
    if given == ANY_SEED:
        return ANY_SEED
    if re.fullmatch(r"[0-9]{1,20}", given) and int(given) < 2**64:
        return int(given)
    raise whole.error(
        separator.start(),
        f'"{given}" is no seed. Write [SEP], [SEP:123] with a whole number below 2^64 for the noise of the next '
        "prompt, or [SEP:R] for any.",
    )


def _labelled(whole: Passage, start: int) -> Iterator[Segment]:
    labels = list(_LABEL.finditer(whole.text, start))
    first = labels[0].start() if labels else len(whole.text)
    if not labels or whole.text[start:first].strip():
        raise whole.part(start, first, "prompt").error(
            0, "after [LAB] each prompt begins with its label: [ALL] smile [female] blue eyes [male] beard."
        )
    seen: set[str] = set()
    for label, following in zip(labels, [*labels[1:], None], strict=True):
        end = len(whole.text) if following is None else following.start()
        key = label[1].strip().casefold()
        if key in seen:
            raise whole.error(label.start(), f"[{label[1]}] is there twice. Write all that it gets in one place.")
        seen.add(key)
        segment = Segment(whole.part(label.end(), end, f"prompt of [{label[1]}]"), label=key)
        if segment.stops:
            raise segment.passage.error(0, "labels have no order in which to stop. Write [SKIP] for each of them.")
        yield segment
