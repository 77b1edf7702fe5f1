"""The jobs themselves: what a node and the command line both call."""

from __future__ import annotations

from .blending import BlendSettings, paste_crops
from .face_report import FaceReport, Likeness, Reference, report_faces, same_faces
from .face_report_texts import report_caption, report_data, report_text, report_total
from .outcome import Outcome
from .outcome_report import Verb, outcome_reasons, outcome_report, outcome_summary, outcome_total
from .prompts import PromptError, Wildcards
from .refine_painting import RefinementError
from .refine_plan import PromptSource, check_prompts
from .refine_settings import RefineSettings
from .refining import Refinement, refine
from .region_settings import RegionSettings, check_regions
from .regions import face_regions
from .restore_settings import RestoreSettings
from .restoring import Restoration, RestorationError, restore

__all__ = [
    "BlendSettings",
    "FaceReport",
    "Likeness",
    "Outcome",
    "PromptError",
    "PromptSource",
    "Reference",
    "RefineSettings",
    "Refinement",
    "RefinementError",
    "RegionSettings",
    "Restoration",
    "RestorationError",
    "RestoreSettings",
    "Verb",
    "Wildcards",
    "check_prompts",
    "check_regions",
    "face_regions",
    "outcome_reasons",
    "outcome_report",
    "outcome_summary",
    "outcome_total",
    "paste_crops",
    "refine",
    "report_caption",
    "report_data",
    "report_faces",
    "report_text",
    "report_total",
    "restore",
    "same_faces",
]
