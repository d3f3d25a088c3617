"""Fixtures every test module may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fsvideo.faces.detect import FaceFinder
    from fsvideo.media.seal import Seal


@pytest.fixture(scope="session", autouse=True)
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config folder of the tests' own: no certificate is made in the user's, and none of the user's is used."""
    folder = tmp_path_factory.mktemp("config")
    os.environ["XDG_CONFIG_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def untuned() -> None:
    """Commands tune nothing but where a test asks for it: that takes seconds each time, and most look elsewhere."""
    os.environ["FSVIDEO_SWAP_TUNE"] = os.environ["FSVIDEO_EVALUATE_TUNE"] = "0"


@pytest.fixture(scope="session", autouse=True)
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the tests' own; what is exported stays there for the session."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    return folder / "fsvideo" / "graphs"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of shared test material (faces, people, clips); FSVIDEO_TEST_DATA names another."""
    here = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("FSVIDEO_TEST_DATA", here.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared test data at {folder} (set FSVIDEO_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short clip or picture of every kind that is signed or tagged."""
    from provenance_fixtures import every_kind

    return every_kind(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def seal(config: Path) -> Seal:
    """A seal of the certificate that the tests' config folder keeps."""
    from fsvideo.media import certificate
    from fsvideo.media.seal import Seal

    return Seal(certificate.kept_or_new(), "1.2.3", "a model", {"AEI-Net": "ab" * 32})


@pytest.fixture(scope="module")
def finder() -> Iterator[FaceFinder]:
    """The face finder with the weights that ship."""
    from fsvideo.networks import load_finder

    with load_finder() as finder:
        yield finder
