"""The cache of exported and compiled graphs: made once, whole or not there, whatever lies in its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fsvideo.backends import cache, graph, ready
from fsvideo.backends.runtimes import RUNTIMES
from fsvideo.swapper import AEISwapper, tiny

ROOT = Path(__file__).resolve().parents[1]
needs_runtimes = pytest.mark.skipif(
    any(ready.missing(name) for name in RUNTIMES), reason="pip install 'fsvideo[cpu]' brings the runtimes"
)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder for one test, as it is before the first use."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fsvideo" / "graphs"


class Maker:
    """Makes the content for an entry, and counts how often."""

    def __init__(self, content: bytes = b"graph") -> None:
        self.content, self.times, self.notes = content, 0, list[str]()

    def __call__(self) -> bytes:
        self.times += 1
        return self.content

    def kept(self, key: str = "a1") -> bytes:
        return cache.kept(key, self, self.notes.append)


def test_a_graph_is_made_once_and_kept_whole(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    assert [make.kept() for _ in range(3)] == [b"graph"] * 3
    assert make.times == 1 and make.notes == []
    assert [one.name for one in own.iterdir()] == ["a1"]
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    monkeypatch.setattr(cache, "_KEPT", 12 * (32 + len(b"graph")))
    for k in range(20):  # old ones go
        Maker().kept(f"b{k}")
    assert len(list(own.iterdir())) == 12 and (own / "b19").exists()
    monkeypatch.setattr(cache, "_KEPT", 1)  # larger than all room: it stays, or each start would make it again
    large = Maker()
    assert [large.kept("c1") for _ in range(2)] == [b"graph"] * 2 and large.times == 1
    assert len(list(own.iterdir())) == 4


def damage(path: Path, way: str) -> None:
    """Put something else in an entry's place."""
    entry = path.read_bytes()
    path.unlink()
    match way:
        case "cut":
            path.write_bytes(entry[:-1])
        case "empty":
            path.write_bytes(b"")
        case "flipped":
            path.write_bytes(entry[:-1] + bytes([entry[-1] ^ 1]))
        case "of another key":
            Maker(b"evil").kept("a2")
            os.replace(path.with_name("a2"), path)
        case "folder":
            path.mkdir()
            (path / "file").touch()
        case "link":
            path.with_name("elsewhere").write_bytes(entry)
            path.symlink_to("elsewhere")
        case "pipe":
            os.mkfifo(path)
        case "huge":
            with path.open("wb") as file:
                file.truncate((2 << 30) + 100)


@pytest.mark.parametrize("way", ["cut", "empty", "flipped", "of another key", "folder", "link", "pipe", "huge"])
def test_what_is_no_entry_is_made_again(own: Path, way: str) -> None:
    make = Maker()
    make.kept()
    damage(own / "a1", way)
    assert make.kept() == b"graph"
    assert make.times == 2 and len(make.notes) == 1
    assert make.kept() == b"graph" and make.times == 2
    assert (own / "a1").is_file() and not (own / "a1").is_symlink()


def test_without_a_place_to_keep_it_a_graph_is_made_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    make = Maker()
    assert make.kept() == make.kept() == b"graph"
    assert make.times == 2 and "cannot be kept" in make.notes[-1]


def test_two_runs_at_once_do_no_harm(own: Path) -> None:
    first, second = Maker(b"one"), Maker(b"two")

    def meanwhile() -> bytes:
        assert second.kept() == b"two"
        return first()

    assert cache.kept("a1", meanwhile, first.notes.append) == b"one"
    assert Maker().kept() == b"one" and first.notes == second.notes == []
    assert len(list(own.iterdir())) == 1


@needs_runtimes
def test_what_openvino_compiles_is_kept_and_where_it_does_not_load_made_again(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports: list[str] = []

    def export(network: graph.Network, backend: str, note: Callable[[str], None], form: graph.Form) -> bytes:
        exports.append(backend)
        return graph.make(network, form)

    monkeypatch.setattr(ready, "exported", export)
    swapper, notes = tiny(), list[str]()
    assert isinstance(swapper, AEISwapper)
    target, z_id = (x.numpy() for x in swapper.network.probe(2))
    first, second = (ready.ready(swapper.network, "openvino", notes.append).run(target, z_id)[0] for _ in range(2))
    assert len(exports) == 1 and len(list(own.iterdir())) == 1 and np.array_equal(first, second)
    monkeypatch.setattr(cache, "kept", lambda key, make, note: b"by another build of the runtime")
    assert np.array_equal(ready.ready(swapper.network, "openvino", notes.append).run(target, z_id)[0], first)
    assert len(exports) == 2 and not notes
