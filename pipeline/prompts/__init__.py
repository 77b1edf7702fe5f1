"""Prompts for single faces: one text in which users of ADetailer and the Impact Pack say what each face gets."""

from __future__ import annotations

from .assignment import FacePrompt, prompts_for
from .grammar import PromptError
from .wildcards import Wildcards

__all__ = ["FacePrompt", "PromptError", "Wildcards", "prompts_for"]
