"""Which face gets which prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from ...faces.face import Face
from .grammar import ANY_SEED, BASE, EVERYONE, Order, Script, Segment, parse
from .variants import lottery
from .wildcards import Wildcards


@dataclass(frozen=True)
class FacePrompt:
    """What one face gets.

    Attributes:
        text: its prompt; "" for the base prompt where that is no text.
        skip: whether the face is left as it is.
        seed: of its noise, 0 <= seed < 2**64, where the text says; ``None`` for the setting's.
    """

    text: str
    skip: bool = False
    seed: int | None = None


def prompts_for(
    text: str, faces: Sequence[Face], seed: int, wildcards: Wildcards, base: str | None = None
) -> tuple[FacePrompt, ...]:
    """Hands the prompts of a text to the faces of one frame.

    Args:
        text: in the language of docs/prompts.md.
        faces: of one frame.
        seed: of all that is drawn by lot; each face draws with ``seed`` plus its place in ``faces``, or its track.
        wildcards: the files for ``__name__``.
        base: the prompt that the model has anyway: what an empty prompt gives and ``[PROMPT]`` stands for. It is put
            in as it is, nothing in it is drawn or read as a tag. ``None`` where it is no text: an empty prompt then
            stays empty, and the mark ``[PROMPT]`` stays where it is.

    Returns:
        One for each face, in the order of ``faces``.

    Raises:
        PromptError: the text cannot be read, even where no face would get the part that is wrong.
    """
    script = parse(text)
    templates = {each: wildcards.read(each.passage) for each in script.segments if not each.skips}
    handed = _by_label(script, faces) if script.labelled else _in_order(script, faces, seed)

    prompts: list[FacePrompt] = []
    for place, segments in enumerate(handed):
        own = seed + _number(faces[place], place)
        if any(each.skips for each in segments):
            prompts.append(FacePrompt("", skip=True))
            continue
        lot = lottery(own)
        drawn = reduce(_listed, (wildcards.draw(templates[each], lot).strip() for each in segments), "")
        noise = next((each.seed for each in segments), None)
        if noise == ANY_SEED:
            # From draws of its own, so that [SEP:R] leaves the text as [SEP] has it.
            noise = int(lottery(f"noise {own}").random() * 2**50)
        prompts.append(FacePrompt(_with_base(drawn, base, script.concat), seed=noise))
    return tuple(prompts)


def _by_label(script: Script, faces: Sequence[Face]) -> list[tuple[Segment, ...]]:
    """For each face the prompt of all and that of its label. [SKIP] for all means those without one of their own."""
    by_label = {each.label: each for each in script.segments}
    everyone = by_label.get(EVERYONE)

    def segments(face: Face) -> tuple[Segment, ...]:
        own = by_label.get(face.label.strip().casefold())
        if own is None:
            return () if everyone is None else (everyone,)
        if everyone is None or everyone.skips:
            return (own,)
        return everyone, own

    return [segments(face) for face in faces]


def _in_order(script: Script, faces: Sequence[Face], seed: int) -> list[tuple[Segment, ...]]:
    """For each face one prompt; from one that stops on, the same one for all that follow.

    Where no order is asked for, faces that were followed through a video go by their tracks: whoever leaves the picture
    takes along their prompt.
    """
    ranked = sorted(range(len(faces)), key=lambda place: _rank(faces[place], script.order))
    turns = {place: turn for turn, place in enumerate(ranked)}
    if script.order in {None, "RND"}:
        turns = {place: _number(faces[place], turn) for place, turn in turns.items()}
    following = _segments(script, seed)
    segments = [next(following)]
    while len(segments) <= max(turns.values(), default=0) and not segments[-1].stops:
        segments.append(next(following))
    return [(segments[min(turns[place], len(segments) - 1)],) for place in range(len(faces))]


def _number(face: Face, place: int) -> int:
    """Of its track, or its place where it was not followed."""
    return place if face.track is None else face.track


def _segments(script: Script, seed: int) -> Iterator[Segment]:
    """The prompts for ever: as in the peers, the last one goes on after ADetailer's [SEP] and [LR], and all of them
    begin anew after the Impact Pack's orders, shuffled once more for [RND]."""
    lot = lottery(f"order {seed}")
    while True:
        if script.order == "RND":
            yield from sorted(script.segments, key=lambda _: lot.random())
        else:
            yield from script.segments
        while script.order in {None, "LR"}:
            yield script.segments[-1]


def _rank(face: Face, order: Order | None) -> tuple[float, ...]:
    """Faces are sorted by this, those alike in the order in which they are given. Positions are those of the corner of
    the box as in the peers, sizes are areas."""
    left, top, *_ = face.box
    area = face.width * face.height
    if order in {"LR", "ASC"}:
        return left, top
    if order == "DSC":
        return -left, -top
    if order == "ASC-SIZE":
        return (area,)
    if order == "DSC-SIZE":
        return (-area,)
    return ()


def _listed(first: str, second: str) -> str:
    return f"{first.rstrip(', ')}, {second}" if first and second else first or second


def _with_base(text: str, base: str | None, concat: bool) -> str:
    if not text or text == BASE:
        return base or ""
    if concat and base != "" and BASE not in text:
        text = _listed(BASE, text)
    return text if base is None else text.replace(BASE, base)
