"""FACES that another node made by hand, on the stand-in for ComfyUI or on a real one (see ``tests/comfy_side.py``)."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from visage.faces.face import Face, Faces

POINTS = ((36.0, 50.0), (64.0, 50.0), (50.0, 66.0), (39.0, 79.0), (61.0, 79.0))
GOOD = Face((20.0, 20.0, 80.0, 95.0), 0.75, landmarks=POINTS, roll=0.0, outline=POINTS, index=1)
FIRST = Face((90.0, 30.0, 140.0, 90.0))
NAN, INF = float("nan"), float("inf")

WRONG_FACES: dict[str, list[Any]] = {
    "box": [
        *((NAN, 20.0, 80.0, 95.0), (20.0, 20.0, INF, 95.0), (50.0, 50.0, 50.0, 50.0), (20.0, 60.0, 80.0, 60.0)),
        *((80.0, 95.0, 20.0, 20.0), (20.0, 20.0, 80.0), [20.0, 20.0, 80.0, 95.0], "abcd", None),
        *(np.array(GOOD.box), tuple(map(np.float32, GOOD.box)), torch.tensor(GOOD.box)),
        tuple(map(torch.tensor, GOOD.box)),
    ],
    "score": [None, NAN, "0.9", torch.tensor(0.9)],
    "label": [None, 0],
    "landmarks": [
        *(POINTS[:4], (*POINTS, *POINTS), tuple((*point, 0.0) for point in POINTS), ((NAN, 50.0), *POINTS[1:])),
        *(np.array(POINTS), [list(point) for point in POINTS], "abcde"),
    ],
    "roll": [NAN, "5"],
    "outline": [((1.0, 1.0), (9.0, 9.0), (NAN, 4.0)), np.zeros((5, 2)), "abc"],
    "index": [None, "1", -1, 0.0],
}
NO_FACES: list[Any] = [
    [{"bbox": [1, 2, 3, 4]}],
    {"faces": []},
    torch.zeros(1, 4),
    "faces",
    (160, 128, ((GOOD,),)),
    None,
]
WRONG_FRAMES: list[Any] = [
    *((), None, [[GOOD]], (GOOD,), ([GOOD],), ((None,),), ((GOOD.box,),), (({"box": GOOD.box},),)),
]


def faces_of(given: Any) -> Any:
    from visage.nodes import given_faces

    return given_faces.faces_of(given)


@pytest.mark.usefixtures("pack")
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG_FACES.items() for value in values])
def test_a_face_that_nobody_can_work_on_is_named_with_what_is_wrong_with_it(name: str, value: Any) -> None:
    which = "a face" if name == "index" else "face 2"
    with pytest.raises(
        ValueError, match=rf"^The {name} of {which} of image 3 must be .+, not .+ Check the node"
    ) as told:
        faces_of(Faces(160, 128, ((GOOD,), (), (FIRST, replace(GOOD, **{name: value})))))
    assert len(str(told.value)) < 320


@pytest.mark.usefixtures("pack")
@pytest.mark.parametrize("given", NO_FACES)
def test_what_is_no_faces_at_all_is_told_with_what_to_connect(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^Expected faces, got .+ Connect Detect Faces"):
        faces_of(given)


@pytest.mark.usefixtures("pack")
@pytest.mark.parametrize("frames", WRONG_FRAMES)
def test_faces_come_image_by_image(frames: Any) -> None:
    with pytest.raises(ValueError, match=r"^Faces must be a tuple of them for each image"):
        faces_of(Faces(160, 128, frames))


@pytest.mark.usefixtures("pack")
@pytest.mark.parametrize("size", [(0, 128), (160, -128), (160.0, 128.0), ("160", "128"), (None, None)])
def test_faces_come_with_the_size_of_their_images(size: Any) -> None:
    with pytest.raises(ValueError, match="which is no size: both must be whole numbers above 0"):
        faces_of(Faces(*size, ((GOOD,),)))


@pytest.mark.usefixtures("pack")
def test_faces_that_can_be_worked_on_pass_as_they_are() -> None:
    beyond = Face((-500, -900, 9000, 70), np.float64(0.5), landmarks=((9.5, 9.5),) * 5, outline=())
    given = Faces(160, 128, ((GOOD, beyond), ()))
    assert faces_of(given) is given


def called(node: Any, **given: Any) -> Any:
    """What ComfyUI does with a node: it asks for what is lazy, then runs it. Widgets are as they come."""
    inputs = {
        socket.id: socket.default
        for socket in node.GET_SCHEMA().inputs
        if getattr(socket, "default", None) is not None and not socket.optional
    }
    if hasattr(node, "check_lazy_status"):
        node.check_lazy_status(**inputs | given)
    return node.execute(**inputs | given)


def with_faces(pack: ModuleType) -> list[tuple[Any, str]]:
    """The nodes that take FACES, and the sockets where they do."""
    return [
        (node, socket.id)
        for node in pack.NODES
        for socket in node.GET_SCHEMA().inputs
        if socket.get_io_type() == "FACES"
    ]


def test_every_node_looks_at_the_faces_it_is_given(pack: ModuleType, generator: torch.Generator) -> None:
    image: Tensor = torch.rand(1, 128, 160, 3, generator=generator)
    sound = Faces(160, 128, ((FIRST,),))
    wrong = Faces(160, 128, ((replace(FIRST, score=None),),))
    found = with_faces(pack)
    assert len(found) == 11
    for node, socket in found:
        known = {entry.id for entry in node.GET_SCHEMA().inputs}
        rest: dict[str, Any] = {name: given for name, given in (("image", image), ("guider", "there")) if name in known}
        if socket == "reference_faces":
            rest |= {"faces": sound, "reference": image, "embedder": an_embedder()}
        for given, said in ((wrong, "The score of face 1 of image 1"), ([], "Expected faces, got")):
            with pytest.raises(ValueError, match=said):
                called(node, **rest, **{socket: given})


def an_embedder() -> Any:
    from visage.tests.test_nodes_report import an_embedder

    return an_embedder()


def test_a_report_on_another_image_does_not_blame_the_reference(pack: ModuleType) -> None:
    image = torch.rand(1, 128, 160, 3)
    faces = Faces(170, 128, ((FIRST,),))
    with pytest.raises(ValueError, match=r"^The faces were found in 1 image\(s\) of 170x128, but these are 1"):
        pack.ReportFaces.execute(image, faces, preview=False, embedder=an_embedder(), reference=image)
