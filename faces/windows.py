"""Windows: rectangular views of faces with their surroundings, for networks that need to see both.

Unlike the aligned crops of :mod:`.crops`, a window keeps to the pixels of its frame as far as it can: it is turned
only where the face lies on its side, it is never squeezed, and at its native scale it is a plain cut-out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..fields import setting
from .face import Box, PixelBox, Point
from .geometry import apply, invert
from .memory import empty
from .sampling import view, within

# From what roll on an upright window is turned, in degrees. Diffusion models draw a head tilted by less as well as an
# upright one, and turning costs a resampling.
MIN_ROLL = 15.0


# However large a face is, the model sees this much around it: sides of the window over sides of the face.
_LEAST_SHOWN = 1.25

# Height over width of a face's own box. A face that lies on its side has a box around its tilted outline, which does
# not tell the two apart; the median of upright faces does (yolov8n-face on the dlib photographs: 1.27).
_PROPORTION = 1.27


@dataclass(frozen=True, eq=False)
class Window:
    """A rectangle of one frame, at the size in which a network sees it.

    Attributes:
        frame: which frame of the batch.
        width, height: in pixels of the crop.
        matrix: ``[2, 3]`` float64, frame pixels to crop pixels: a similarity.
        frame_width, frame_height: in pixels of the frame.
    """

    frame: int
    width: int
    height: int
    matrix: Tensor
    frame_width: int
    frame_height: int

    @property
    def scale(self) -> float:
        """Crop pixels per frame pixel."""
        return math.hypot(float(self.matrix[0, 0]), float(self.matrix[1, 0]))

    @property
    def roll(self) -> float:
        """How far the window is turned in the frame, in degrees clockwise as seen."""
        return -math.degrees(math.atan2(float(self.matrix[1, 0]), float(self.matrix[0, 0])))

    @property
    def corners(self) -> tuple[Point, Point, Point, Point]:
        """The corners of the outermost pixels' centres, in frame pixels, in the order of the outline."""
        right, bottom = self.width - 1.0, self.height - 1.0
        ends = torch.tensor([[0, 0], [right, 0], [right, bottom], [0, bottom]], dtype=torch.float64)
        one, two, three, four = ((x, y) for x, y in apply(invert(self.matrix), ends).tolist())
        return one, two, three, four


@dataclass(frozen=True)
class WindowSettings:
    """How much of the frame a window shows, and at what size.

    Attributes:
        guide_size: what the shorter side of the whole crop (or of the face's box) is enlarged to.
        guide_by: which of the two.
        max_size: no side of a crop becomes longer than this, except to reach the next multiple; goes before
            ``guide_size``.
        crop_factor: sides of the window over sides of the face's box.
        padding: frame pixels on each side on top of that.
        upright: whether the window turns with the face.
        shrink: whether what is larger than the guide size is shrunk to it.
    """

    guide_size: int = setting(
        1024,
        "The resolution at which the model draws: smaller crops are enlarged until their shorter side has it or their "
        "longer side reaches max_size. 1024 for SDXL and later; 768 for SD 1.5.",
        low=64,
        high=4096,
        step=8,
    )
    crop_factor: float = setting(
        3.0,
        "How much of the surroundings the model sees: the crop is this many times as wide and high as the face.",
        low=1.0,
        high=20.0,
        step=0.1,
    )
    max_size: int = setting(
        1024,
        "No side of a crop becomes longer than this, whatever guide_size says.",
        low=64,
        high=8192,
        step=8,
        advanced=True,
    )
    guide_by: Literal["face", "crop"] = setting(
        "crop",
        "crop: guide_size applies to the whole crop. face: to the face in it, which needs a lower crop_factor or a "
        "higher max_size.",
        advanced=True,
    )
    padding: int = setting(0, "Pixels of the image added to each side of the crop.", low=0, high=1024, advanced=True)
    upright: bool = setting(
        True, "Turn faces upright while they are repainted, if they are tilted by 15 degrees or more.", advanced=True
    )
    shrink: bool = setting(
        False,
        "Shrink crops that are larger than guide_size to it. When off, large faces are repainted at their own size.",
        advanced=True,
    )


def plan_window(
    frame: int, box: Box, roll: float | None, width: int, height: int, settings: WindowSettings, multiple: int
) -> Window:
    """The window for a face.

    It shows ``crop_factor`` times the box and the padding, but no more than the frame holds; it is moved, not
    squeezed, where it would reach beyond the border; its size in pixels is rounded outward to whole multiples, and
    what that adds is shown, so that one pixel of the crop is as wide as it is high, exactly.

    Args:
        frame: which frame of the batch.
        box: of the face, in frame pixels.
        roll: of the face in degrees, or ``None``.
        width, height: of the frame.
        multiple: what the sides of the crop must be multiples of.
    """
    left, top, right, bottom = _clipped(box, width, height)
    turn = roll if settings.upright and roll is not None and abs(roll) >= MIN_ROLL else 0.0
    face = upright_sides(box) if turn else (right - left, bottom - top)
    shown = _shown(face, turn, width, height, settings)
    guided = min(face if settings.guide_by == "face" else shown)
    if settings.shrink:
        scale = min(settings.guide_size / guided, settings.max_size / max(shown))
    else:
        scale = max(min(settings.guide_size / guided, settings.max_size / max(shown)), 1.0)
        # Rather less of the surroundings than fewer pixels of the face.
        most = max(settings.max_size / scale, _LEAST_SHOWN * max(face))
        shown = min(shown[0], most), min(shown[1], most)
        scale = min(scale, settings.max_size / max(shown))
    across, down = (max(1, math.ceil(side * scale / multiple - 1e-6)) * multiple for side in shown)
    window = Window(frame, across, down, torch.empty(0), width, height)
    if turn:
        centre = _centre_of_turned((across / scale, down / scale), face, turn, box, width, height)
        return replace(window, matrix=_matrix(centre, scale, turn, across, down))
    x = _placed((left + right) / 2, across / scale, width, whole=scale == 1)
    y = _placed((top + bottom) / 2, down / scale, height, whole=scale == 1)
    return replace(window, matrix=_matrix((x, y), scale, 0.0, across, down))


def extract_window(frames: Tensor, window: Window) -> Tensor:
    """The pixels of a window.

    Args:
        frames: ``[B, H, W, 3 or more]`` 0..1.

    Returns:
        ``[h, w, 3]`` float32 0..1 on the device of ``frames``. Beyond the frame its border is replicated.
    """
    pixels = empty(window.height, window.width, 3, device=frames.device)
    return view(frames[window.frame, ..., :3], window.matrix, window.height, window.width, out=pixels)


def extract_window_mask(mask: Tensor, window: Window) -> Tensor:
    """A mask ``[H, W]`` 0..1 of the window's frame, seen through the window: ``[h, w]``."""
    return view(mask[..., None], window.matrix, window.height, window.width, "bilinear")[..., 0]


def part_of(window: Window, box: PixelBox) -> Window:
    """A part of a window as a window of its own.

    Args:
        box: in pixels of the window.
    """
    left, top, right, bottom = box
    matrix = window.matrix - torch.tensor([[0, 0, left], [0, 0, top]], dtype=torch.float64)
    return replace(window, width=right - left, height=bottom - top, matrix=matrix)


def inside(window: Window, device: torch.device, step: int = 1) -> Tensor:
    """1 where a window shows its frame, 0 where it shows the border replicated beyond it.

    Args:
        step: looks at every pixel in so many rows and columns only.

    Returns:
        ``[h / step, w / step]``, rounded up.
    """
    return within(window.matrix, window.height, window.width, window.frame_height, window.frame_width, device, step)


def upright_sides(box: Box) -> tuple[float, float]:
    """Width and height of the face itself, from the box around it where it is tilted.

    For an ellipse in a box the sum of the squared sides is that of its axes, at every angle.
    """
    squares = (box[2] - box[0]) ** 2 + (box[3] - box[1]) ** 2
    width = math.sqrt(max(squares, 2.0) / (1 + _PROPORTION**2))
    return width, _PROPORTION * width


def _clipped(box: Box, width: int, height: int) -> Box:
    """The part of a box that lies in the frame, at least one pixel of it."""
    left, top = min(max(box[0], -0.5), width - 1.5), min(max(box[1], -0.5), height - 1.5)
    return left, top, max(min(box[2], width - 0.5), left + 1), max(min(box[3], height - 0.5), top + 1)


def _shown(
    face: tuple[float, float], turn: float, width: int, height: int, settings: WindowSettings
) -> tuple[float, float]:
    """Sides of the window in frame pixels, no larger than the frame holds."""
    across, down = (side * settings.crop_factor + 2 * settings.padding for side in face)
    if not turn:
        return min(across, width), min(down, height)
    wide, high = _around(across, down, turn)
    fits = min(1.0, width / wide, height / high)
    return max(across * fits, min(across, _LEAST_SHOWN * face[0])), max(down * fits, min(down, _LEAST_SHOWN * face[1]))


def _around(across: float, down: float, turn: float) -> tuple[float, float]:
    """Sides of the box around a turned rectangle."""
    cos, sin = abs(math.cos(math.radians(turn))), abs(math.sin(math.radians(turn)))
    return across * cos + down * sin, across * sin + down * cos


def _placed(centre: float, shown: float, side: int, whole: bool) -> float:
    """Where the centre of an upright window goes along one axis, so that it stays within ``side`` pixels.

    ``whole`` puts its first pixel on a pixel of the frame; nothing is resampled then.
    """
    start = centre - shown / 2
    start = min(max(start, -0.5), side - 0.5 - shown) if shown <= side else (side - shown) / 2 - 0.5
    if whole:
        start = math.floor(start + 1.0) - 0.5
    return start + shown / 2


def _centre_of_turned(
    shown: tuple[float, float], face: tuple[float, float], turn: float, box: Box, width: int, height: int
) -> Point:
    """The centre of a turned window: moved into the frame as far as the face stays well inside the window."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    wide, high = _around(*shown, turn)
    move_x = _placed(x, wide, width, whole=False) - x
    move_y = _placed(y, high, height, whole=False) - y
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    along = abs(move_x * cos + move_y * sin), abs(move_y * cos - move_x * sin)
    room = [max(0.0, (all_of - _LEAST_SHOWN * part) / 2) for all_of, part in zip(shown, face, strict=True)]
    share = min([1.0, *(free / moved for free, moved in zip(room, along, strict=True) if moved > free)])
    return x + share * move_x, y + share * move_y


def _matrix(centre: Point, scale: float, turn: float, across: int, down: int) -> Tensor:
    """``[2, 3]``: takes ``centre`` to the middle of a crop of ``across`` x ``down`` pixels."""
    cos, sin = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
    x, y = centre
    return torch.tensor(
        [
            [cos, sin, (across - 1) / 2 - cos * x - sin * y],
            [-sin, cos, (down - 1) / 2 + sin * x - cos * y],
        ],
        dtype=torch.float64,
    )
