"""What the refine pass needs of a diffusion model, whoever samples it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from ...faces.windows import Window
from ...fields import setting
from ..host import Progress

LEAST_DENOISE = 0.001
"""Below this the noise is less than a model is ever shown, and nothing is repainted."""

Mode = Literal["noise mask", "differential", "inpaint model", "whole crop"]


@dataclass(frozen=True)
class Sampling:
    """How a crop is repainted. The same words mean the same in every engine.

    Attributes:
        steps: number of steps that are really run, whatever the denoise.
        cfg: how far to go on the way from what the negative prompt gives to what the prompt gives (Ho and Salimans,
            "Classifier-Free Diffusion Guidance", 2022); 1 is the prompt alone.
        denoise: how much noise the crop gets, 0..1; the schedule is that of ``steps / denoise`` steps, of which the
            last ``steps`` are run, as ComfyUI does.
        sampler, scheduler: names of the engine's own.
        mode: how the mask acts. "noise mask" blends at every step; "differential" compares the mask with a threshold
            that falls from step to step (Levin and Fried, "Differential Diffusion", 2023), so that its soft edge is
            repainted less; "inpaint model" is the noise mask for models made for inpainting, and refuses others;
            "whole crop" repaints all of it. Models made for inpainting are told what is masked in each of them. In each
            of them only the mask's part is put back into the frame.
        differential: strength of "differential", 0 (as "noise mask") to 1.
    """

    steps: int = setting(20, "Sampling steps for each face; that many are run whatever the denoise.", low=1, high=1000)
    cfg: float = setting(7.0, "How closely the prompt is followed.", low=0.0, high=100.0, step=0.1)
    sampler: str = setting("euler", "The sampling method.")
    scheduler: str = setting("normal", "The noise schedule.")
    denoise: float = setting(
        0.4,
        "How much is repainted. 0.3 keeps the person, 0.5 changes features, 1 makes a new face. At 0 nothing is done.",
        low=0.0,
        high=1.0,
        step=0.01,
    )
    mode: Mode = setting(
        "differential",
        "How the mask acts while sampling. differential fades into the surroundings; noise mask is the classic; "
        "inpaint model is for checkpoints made for inpainting; whole crop repaints what is around the face as well.",
        advanced=True,
    )
    differential: float = setting(
        1.0, "Strength of the differential mode.", low=0.0, high=1.0, step=0.01, advanced=True
    )


@dataclass(frozen=True, eq=False)
class Repaint:
    """One crop to repaint.

    Attributes:
        pixels: ``[H, W, 3]`` float32 0..1; both sides are multiples of :attr:`Refiner.multiple`.
        mask: ``[H, W]`` 0..1, on the device of ``pixels``: where noise goes.
        window: where the crop lies in its frame, for whatever else refers to the frame (control images, areas).
        prompt: "" for what the engine was given. Where the engine's own prompt is no text, the mark ``[PROMPT]`` may
            stand in it for that. What stands on both sides of the word ``BREAK`` is read apart
            (:func:`~.pieces.pieces_of`).
        negative: likewise for what is not wanted.
        seed: of the noise, 0 <= seed < 2**64.
        denoise: for this crop; does not act where the refiner knows its noise levels.
    """

    pixels: Tensor
    mask: Tensor
    window: Window
    prompt: str
    negative: str
    seed: int
    denoise: float


class Refiner(Protocol):
    """A diffusion model that repaints crops of faces, one at a time.

    Attributes:
        name: for messages.
        multiple: pixels of which the sides of a crop must be multiples: the compression of its VAE, or more.
        knows_levels: whether it was given noise levels of its own, so that ``denoise`` does not act.
    """

    @property
    def name(self) -> str: ...

    @property
    def multiple(self) -> int: ...

    @property
    def knows_levels(self) -> bool: ...

    def steps(self, sampling: Sampling) -> int:
        """How often :meth:`repaint` advances the progress; at 0 it repaints nothing."""
        ...

    def repaint(self, work: Repaint, sampling: Sampling, progress: Progress) -> Tensor:
        """The crop, repainted: ``[H, W, 3]`` float32 on the device of ``work.pixels``, about 0..1 but unchecked.

        Raises:
            MemoryError: it does not fit, even with the VAE in tiles.
        """
        ...
