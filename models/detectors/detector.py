"""From frames to faces: sizes, tiles and angles around one detection network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...faces.alignment import left_to_right
from ...faces.face import Face, Faces, in_reading_order, roll_of
from ...faces.sampling import area_resize
from ..host import Host, in_batches
from ..inference import naming
from .candidates import Candidates, joined
from .proposer import PADDING, Proposer
from .settings import DetectionSettings
from .tiling import Level, Tile, overview, tiled

T = TypeVar("T")
R = TypeVar("R")

# From this many pixels of their picture on networks find a face surely. Of 297 faces of 20 px and more in dlib's
# photographs at ten sizes, yolov8n-face and YuNet found all and RetinaFace with mobilenet0.25 found 293.
_SURE = 20.0
# A frame whose smallest face is this large at the working size has no crowd of tiny ones.
_NO_CROWD = 48.0
# Tiles at less than this many times the resolution of the whole view would show nothing new.
_WORTHWHILE = 1.25
# Neighbouring tiles share what a face covers that is this many times as large as one found surely in the whole view.
_MARGIN = 1.5
# A box that ends this close to an inner border of a tile, in its pixels, is taken for a cut face.
_BORDER = 2.0
# Networks see an upside-down face upright, with the landmarks wrong and nearly as surely. The surest view is the right
# one for 95 to 100 % of the faces (106 faces, three networks, each turn). The doubt about the upright view counts this
# much, which keeps near ties from turning upright faces over.
_UPRIGHT = 0.95
# On the CPU larger batches fall out of the cache: 16 pictures took 1.6 times as long each as four.
_LARGEST_BATCH_ON_CPU = 4
_LARGEST_BATCH = 16


class Detector:
    """Finds faces in frames with one detection network.

    Attributes:
        proposer: the network.
    """

    def __init__(self, proposer: Proposer, host: Host) -> None:
        self.proposer = proposer
        self._host = host

    @property
    def name(self) -> str:
        """What to call the network in messages and reports."""
        return self.proposer.name

    def detect(self, frames: Tensor, settings: DetectionSettings | None = None) -> list[list[Face]]:
        """The faces of every frame.

        Args:
            frames: ``[B, H, W, 3]`` or ``[B, H, W, 4]`` (alpha is ignored), any float type, 0..1, on any device.
            settings: see there.

        Returns:
            One list for each frame, in reading order.

        Raises:
            ValueError: there are no frames, they have another shape, or one holds values that are not finite.
            InvalidOutputError: the network gave NaN or infinite numbers.
            MemoryError: a single frame does not fit.
            RuntimeError: the network failed otherwise; names it.
        """
        settings = settings or DetectionSettings()
        _check_shape(frames)
        progress = self._host.progress(len(frames), "Finding faces")
        height, width = frames.shape[1:3]
        whole = overview(width, height, settings.working_size)
        results = []
        for start, found in self._overviews(frames, whole, settings):
            for index, passes in enumerate(found, start):
                scale = _tile_scale(passes, width, height, whole, settings)
                closer = [] if scale is None else self._tiles(frames[index], scale, passes, settings)
                seen = [*passes, *closer]
                if not _any_face(seen):
                    seen += self._retry_smaller(frames[index], whole, settings)
                results.append(self._faces(_merged(seen, settings)))
                progress.advance()
        return results

    def faces_in(self, frames: Tensor, settings: DetectionSettings | None = None) -> Faces:
        """What :meth:`detect` finds, as all who work on faces take it."""
        found = self.detect(frames, settings)
        return Faces(frames.shape[2], frames.shape[1], tuple(map(tuple, found)))

    def _overviews(
        self, frames: Tensor, level: Level, settings: DetectionSettings
    ) -> Iterator[tuple[int, list[list[_Pass]]]]:
        """Looks at every frame whole: the number of the first frame of a batch, and what was seen in each of it."""
        device = self._device(frames[0])

        def run(indices: Sequence[int]) -> list[list[_Pass]]:
            pictures = torch.stack([_picture(frames[index], level, device) for index in indices])
            for index, sound in zip(indices, pictures.sum((1, 2, 3)).isfinite().tolist(), strict=True):
                if not sound:
                    raise ValueError(f"Image {index + 1} holds values that are not finite numbers (NaN or infinity).")
            return self._run_network(pictures, settings)

        start = 0
        for found in self._batches(range(len(frames)), level, device, run):
            scale = level.width / frames.shape[2], level.height / frames.shape[1]
            yield start, [[each.in_frame(0, 0, *scale) for each in passes] for passes in found]
            start += len(found)

    def _tiles(self, frame: Tensor, scale: float, seen: list[_Pass], settings: DetectionSettings) -> list[_Pass]:
        """Looks at one frame in tiles. What was seen of the whole frame tells which faces are too large for tiles."""
        height, width = frame.shape[:2]
        shared = math.ceil(_MARGIN * _SURE * scale / (settings.working_size / max(width, height)))
        level = tiled(width, height, scale, settings.working_size, shared, self.proposer.stride)
        device = self._device(frame)
        picture = _picture(frame, level, device)

        def run(tiles: Sequence[Tile]) -> list[list[_Pass]]:
            parts = [
                picture[:, tile.top : tile.top + level.tile_height, tile.left : tile.left + level.tile_width]
                for tile in tiles
            ]
            return self._run_network(torch.stack(parts), settings)

        scales = level.width / width, level.height / height
        large = joined([each.candidates.larger_than(shared / scale) for each in seen])
        passes = []
        found = itertools.chain.from_iterable(self._batches(level.tiles, level, device, run))
        for tile, in_tile in zip(level.tiles, found, strict=True):
            for each in in_tile:
                whole = each.candidates.select(_uncut(each.candidates.boxes, tile, level))
                there = _Pass(whole, each.doubt).in_frame(tile.left, tile.top, *scales)
                passes.append(_Pass(there.candidates.outside(large), each.doubt))
        return passes

    def _retry_smaller(self, frame: Tensor, whole: Level, settings: DetectionSettings) -> list[_Pass]:
        """Looks at a frame in which nothing was found at smaller sizes, until something is.

        Blurred faces are sharp there, and those that fill the frame have a size that networks know.
        """
        for times in self.proposer.retry_shrinks:
            level = overview(whole.width, whole.height, max(1, max(whole.width, whole.height) // times))
            ((_, (passes,)),) = self._overviews(frame[None], level, settings)
            if _any_face(passes):
                return passes
        return []

    def _run_network(self, pictures: Tensor, settings: DetectionSettings) -> list[list[_Pass]]:
        """Runs the network once for each angle, over pictures ``[N, 3, h, w]``."""
        height, width = pictures.shape[-2:]
        seen: list[list[_Pass]] = [[] for _ in pictures]
        for turns in range(4) if settings.rotations else (0,):
            self._host.check_interrupt()
            turned = torch.rot90(pictures, turns, (-2, -1))
            below, beside = -turned.shape[-2] % self.proposer.stride, -turned.shape[-1] % self.proposer.stride
            padded = F.pad(turned, (0, beside, 0, below), value=PADDING)
            with naming(self._host, self.name):
                found = self.proposer.propose(padded, settings.confidence, settings.overlap)
            for passes, candidates in zip(seen, found, strict=True):
                back = candidates.to("cpu").with_area().turned_back(turns, width, height)
                passes.append(_Pass(back, _UPRIGHT if turns == 0 else 1.0))
        return seen

    def _device(self, frame: Tensor) -> torch.device:
        """Where to make pictures of a frame: where the network computes; for one outside torch, where the frame is."""
        resident = self.proposer.resident
        return frame.device if resident is None else resident.bring(frame.numel() * 4)

    def _batches(
        self, items: Sequence[T], level: Level, device: torch.device, run: Callable[[Sequence[T]], list[R]]
    ) -> Iterator[list[R]]:
        """Runs over items in batches that fit into memory."""
        each = self.proposer.working_bytes(level.tile_height, level.tile_width)
        most = _LARGEST_BATCH_ON_CPU if device.type == "cpu" else _LARGEST_BATCH
        batch = max(1, min(most, self._host.free_bytes() // (2 * each)))
        return in_batches(self._host, self.name, items, batch, run)

    def _faces(self, candidates: Candidates) -> list[Face]:
        landmarks = [None] * len(candidates)
        if candidates.landmarks is not None:
            landmarks = left_to_right(candidates.landmarks).tolist()
        outlines = [None] * len(candidates) if candidates.outlines is None else candidates.outlines
        boxes, scores, labels = candidates.boxes.tolist(), candidates.scores.tolist(), candidates.labels.tolist()
        rows = zip(boxes, scores, labels, landmarks, outlines, strict=True)
        return list(in_reading_order(self._face(*row) for row in rows))

    def _face(
        self, box: list[float], score: float, label: int, landmarks: list[list[float]] | None, outline: Tensor | None
    ) -> Face:
        face = Face((box[0], box[1], box[2], box[3]), score, self.proposer.labels[label])
        if landmarks is not None:
            one, two, three, four, five = ((x, y) for x, y in landmarks)
            points = (one, two, three, four, five)
            face = replace(face, landmarks=points, roll=roll_of(points))
        if outline is not None:
            face = replace(face, outline=tuple((x, y) for x, y in outline.tolist()))
        return face


@dataclass(frozen=True)
class _Pass:
    """What one forward pass of the network found in one picture or tile.

    Attributes:
        candidates: in pixels of the picture.
        doubt: factor on ``1 - score``, by which views of one face are compared.
    """

    candidates: Candidates
    doubt: float

    def in_frame(self, left: int, top: int, scale_x: float, scale_y: float) -> _Pass:
        """From pixels of a tile to pixels of the frame, ``x = (x' + left + 0.5) / scale - 0.5``."""
        offset = (left + 0.5) / scale_x - 0.5, (top + 0.5) / scale_y - 0.5
        return _Pass(self.candidates.scaled((1 / scale_x, 1 / scale_y), offset), self.doubt)


def _any_face(passes: Sequence[_Pass]) -> bool:
    return any(len(each.candidates) for each in passes)


def _check_shape(frames: Tensor) -> None:
    if frames.ndim != 4 or frames.shape[3] not in (3, 4) or not frames.is_floating_point():
        raise ValueError(
            f"Frames must be floating point [B, H, W, 3] or [B, H, W, 4], not {frames.dtype} {list(frames.shape)}."
        )
    if frames.numel() == 0:
        raise ValueError(f"There is no picture to look at: the frames are empty, {list(frames.shape)}.")


def _tile_scale(
    passes: Sequence[_Pass], width: int, height: int, whole: Level, settings: DetectionSettings
) -> float | None:
    """At which scale to look at the frame in tiles, ``None`` for not at all."""
    current = max(whole.width / width, whole.height / height)
    if settings.tiles == "never":
        return None
    scale = 1.0 if settings.tiles == "always" else min(1.0, _SURE / settings.smallest)
    if scale <= current * _WORTHWHILE:
        return None
    sizes = torch.cat([each.candidates.sizes() for each in passes]) * current
    if settings.tiles == "auto" and len(sizes) > 0 and float(sizes.min()) >= _NO_CROWD:
        return None
    return scale


def _picture(frame: Tensor, level: Level, device: torch.device) -> Tensor:
    """The frame ``[H, W, C]`` at the size of a level: ``[3, h, w]`` float32."""
    picture = frame[..., :3].to(device=device, dtype=torch.float32)
    if level.width < picture.shape[1] or level.height < picture.shape[0]:
        picture = area_resize(picture, level.height, level.width)
    picture = picture.permute(2, 0, 1)
    if level.width > picture.shape[2] or level.height > picture.shape[1]:
        size = (level.height, level.width)
        picture = F.interpolate(picture[None], size, mode="bilinear", align_corners=False)[0]
    return picture


def _uncut(boxes: Tensor, tile: Tile, level: Level) -> Tensor:
    """Indices of the boxes that no inner border of the tile cuts. Cut faces are whole in the neighbouring tile."""
    edges = boxes.new_tensor([0, 0, level.tile_width - 1, level.tile_height - 1])
    reach = (boxes - edges) * boxes.new_tensor([1, 1, -1, -1])
    cut = (reach < _BORDER) & torch.tensor(tile.inner)
    return (~cut.any(1)).nonzero()[:, 0]


def _merged(passes: Sequence[_Pass], settings: DetectionSettings) -> Candidates:
    """All that was seen of one frame, each face once, as the surest view shows it."""
    everything = joined([each.candidates for each in passes])
    rank = torch.cat([1 - each.doubt * (1 - each.candidates.scores) for each in passes])
    return everything.select(everything.surviving(settings.overlap, rank))
