"""Five landmarks of labelled faces from MediaPipe's face mesh: ``python training/mesh_landmarks.py LABELS PICTURES``.

The detectors that label boxes put landmarks where the data they learned from has them, about a twentieth of the
distance of the eyes off the middles of the eyes and the corners of the mouth. A mesh of 478 points follows the rims of
both. It runs in a Python of its own, for the package ``mediapipe`` (0.10.21, Apache-2.0, which holds the network) asks
for other versions than Visage; so nothing of Visage is imported here.

Writes ``mesh-NAME.json`` beside ``labels-NAME.json``: picture to five points (pixel centres at integers).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Corners and lids of the eyes, the foremost point of the nose, the corners of the mouth, from left to right as seen;
# the same points as for ComfyUI's MediaPipe nodes.
_POINTS = ((33, 133, 159, 145), (362, 263, 386, 374), (4,), (61,), (291,))
# Faces are shown with half their size around them, which is what the mesh was trained on.
_ROOM = 0.5
_LEAST_SIDE = 256
# Landmarks that lie further than this from those of the label, over the distance of the eyes, are of something else.
_FURTHEST = 0.35

Points = list[tuple[float, float]]


def found(path: Path, label: dict[str, Any], mesh: Any) -> Points | None:
    """The landmarks of the one face of a picture, where the mesh finds them near to those of the label."""
    import cv2

    faces = label["faces"]
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if len(faces) != 1 or picture is None:
        return None
    left, top, right, bottom = faces[0]["box"]
    reach = (0.5 + _ROOM) * max(right - left, bottom - top)
    x, y = round((left + right) / 2 - reach), round((top + bottom) / 2 - reach)
    side = round(2 * reach)
    edge = max(0, -x, -y, x + side - picture.shape[1], y + side - picture.shape[0])
    framed = cv2.copyMakeBorder(picture, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    shown = framed[y + edge : y + edge + side, x + edge : x + edge + side]
    scale = max(1.0, _LEAST_SIDE / side)
    shown = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    result = mesh.process(cv2.cvtColor(shown, cv2.COLOR_BGR2RGB))
    if not result.multi_face_landmarks:
        return None
    points = result.multi_face_landmarks[0].landmark
    five = [
        (
            sum(points[index].x for index in some) / len(some) * side + x - 0.5,
            sum(points[index].y for index in some) / len(some) * side + y - 0.5,
        )
        for some in _POINTS
    ]
    eyes = math.dist(five[0], five[1])
    away = max(math.dist(*pair) for pair in zip(five, faces[0]["landmarks"], strict=True))
    return five if away <= _FURTHEST * eyes else None


def _all_found(labels: dict[str, Any], pictures: Path) -> Iterator[tuple[str, Points]]:
    import mediapipe

    options = {"static_image_mode": True, "max_num_faces": 1, "refine_landmarks": True}
    with mediapipe.solutions.face_mesh.FaceMesh(**options, min_detection_confidence=0.3) as mesh:
        for name, label in labels.items():
            five = found(pictures / name, label, mesh)
            if five is not None:
                yield name, five


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="labels-NAME.json from training.labels")
    parser.add_argument("pictures", type=Path, help="folder of the pictures")
    given = parser.parse_args()
    labels = json.loads(given.labels.read_text())
    meshes = dict(_all_found(labels, given.pictures))
    target = given.labels.with_name(given.labels.name.replace("labels-", "mesh-", 1))
    target.write_text(json.dumps(meshes))
    print(f"{target}: {len(meshes)} of {len(labels)} pictures")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
