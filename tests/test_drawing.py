"""Faces drawn on their picture: captions stay in it and leave faces to be seen."""

from __future__ import annotations

import pytest
import torch
from visage.drawing import draw_faces, place_captions
from visage.faces.face import Box, Face


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([(20, 40, 60, 80)], [(20, 30, 50, 40)]),
        # At the upper edge there is no room above.
        ([(20, 2, 60, 40)], [(20, 40, 50, 50)]),
        # Above is a neighbour.
        ([(20, 10, 60, 38), (20, 40, 60, 80)], [(20, 0, 50, 10), (20, 80, 50, 90)]),
        # Above is the caption of a neighbour.
        ([(20, 60, 60, 80), (30, 60, 70, 80)], [(20, 50, 50, 60), (30, 80, 60, 90)]),
        # What fills the picture is covered anyhow.
        ([(0, 0, 100, 100)], [(0, 0, 30, 10)]),
        ([(90, 40, 99, 80)], [(69, 30, 99, 40)]),
        ([(-20, 95, 20, 130)], [(0, 85, 30, 95)]),
    ],
)
def test_captions_are_where_they_cover_the_least(boxes: list[Box], expected: list[Box]) -> None:
    assert place_captions(boxes, [(30, 10)] * len(boxes), 100, 100) == expected


def test_a_caption_at_the_upper_edge_leaves_the_face_to_be_seen() -> None:
    face = Face(box=(100.0, 4.0, 300.0, 200.0), score=0.9)
    drawn = draw_faces(torch.zeros(400, 400, 3), [face], ["sharp\nlooks away"])
    assert not drawn[10:190, 110:290].any()
    assert drawn[205:240, 100:200].any()


@pytest.mark.parametrize("caption", ["0.90", "soft\nlooks away"])
@pytest.mark.parametrize("wide", [90, 200, 400])
def test_a_caption_is_as_wide_as_its_face_and_not_much_of_the_picture(wide: int, caption: str) -> None:
    """A node shows a picture 250 pixels wide: a line of a twentieth of that is what can be read."""
    face = Face(box=(300.0, 500.0, 300.0 + wide, 900.0), score=0.9)
    drawn = draw_faces(torch.zeros(1000, 1000, 3), [face], [caption])
    rows, columns = drawn[:496].any(-1).any(1).nonzero(), drawn[:496].any(-1).any(0).nonzero()
    assert columns.max() - 300 <= max(wide, 80) + 2
    if wide >= 200:
        tall = (500 - rows.min()) / len(caption.splitlines())
        assert 1000 / 35 < tall < 1000 / 15
