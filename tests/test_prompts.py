"""The tags: which face gets which prompt."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from visage.faces.face import Face, in_reading_order
from visage.pipeline.prompts import FacePrompt, PromptError, Wildcards, prompts_for

NONE = Wildcards()

# In reading order: one row, from left to right.
LEFT, MIDDLE, RIGHT = Face((0, 20, 30, 50)), Face((40, 30, 50, 40)), Face((60, 18, 110, 68))
GROUP = in_reading_order([RIGHT, LEFT, MIDDLE])


def texts(text: str, faces=GROUP, seed: int = 0, base: str | None = None) -> list[str | None]:
    """The prompt of each face, ``None`` for those that are skipped."""
    return [None if each.skip else each.text for each in prompts_for(text, faces, seed, NONE, base)]


def people(*labels: str) -> list[Face]:
    return [Face((10.0 * place, 0, 10.0 * place + 8, 8), label=label) for place, label in enumerate(labels)]


def refused(text: str, faces=GROUP) -> str:
    with pytest.raises(PromptError) as caught:
        prompts_for(text, faces, 0, NONE)
    return str(caught.value)


def test_one_text_is_for_all_faces() -> None:
    assert texts("smile") == ["smile"] * 3


def test_prompts_go_to_faces_in_reading_order_and_the_last_one_goes_on() -> None:
    assert texts("one [SEP] two") == ["one", "two", "two"]
    assert texts("one[SEP]two[SEP]\nthree\n[SEP]four") == ["one", "two", "three"]


def test_a_face_is_left_out() -> None:
    assert texts("one [SEP] [SKIP] [SEP] three") == ["one", None, "three"]
    assert texts("[SKIP]") == [None] * 3


def test_from_a_stop_on_all_faces_are_left_out() -> None:
    assert texts("one [SEP] [STOP] [SEP] three") == ["one", None, None]
    assert texts("[DSC-SIZE] one [SEP] [STOP]") == [None, None, "one"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("LR", ["1", "2", "3"]),
        ("ASC", ["1", "2", "3"]),
        ("DSC", ["3", "2", "1"]),
        ("ASC-SIZE", ["2", "1", "3"]),
        ("DSC-SIZE", ["2", "3", "1"]),
    ],
)
def test_the_order_of_the_faces(order: str, expected: list[str]) -> None:
    assert texts(f"  [{order}]\n1[SEP]2[SEP]3") == expected


def test_left_to_right_differs_from_reading_order() -> None:
    faces = in_reading_order([Face((50, 0, 60, 10)), Face((0, 40, 10, 50))])
    assert texts("1 [SEP] 2", faces) == ["1", "2"]
    assert texts("[LR] 1 [SEP] 2", faces) == ["2", "1"]


def test_faces_alike_keep_reading_order() -> None:
    same = [Face((0, 0, 10, 10))] * 3
    for order in ("ASC", "DSC", "ASC-SIZE", "DSC-SIZE", "LR"):
        assert texts(f"[{order}] 1[SEP]2[SEP]3", same) == ["1", "2", "3"]


def test_after_the_orders_of_the_impact_pack_prompts_begin_anew() -> None:
    assert texts("[ASC] 1 [SEP] 2") == ["1", "2", "1"]
    assert texts("[LR] 1 [SEP] 2") == ["1", "2", "2"]


def test_random_order_hands_out_every_prompt_before_any_comes_again() -> None:
    crowd = [Face((x, 0.0, x + 5, 5)) for x in range(9)]
    seen = {tuple(texts("[RND] 1[SEP]2[SEP]3", crowd, seed)) for seed in range(40)}
    assert all(set(each[:3]) == set(each[3:6]) == set(each[6:]) == {"1", "2", "3"} for each in seen)
    assert len({each[:3] for each in seen}) == 6
    assert any(each[:3] != each[3:6] for each in seen)


def test_prompts_keep_to_the_people_of_a_video() -> None:
    """The first of three has left the picture: nobody gets the prompt that was hers, nor the draws."""
    all_three = [replace(face, track=place) for place, face in enumerate(GROUP)]
    for text in (
        "one [SEP] two [SEP] three",
        "[RND] one [SEP] two [SEP] three [SEP] four",
        "{a|b|c|d|e|f|g} [SEP:R] {a|b|c}",
    ):
        before = prompts_for(text, all_three, 5, NONE)
        assert prompts_for(text, all_three[1:], 5, NONE) == before[1:]
        assert prompts_for(text, all_three[::-1], 5, NONE) == before[::-1]
    assert texts("one [SEP] [STOP] [SEP] three", all_three[1:]) == [None, None]
    assert texts("one [SEP] two", all_three[2:]) == ["two"]
    # An order that was asked for is that of each picture.
    assert texts("[LR] one [SEP] two", all_three[1:]) == ["one", "two"]


def test_seeds_belong_to_the_prompt_that_follows() -> None:
    given_ = prompts_for("one [SEP:7] two [SEP] three", GROUP, 100, NONE)
    assert given_ == (FacePrompt("one"), FacePrompt("two", seed=7), FacePrompt("three"))
    again = prompts_for("one [SEP:7] two", GROUP, 100, NONE)
    assert [each.seed for each in again] == [None, 7, 7]


def test_any_seed_is_drawn_from_the_seed() -> None:
    def seeds(seed: int) -> list[int | None]:
        return [each.seed for each in prompts_for("one [SEP:R] two", GROUP, seed, NONE)]

    first, second, third = seeds(1)
    assert first is None
    assert second is not None
    assert third is not None
    assert second != third
    assert seeds(1) == [first, second, third] != seeds(2)


def test_the_base_prompt_where_it_is_a_text() -> None:
    assert texts("[PROMPT], smile [SEP] [SEP] [PROMPT]", base="a man") == ["a man, smile", "a man", "a man"]
    assert texts("", base="a man") == ["a man"] * 3


def test_the_base_prompt_where_it_is_no_text() -> None:
    assert texts("[PROMPT], smile [SEP] [SEP] [PROMPT]") == ["[PROMPT], smile", "", ""]
    assert texts(" \n") == [""] * 3


def test_the_base_prompt_is_put_in_as_it_is() -> None:
    assert texts("{x}, [PROMPT]", base="{a|b} [SEP] \\1 __c__") == ["x, {a|b} [SEP] \\1 __c__"] * 3


def test_prompts_can_be_added_to_the_base_prompt() -> None:
    assert texts("[CONCAT] smile [SEP] tears, [PROMPT] [SEP]") == ["[PROMPT], smile", "tears, [PROMPT]", ""]
    assert texts("[CONCAT][DSC] smile [SEP] tears", base="a man") == ["a man, smile", "a man, tears", "a man, smile"]
    assert texts("[CONCAT] smile", base="") == ["smile"] * 3


def test_prompts_by_label() -> None:
    faces = people("female", "male", "cat")
    text = "[LAB]\n[ALL] laugh, detailed eyes,\n[Female] blue eyes\n[Male] beard"
    assert texts(text, faces) == [
        "laugh, detailed eyes, blue eyes",
        "laugh, detailed eyes, beard",
        "laugh, detailed eyes,",
    ]
    assert texts("[LAB] [female] blue eyes [male] [PROMPT], beard", faces) == ["blue eyes", "[PROMPT], beard", ""]
    assert texts("[LAB] [female] blue eyes [male]", faces, base="a man") == ["blue eyes", "a man", "a man"]


def test_faces_are_left_out_by_label() -> None:
    faces = people("female", "male", "cat")
    assert texts("[LAB] [ALL] smile [male] [SKIP]", faces) == ["smile", None, "smile"]
    assert texts("[LAB] [ALL] [SKIP] [male] beard", faces) == [None, "beard", None]
    assert texts("[LAB] [ALL] [SKIP] [male]", faces, base="a man") == [None, "a man", None]


@pytest.mark.parametrize(
    "text",
    [
        "(word:1.2)",
        "[word]",
        "[a:b:0.5]",
        "[a|b]",
        "a | b",
        "BREAK",
        "[sep]",
        "[Skip]",
        "embedding:x",
        "\\(o\\)",
        "\\|",
        "a_b__c",
        "____",
        "5% <b>",
    ],
)
def test_all_other_text_is_left_alone(text: str) -> None:
    assert texts(text) == [text] * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("smile [SKIP]", "prompt, line 1, character 7: [SKIP] must be all there is"),
        ("one [SEP] two\n [STOP] x", "prompt 2, line 2, character 2: [STOP] must be all"),
        ("smile [ASC]", "character 7: [ASC] can only be the first thing"),
        ("one [SEP] [LAB] [face] two", "prompt 2, line 1, character 11: [LAB] can only be the first"),
        ("[LAB] [face] [CONCAT] two", "[CONCAT] can only be the first"),
        (" [ASC] [DSC] a", "character 8: [DSC] does not go together with [ASC]"),
        ("[LAB] [RND] a", "[RND] does not go together with [LAB]"),
        ("[LAB] smile [face] eyes", "after [LAB] each prompt begins with its label"),
        ("[LAB]", "after [LAB] each prompt begins with its label"),
        ("[LAB] [face] a [SEP] b", "prompt of [face], line 1, character 16: [SEP] can stand neither"),
        ("[LAB] [face] a [FACE] b", "character 16: [FACE] is there twice"),
        ("[LAB] [face] [STOP]", "Write [SKIP]"),
        ("one [SEP:x] two", 'character 5: "x" is no seed'),
        ("one [SEP:-1] two", '"-1" is no seed'),
        ("one [SEP:18446744073709551616] two", "below 2^64"),
        ("one [SEP] two <lora:thing:0.8>", "prompt 2, line 1, character 15: <lora:thing:0.8> cannot be loaded"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, said: str) -> None:
    assert said in refused(text)


def test_a_bad_prompt_is_refused_even_where_no_face_gets_it() -> None:
    assert "[SKIP]" in refused("one [SEP] two [SEP] smile [SKIP]", GROUP[:1])
    assert "[SKIP]" in refused("smile [SKIP]", [])


def test_each_face_draws_for_itself() -> None:
    crowd = [Face((0, 0, 5, 5))] * 200
    drawn = texts("{a|b}", crowd, 3)
    assert 60 < drawn.count("a") < 140
    # One more in the seed moves the draws by one face.
    assert texts("{a|b}", crowd, 4)[:-1] == drawn[1:]


LETTERS = st.text(st.characters(exclude_characters="{}[]_<$\\#", exclude_categories=["Cs"]))


@given(LETTERS, st.integers(0, 5), st.integers(0, 2**64 - 1))
def test_plain_text_passes_unchanged_to_every_face(text: str, count: int, seed: int) -> None:
    assert texts(text, [Face((0, 0, 5, 5))] * count, seed) == [text.strip()] * count


@given(st.lists(LETTERS.filter(str.strip), min_size=1, max_size=5), st.integers(1, 8))
def test_as_many_prompts_as_faces_and_the_last_repeats(segments: list[str], count: int) -> None:
    expected = [segments[min(place, len(segments) - 1)].strip() for place in range(count)]
    assert texts("[SEP]".join(segments), [Face((0, 0, 5, 5))] * count) == expected


TAGS = ["[SEP]", "[SEP:5]", "[SEP:R]", "[SKIP]", "[STOP]", "[PROMPT]", "[ASC]", "[DSC-SIZE]", "[RND]", "[LAB]", "[ALL]"]
ANYTHING = st.lists(st.sampled_from([*TAGS, "[CONCAT]", "{", "}", "|", "a", " ", "2$$", "3::", "\\", "__", "x", "\n"]))


@given(ANYTHING, st.integers(0, 5), st.integers(0, 2**64 - 1), st.sampled_from([None, "", "base"]))
def test_anything_is_either_refused_with_a_place_or_handed_out_the_same_way_again(pieces, count, seed, base) -> None:
    faces = [Face((0, 0, 5, 5 + place)) for place in range(count)]
    text = "".join(pieces)
    try:
        first = prompts_for(text, faces, seed, NONE, base)
    except PromptError as error:
        assert re.search(r", line \d+, character \d+: ", str(error))
        return
    assert len(first) == count
    assert prompts_for(text, faces, seed, NONE, base) == first
    assert all(each.seed is None or 0 <= each.seed < 2**64 for each in first)
    assert base is None or not any("[PROMPT]" in each.text for each in first)


LABELS = st.sampled_from(["face", "female", "Male", "potted plant", "x-1.2"])


@given(st.dictionaries(LABELS, st.text("abc ,", min_size=1).filter(str.strip)), st.lists(LABELS))
def test_every_face_gets_the_prompt_of_its_label(prompts: dict[str, str], labels: list[str]) -> None:
    assume(prompts)
    text = "[LAB]" + "".join(f"\n[{label}] {prompt}" for label, prompt in prompts.items())
    assert texts(text, people(*labels)) == [prompts.get(label, "").strip() for label in labels]


def test_lines_that_begin_with_a_hash_are_comments() -> None:
    assert texts("# for the group\none [SEP]\n  # not [SKIP] [SEP] {here\n two") == ["one", "two", "two"]
    assert texts("# [LAB]\n[DSC] 1 [SEP] 2 [SEP] 3") == ["3", "2", "1"]
    assert texts("one\n#two\nthree # four") == ["one\n\nthree # four"] * 3
    assert texts("one [SEP]\n#two\n[SKIP]") == ["one", None, None]
    assert texts("# all of it", base="given") == ["given"] * 3
    assert refused("# {a\n  # b\nc } d") == refused("\n\nc } d")
