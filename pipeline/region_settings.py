"""All settings of face regions, in the order of their widgets."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from ..faces.landmark_regions import LandmarkRegion
from ..faces.regions import Region
from ..fields import setting


@dataclass(frozen=True)
class LandmarkParts:
    """Regions that the landmarks of a face are enough for."""

    face_oval: bool = setting(True, "The face from the hairline to the chin and from ear to ear. Needs no parser.")
    eye_area: bool = setting(False, "Both eyes with their lids. Needs no parser.")
    mouth_area: bool = setting(False, "The lips and what is between them. Needs no parser.")


@dataclass(frozen=True)
class ParserParts:
    """Regions that only a parser tells apart."""

    skin: bool = setting(False, "The skin of the face, without the other regions. Needs a parser.")
    brows: bool = setting(False, "Both eyebrows. Needs a parser.")
    eyes: bool = setting(False, "Both eyes between their lids. Needs a parser.")
    glasses: bool = setting(False, "Frames and lenses. Needs a parser.")
    ears: bool = setting(False, "Both ears. Needs a parser.")
    earrings: bool = setting(False, "What hangs from the ears. Needs a parser.")
    nose: bool = setting(False, "The nose. Needs a parser.")
    mouth: bool = setting(False, "What is between the lips: teeth and tongue. Needs a parser.")
    lips: bool = setting(False, "Both lips. Needs a parser.")
    neck: bool = setting(False, "The neck, as far as the crop of the face shows it. Needs a parser.")
    necklace: bool = setting(False, "What is worn around the neck. Needs a parser.")
    clothing: bool = setting(False, "Clothes, as far as the crop of the face shows them. Needs a parser.")
    hair: bool = setting(False, "Hair on the head, as far as the crop of the face shows it. Needs a parser.")
    hat: bool = setting(False, "Hats and other headwear. Needs a parser.")


@dataclass(frozen=True)
class RegionEdges:
    """Where regions end.

    Attributes:
        grow: by how much they are grown on all sides, as a share of the crop; below 0 they shrink.
        feather: softness of the edge, standard deviation of a Gaussian as a share of the crop.
        invert: everything but the regions.
    """

    grow: float = setting(
        0.0,
        "Grows the regions on all sides, or shrinks them below 0, as a share of the face's crop: 0.02 is about a "
        "fortieth of the face.",
        low=-0.25,
        high=0.25,
        step=0.005,
    )
    feather: float = setting(
        0.01,
        "Softness of the edge, as a share of the face's crop: equally soft for small and for large faces. 0: hard.",
        low=0.0,
        high=0.15,
        step=0.0025,
    )
    invert: bool = setting(
        False, "White is everything but the regions: for keeping them while the rest of the faces is worked on."
    )


@dataclass(frozen=True)
class RegionSettings:
    """Which regions of faces make up a mask, where they end, and whether faces share masks.

    Attributes:
        masks: one for each image, or one for each face, image by image in the order of the faces.
    """

    landmarks: LandmarkParts = field(default_factory=LandmarkParts)
    parser: ParserParts = field(default_factory=ParserParts)
    edges: RegionEdges = field(default_factory=RegionEdges)
    masks: Literal["per image", "per face"] = setting(
        "per image",
        "per image: one mask for all faces of an image, as Restore Faces and Refine Faces take it. per face: one mask "
        "for each face, image by image in the order of the faces.",
    )

    @property
    def drawn(self) -> tuple[LandmarkRegion, ...]:
        """The regions to be made of landmarks."""
        return tuple(_BY_LANDMARKS[name] for name in chosen(self.landmarks))

    @property
    def parsed(self) -> tuple[Region, ...]:
        """The regions to be asked of a parser."""
        return tuple(region for name in chosen(self.parser) for region in _BY_PARSER[name])


_BY_LANDMARKS: dict[str, LandmarkRegion] = {
    "face_oval": "face oval",
    "eye_area": "eye area",
    "mouth_area": "mouth area",
}
_BY_PARSER: dict[str, tuple[Region, ...]] = {
    "skin": ("skin",),
    "brows": ("left brow", "right brow"),
    "eyes": ("left eye", "right eye"),
    "glasses": ("glasses",),
    "ears": ("left ear", "right ear"),
    "earrings": ("earring",),
    "nose": ("nose",),
    "mouth": ("mouth",),
    "lips": ("upper lip", "lower lip"),
    "neck": ("neck",),
    "necklace": ("necklace",),
    "clothing": ("cloth",),
    "hair": ("hair",),
    "hat": ("hat",),
}


def chosen(parts: LandmarkParts | ParserParts) -> list[str]:
    """The names of the regions that are switched on."""
    return [part.name for part in fields(parts) if getattr(parts, part.name)]


def check_regions(settings: RegionSettings, has_parser: bool) -> None:
    """Raises ``ValueError`` where nothing is asked for, or something that needs a parser and there is none."""
    names = chosen(settings.parser)
    if not names and not settings.drawn:
        raise ValueError("No region is chosen. Switch on at least one: face_oval for the whole face.")
    if names and not has_parser:
        one = len(names) == 1
        raise ValueError(
            f"Only a face parser can tell {_listed(names)}. Connect one (Load Face Parser), or switch "
            f"{'it' if one else 'them'} off and choose face_oval, eye_area or mouth_area, which need none."
        )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
