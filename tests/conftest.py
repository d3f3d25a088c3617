"""Fixtures every test module may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of shared test material (faces, people, clips); FSVIDEO_TEST_DATA names another."""
    here = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("FSVIDEO_TEST_DATA", here.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared test data at {folder} (set FSVIDEO_TEST_DATA)")
    return folder
