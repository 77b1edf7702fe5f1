"""What was done to faces, in words."""

from __future__ import annotations

import torch
from visage.cli.json_report import outcome_data
from visage.faces.face import Face, Faces
from visage.faces.selection import SkipSettings
from visage.models.host import TorchHost
from visage.pipeline import BlendSettings, Outcome, RestoreSettings, outcome_report, restore
from visage.tests.comfy_models import restorer_of

LARGE = Face((9.5, 19.5, 109.5, 139.5), index=0)
SMALL = Face((199.5, 19.5, 219.5, 39.5), index=1)


def test_each_face_of_each_image_has_a_line() -> None:
    outcomes = [
        [Outcome(LARGE, "restored", enlargement=4.267), Outcome(SMALL, "skipped", "smaller than 32 px")],
        [],
        [Outcome(SMALL, "restored", enlargement=0.5)],
    ]
    assert outcome_report(outcomes, "restored").splitlines() == [
        "Image 1: 1 of 2 faces restored",
        "- face 1 (120 px at 60, 80): restored in a crop enlarged 4.3x",
        "- face 2 (20 px at 210, 30): left as it was, smaller than 32 px",
        "Image 2: no face",
        "Image 3: 1 of 1 face restored",
        "- face 2 (20 px at 210, 30): restored in a crop shrunk to 0.5x, which loses detail",
    ]


def test_refined_faces_tell_what_they_were_painted_with() -> None:
    painted = Outcome(LARGE, "refined", None, 2.0, "smiling, freckles", 7, 0.4)
    plain = Outcome(SMALL, "refined", None, None, "", 0, 0.35)
    assert outcome_report([[painted, plain]], "refined").splitlines() == [
        "Image 1: 2 of 2 faces refined",
        '- face 1 (120 px at 60, 80): refined in a crop enlarged 2x, denoise 0.4, seed 7, prompt "smiling, freckles"',
        "- face 2 (20 px at 210, 30): refined, denoise 0.35, seed 0",
    ]


def test_detail_is_lost_only_where_the_crop_is_smaller_to_speak_of() -> None:
    def told(enlargement: float) -> str:
        (_, line) = outcome_report([[Outcome(LARGE, "restored", enlargement=enlargement)]], "restored").splitlines()
        return line.partition(": ")[2]

    assert [told(size) for size in (0.95, 0.98, 1.0, 1.04)] == ["restored"] * 4
    assert told(0.94) == "restored in a crop shrunk to 0.94x, which loses detail"
    assert told(1.06) == "restored in a crop enlarged 1.1x"


def test_nothing_to_tell_of() -> None:
    assert outcome_report([], "restored") == ""
    assert outcome_report([[]], "refined") == "Image 1: no face"


def test_it_tells_what_the_pipeline_did(generator: torch.Generator) -> None:
    frames = torch.rand(1, 160, 240, 3, generator=generator)
    host = TorchHost("cpu", quiet=True)
    faces = Faces(240, 160, ((LARGE, SMALL),))
    settings = RestoreSettings(skip=SkipSettings(min_size=32))
    done = restore(frames, faces, restorer_of(host)[0], host, settings)
    first, large, small = outcome_report(done.outcomes, "restored").splitlines()
    assert first == "Image 1: 1 of 2 faces restored"
    assert large.startswith("- face 1 (120 px at 60, 80): restored in a crop ")
    assert small == "- face 2 (20 px at 210, 30): left as it was, smaller than 32 px"
    off = restore(frames, faces, restorer_of(host)[0], host, RestoreSettings(blend=BlendSettings(strength=0)))
    assert "face 1 (120 px at 60, 80): left as it was, strength is 0" in outcome_report(off.outcomes, "restored")


def test_remarks_come_last_in_words_and_as_data() -> None:
    outcome = Outcome(
        LARGE, "refined", enlargement=2.0, prompt="", seed=3, denoise=None, remark="not restored: it failed"
    )
    assert outcome_report([[outcome]], "refined").splitlines()[1].endswith("seed 3, not restored: it failed")
    told = outcome_data(outcome)
    assert (told["remark"], told["denoise"]) == ("not restored: it failed", None)
    assert "remark" not in outcome_data(Outcome(LARGE, "restored", enlargement=1.0))
