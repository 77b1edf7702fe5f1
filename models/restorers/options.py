"""What a user may ask of a restorer. Every network takes what acts in it and leaves the rest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RestoreOptions:
    """Settings of a restoration.

    Attributes:
        fidelity: 0 (quality) to 1 (faithful to the crop), in networks with such a ratio.
        steps: of the flow, in networks that solve one; 1 is fastest.
        seed: of the noise, in networks that begin with some. Every face gets the same noise, so that a face does not
            depend on those beside it and a video does not flicker.
        adain: whether the features from a codebook are given the mean and spread of those of the crop, and with them
            its light and colours; in networks with such a switch.

    Raises:
        ValueError: a number outside its range.
    """

    fidelity: float = 0.5
    steps: int = 5
    seed: int = 0
    adain: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.fidelity <= 1:
            raise ValueError(f"The fidelity must lie between 0 and 1, not at {self.fidelity}.")
        if self.steps < 1:
            raise ValueError(f"The steps must be at least 1, not {self.steps}.")


DEFAULT_OPTIONS = RestoreOptions()
