"""What a user may ask of a restorer. Every network takes what acts in it and leaves the rest."""

from __future__ import annotations

from dataclasses import dataclass

from ...fields import setting


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

    fidelity: float = setting(
        0.5,
        "0: the best looking face. 1: the face most like the one in the image. Acts in visage-restore, "
        "CodeFormer and VQFR 2.",
        low=0.0,
        high=1.0,
        step=0.01,
    )
    steps: int = setting(
        5,
        "Sampling steps: fewer are faster. Acts in ELIR only.",
        low=1,
        high=50,
        advanced=True,
        optional=True,
    )
    # No seed that changes from run to run: the same picture again and again is what restoring is for.
    seed: int = setting(
        0,
        "Another seed gives other details. Acts in ELIR only.",
        low=0,
        high=2**53 - 1,
        advanced=True,
        optional=True,
    )
    adain: bool = setting(
        True,
        "Adaptive instance normalisation: gives the features that the network looks up the light and colours of the "
        "face in the image. Acts in CodeFormer only.",
        advanced=True,
        optional=True,
    )

    def __post_init__(self) -> None:
        if not 0 <= self.fidelity <= 1:
            raise ValueError(f"The fidelity must lie between 0 and 1, not at {self.fidelity}.")
        if self.steps < 1:
            raise ValueError(f"The steps must be at least 1, not {self.steps}.")


DEFAULT_OPTIONS = RestoreOptions()
