"""What several test modules share: the development data beside the checkout, and a seeded generator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """Real photographs and small real weights, kept beside the checkout and never inside it."""
    if not DATA.is_dir():
        pytest.skip(f"needs the development data in {DATA}")
    return DATA


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20)
