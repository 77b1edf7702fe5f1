"""What is drawn by lot: {a|b} and __name__."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visage.faces.face import Face
from visage.pipeline.prompts import PromptError, Wildcards, prompts_for

NONE = Wildcards()


def drawn(text: str, wildcards: Wildcards = NONE, times: int = 400) -> Counter[str]:
    return Counter(wildcards.expand(text, seed) for seed in range(times))


def refused(text: str, wildcards: Wildcards = NONE) -> str:
    with pytest.raises(PromptError) as caught:
        wildcards.expand(text, 0)
    return str(caught.value)


@pytest.fixture
def files(tmp_path: Path):
    """Writes wildcard files and gives the wildcards of the folder."""

    def write(**texts: str) -> Wildcards:
        for name, text in texts.items():
            path = tmp_path / f"{name.replace('__', '/')}.txt"
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text, encoding="utf-8")
        return Wildcards.from_folders([tmp_path])

    return write


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("{a|b|c}", {"a", "b", "c"}),
        ("x {a} y", {"x a y"}),
        ("{a|}z", {"az", "z"}),
        ("{a|b{c|d}}", {"a", "bc", "bd"}),
        ("{ a | b }", {" a ", " b "}),
        ("{2$$a|b|c}", {"a b", "b a", "a c", "c a", "b c", "c b"}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("{1-2$$,$$a|b}", {"a", "b", "a,b", "b,a"}),
        ("{-2$$,$$a|b}", {"a", "b", "a,b", "b,a"}),
        ("{0-$$$$a|b}", {"", "a", "b", "ab", "ba"}),
        ("{9$$$$a|b}", {"ab", "ba"}),
        ("{2$$$$0::a|b|c}", {"bc", "cb"}),
        ("{0::a|b|0::c}", {"b"}),
        ("{a|[b:c:0.5]|(d:1.2)}", {"a", "[b:c:0.5]", "(d:1.2)"}),
        ("{a::2|b}", {"a::2", "b"}),
        (r"\{a\|b\}", {r"{a\|b}"}),
        (r"{a\|b|\}}", {"a|b", "}"}),
        (r"\__a__", {"__a__"}),
    ],
)
def test_what_can_be_drawn(text: str, possible: set[str]) -> None:
    assert set(drawn(text)) == possible


def test_weights_are_shares() -> None:
    counts = drawn("{3::a|b|0.5::c}", times=4500)
    assert counts["a"] == pytest.approx(3000, rel=0.06)
    assert counts["b"] == pytest.approx(1000, rel=0.12)
    assert counts["c"] == pytest.approx(500, rel=0.18)


def test_the_draws_for_a_seed_never_change() -> None:
    """Workflows keep seeds: another text for one of these would be another picture."""
    assert [NONE.expand("{a|b|c|d} {2$$e|f|g}", seed) for seed in (0, 1, 2**64 - 1)] == ["d g e", "a g f", "a f e"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a {b|c", "line 1, character 3: this { is not closed"),
        ("{a|{b}", "character 1: this { is not closed"),
        ("{" * 1200 + "}" * 1200, "character 51: more than 50 braces are open at once"),
        ("a\nb } c", "line 2, character 3: this } closes nothing"),
        ("{0::a|0::b}", "all weights are 0"),
        ("{3-1$$a|b}", "3-1 is no range"),
        ("${x=a} b", "variables ${...} are not available"),
        ("{2$$3#__a__}", "3#__a__ is not available. {2$$, $$__name__} draws"),
        ("{a|<lora:b>}", "character 4: <lora:b> cannot be loaded"),
        ("{a|[SKIP]}", "[SKIP] must be all there is"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, said: str) -> None:
    assert said in refused(text)


def test_braces_one_after_the_other_are_not_nested() -> None:
    assert len(NONE.expand("{a|b}" * 200 + "{" * 50 + "c" + "}" * 50, 1)) == 201


def test_a_brace_does_not_reach_over_several_prompts() -> None:
    with pytest.raises(PromptError, match=r"prompt 1, line 1, character 1: this \{ is not closed"):
        prompts_for("{a [SEP] b|c}", [Face((0, 0, 5, 5))], 0, NONE)


def test_lines_of_files(files) -> None:
    wildcards = files(hair="# colours\nred\n\n  blond  \n3::{dark|light} brown\n")
    counts = drawn("__hair__ hair", wildcards)
    assert set(counts) == {"red hair", "blond hair", "dark brown hair", "light brown hair"}
    assert counts["dark brown hair"] + counts["light brown hair"] > 200
    assert drawn("__HAIR__ hair", wildcards) == counts


def test_several_different_lines_of_a_file(files) -> None:
    wildcards = files(hair="red\nblond\nbrown")
    pairs = set(drawn("{2$$+$$__hair__}", wildcards))
    assert pairs == {f"{a}+{b}" for a in ("red", "blond", "brown") for b in ("red", "blond", "brown") if a != b}
    assert "red red" in drawn("__hair__ __hair__", wildcards)


def test_folders_and_stars(files) -> None:
    wildcards = files(hair="bald", hair__colour="red", hair__style__long="plait", eyes="blue")
    assert set(drawn("__hair/colour__", wildcards)) == set(drawn(r"__hair\colour__", wildcards)) == {"red"}
    assert set(drawn("__hair/*__", wildcards)) == {"bald", "red", "plait"}
    assert set(drawn("__h*__", wildcards)) == {"bald", "red", "plait"}
    assert set(drawn("__*e*__", wildcards)) == {"plait", "blue"}
    assert set(drawn("__long__", wildcards)) == {"plait"}


def test_files_that_draw_from_files(files) -> None:
    wildcards = files(person="a __hair__ man\na __hair__ woman", hair="{red|blond}")
    assert set(drawn("__person__", wildcards)) == {
        "a red man",
        "a blond man",
        "a red woman",
        "a blond woman",
    }


def test_the_earlier_folder_wins_and_missing_ones_are_empty(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    folders = [tmp_path / "none", tmp_path / "two", tmp_path / "one"]
    assert Wildcards.from_folders(folders).expand("__a__", 0) == "two"


def test_a_line_may_hold_the_mark_of_the_base_prompt(files) -> None:
    wildcards = files(a="[PROMPT], smile")
    assert prompts_for("__a__", [Face((0, 0, 5, 5))], 0, wildcards, "a man")[0].text == "a man, smile"


def test_text_saved_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("é".encode("utf-8-sig"))
    assert Wildcards.from_folders([tmp_path]).expand("__a__", 0) == "é"


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("é".encode("latin-1"))
    assert "a.txt is not UTF-8 text. Save it as UTF-8." in refused("__a__", Wildcards.from_folders([tmp_path]))


def test_unknown_names_list_near_ones_whatever_is_drawn(files) -> None:
    wildcards = files(hair__colour="red", hairs="x", eyes="blue")
    message = refused("{9999::a|b __hair__}", wildcards)
    assert "character 12: no wildcard hair. Near it: hairs." in message
    assert "\\__hair__" in message
    assert "Near it: hair/colour." in refused("__colours__", wildcards)
    assert "There is: eyes, hair/colour, hairs." in refused("__qqq__", wildcards)
    assert "there are no wildcard files" in refused("__qqq__")


def test_empty_files_are_named(files) -> None:
    assert "nothing to draw in" in refused("__a__", files(a="# later\n\n"))


def test_circles_are_refused_whatever_is_drawn(files) -> None:
    wildcards = files(a="99999::x\n__b__", b="__folder/*__", folder__c="y\n__a__", d="__d__", e="\\__e__")
    assert "wildcard a leads back to itself (a → b → folder/c → a)" in refused("__a__", wildcards)
    assert "(b → folder/c → a → b)" in refused("{x|__b__}", wildcards)
    assert "(d → d)" in refused("__d__", wildcards)
    assert wildcards.expand("__e__", 0) == "__e__"


def test_a_bad_line_is_named_when_it_is_drawn(files) -> None:
    wildcards = files(a="# list\n2::fine {x", b="<lora:z:1>", c="[SEP]", d="__missing__")
    assert "a.txt, line 2, character 9: this { is not closed" in refused("__a__", wildcards)
    assert "b.txt, line 1, character 1: <lora:z:1> cannot be loaded" in refused("__b__", wildcards)
    assert "[SEP] can stand neither" in refused("__c__", wildcards)
    assert "d.txt, line 1, character 1: no wildcard missing" in refused("__d__", wildcards)


WORDS = st.text("abc", min_size=1, max_size=3)
TEXTS = st.recursive(
    WORDS, lambda inner: st.lists(inner, min_size=1, max_size=4).map(lambda some: "{" + "|".join(some) + "}z")
)


@given(TEXTS, st.integers(0, 2**64 - 1))
def test_nested_choices_end_in_plain_text_that_the_seed_decides(text: str, seed: int) -> None:
    result = NONE.expand(text, seed)
    assert set(result) <= set("abcz")
    assert NONE.expand(text, seed) == result


@given(st.lists(WORDS, min_size=1, max_size=6, unique=True), st.integers(0, 8), st.integers(0, 1000))
def test_as_many_different_options_as_asked_for(options: list[str], count: int, seed: int) -> None:
    result = NONE.expand(f"{{{count}$$,$${'|'.join(options)}}}", seed)
    some = result.split(",") if result else []
    assert len(set(some)) == len(some) == min(count, len(options))
    assert set(some) <= set(options)


def test_names_with_spaces_are_reached_with_hyphens_as_in_the_impact_pack_and_as_they_are(files) -> None:
    wildcards = files(**{"hair colour": "red", "my lists__eye colour": "__hair colour__ and blue"})
    for text in ("__hair-colour__", "__hair colour__", "__Hair Colour__"):
        assert wildcards.expand(text, 0) == "red"
    for text in ("__my-lists/eye-colour__", "__my lists/eye colour__", "__eye colour__", "__my lists/*__"):
        assert wildcards.expand(text, 0) == "red and blue"
    assert wildcards.expand(r"\__hair colour__, __ a __, __hair-colour__ __hair-colour__", 0) == (
        "__hair colour__, __ a __, red red"
    )


def test_a_file_without_spaces_goes_before_one_with_them_in_the_same_folder(files, tmp_path: Path) -> None:
    assert files(**{"a b": "spaces", "a-b": "hyphen"}).expand("__a-b__", 0) == "hyphen"
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    (tmp_path / "one" / "c d.txt").write_text("first")
    (tmp_path / "two" / "c-d.txt").write_text("second")
    assert Wildcards.from_folders([tmp_path / "one", tmp_path / "two"]).expand("__c-d__", 0) == "first"
