"""Mutated files for every parser of strangers' bytes: what it raises must be an FsvideoError, soon, in little memory.

python tests/fuzz.py --minutes 10            # nice 10, one process after the other; finds are kept in fuzz-finds/
python tests/fuzz.py --case FILE --target T  # one kept case again
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import peak
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from media_fixtures import X264, clip, exif, still

from fsvideo import weights
from fsvideo.journal import Work, folder_of
from fsvideo.media import imagemeta
from fsvideo.media.provenance import read_tags
from fsvideo.media.read import frames, probe
from fsvideo.media.view import upright
from fsvideo.models.aei import AEIConfig
from fsvideo.models.hear import HEARConfig
from fsvideo.train import config
from fsvideo.train.settings import AEISettings
from fsvideo.types import CropSpec, FsvideoError

MOST_SECONDS, MOST_MEGABYTES = 10.0, 1100  # of the processor, and at any moment beside what was held before


def _media(path: Path) -> None:
    info = probe(path)
    told: list[FsvideoError] = []
    for frame in islice(frames(info, on_damage=told.append, threads=1), 12):
        upright(frame, info, 64)
    read_tags(path)


def _image(path: Path) -> None:
    found = imagemeta.extract(path)
    imagemeta.orientation(found.exif)
    imagemeta.without_thumbnail(found.exif)
    _media(path)


def _weights(path: Path) -> None:
    meta = weights.load(path).meta
    for parse, key in ((AEIConfig.from_json, "config"), (HEARConfig.from_json, "config"), (CropSpec.from_json, "crop")):
        try:
            parse(meta.get(key, ""))  # the loader makes these a WeightsError
        except ValueError:
            continue


def _config(path: Path) -> None:
    _, values = config.read(path)
    config.apply(AEISettings(), values, str(path))


def _journal(path: Path) -> None:
    output = path.with_name("out.mp4")
    folder = folder_of(output)
    folder.mkdir(exist_ok=True)
    (folder / "part").write_bytes(b"part")
    (folder / "journal.jsonl").write_bytes(path.read_bytes())
    with Work(output, {"input": "a"}, True, False, lambda text: None) as work:
        work.info("part")
        _ = work.published


def journal_seed() -> bytes:
    part = {"part": "part", "sha256": hashlib.sha256(b"part").hexdigest(), "info": {"segment": 1}}
    lines = [{"key": {"input": "a"}}, part, {"drop": "seg"}, {"whole": [1, 2, 3]}]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@cache
def seeds(target: str) -> list[tuple[str, bytes]]:
    """(extension, bytes) of small sound files of a kind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if target == "image":
            names = ("a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff", "a.gif")
            made = [(Path(one).suffix, still(folder / one, size="48x32").read_bytes()) for one in names]
            meta = imagemeta.ImageMeta(exif(6, b"thumb"), b"profile" * 9, {"Author": "me"})
            return made + [(suffix, imagemeta.embed(blob, meta)) for suffix, blob in made[:3]]
        if target == "media":
            small = {"size": "64x48", "seconds": 0.32}
            kinds: dict[str, tuple[str, ...]] = {
                "a.mp4": X264,
                "a.mkv": X264,
                "a.avi": ("-c:v", "mpeg4"),
                "a.ts": ("-c:v", "mpeg2video"),
                "a.webm": ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0"),
                "a.gif": (),
                "a.mov": ("-c:v", "png"),
                "b.mkv": ("-c:v", "ffv1"),
            }
            return [
                (Path(one).suffix, clip(folder / one, encode=how, audio=int(one == "a.mp4"), **small).read_bytes())
                for one, how in kinds.items()
            ]
        if target == "weights":
            import torch

            meta = {"kind": "aei", "config": AEIConfig().to_json(), "crop": CropSpec().to_json()}
            weights.save(folder / "a.safetensors", {"x": torch.ones(3, 2), "y": torch.zeros(4)}, meta)
            return [(".safetensors", (folder / "a.safetensors").read_bytes())]
        if target == "config":
            config.write(folder / "a.toml", {"kind": "aei"}, AEISettings())
            return [(".toml", (folder / "a.toml").read_bytes())]
        return [(".jsonl", journal_seed())]


TARGETS: dict[str, Callable[[Path], None]] = {
    "media": _media,
    "image": _image,
    "weights": _weights,
    "config": _config,
    "journal": _journal,
}
_NUMBERS = [bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\1\0\0"]
_TEXTS = [b"null", b"NaN", b"-1", b"1e999", b"[", b"{", b'"', b"\\ud800", b"[[[[", b"true", b"\0", b"\n", b"9" * 30]
_EDIT = st.tuples(
    st.floats(0, 1),
    st.booleans(),  # near the beginning, where headers are
    st.sampled_from(["set", "insert", "cut", "drop", "repeat"]),
    st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(_NUMBERS), st.sampled_from(_TEXTS)),
)


def mutated(blob: bytes, edits: list[tuple[float, bool, str, bytes]]) -> bytes:
    """``blob`` after some edits."""
    work = bytearray(blob)
    for place, early, what, content in edits:
        at = int((place**4 if early else place) * len(work))
        if what == "set":
            work[at : at + len(content)] = content
        elif what == "insert":
            work[at:at] = content
        elif what == "cut":
            del work[at:]
        elif what == "drop":
            del work[at : at + 4 * len(content)]
        else:
            work[at:at] = work[at : at + 64]
    return bytes(work)


def attempt(target: str, path: Path) -> str:
    """One case; "" where it was taken, else the one line of the refusal.

    Raises whatever is not an FsvideoError, and AssertionError if it took too long or too much memory.
    """
    began, before, refusal = time.process_time(), peak.start_anew(), ""
    try:
        TARGETS[target](path)
    except FsvideoError as error:
        refusal = str(error)
        assert "\n" not in refusal, refusal
    took, most = time.process_time() - began, peak.held() - before
    assert took < MOST_SECONDS, f"{took:.1f} s"
    assert most < MOST_MEGABYTES, f"{most} MB"
    return refusal


def campaign(target: str, number: int, examples: int, keep: Path | None = None) -> list[str]:
    """``examples`` mutations drawn from seed ``number``, and what ``attempt`` said of each.

    The case under way is kept as ``keep``.
    """
    sound, said = seeds(target), list[str]()
    with tempfile.TemporaryDirectory() as name:

        @seed(number)
        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.integers(0, len(sound) - 1), st.lists(_EDIT, min_size=1, max_size=6))
        def one(which: int, edits: list[tuple[float, bool, str, bytes]]) -> None:
            suffix, blob = sound[which]
            path = (keep or Path(name) / "case").with_suffix(suffix)
            path.write_bytes(mutated(blob, edits))
            said.append(attempt(target, path))

        one()
    return said


def _rounds(minutes: float) -> Iterator[tuple[str, int]]:
    end, number = time.monotonic() + 60 * minutes, int(time.time())
    while True:
        for target in TARGETS:
            if time.monotonic() > end:
                return
            number += 1
            yield target, number


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--target", choices=list(TARGETS))
    parser.add_argument("--round", type=int)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--case", type=Path)
    parser.add_argument("--finds", type=Path, default=Path("fuzz-finds"))
    given_ = parser.parse_args()
    faulthandler.enable()
    if given_.case is not None:
        attempt(given_.target, given_.case)
        return 0
    given_.finds.mkdir(exist_ok=True)
    if given_.round is not None:
        campaign(given_.target, given_.round, given_.examples, given_.finds / f"{given_.target}-{given_.round}")
        return 0
    os.nice(10)
    finds, cases = 0, 0
    for target, number in _rounds(given_.minutes):
        examples = given_.examples // 20 if target == "journal" else given_.examples  # it waits for the disk
        line = [sys.executable, __file__, "--target", target, "--round", str(number), "--finds", str(given_.finds)]
        done = subprocess.run([*line, "--examples", str(examples)], capture_output=True, text=True)
        cases += examples
        if done.returncode == 0:
            for left in given_.finds.glob(f"{target}-{number}.*"):
                left.unlink()
            continue
        finds += 1
        (given_.finds / f"{target}-{number}.log").write_text(done.stderr)
        print(f"{target} {number}: {(done.stderr.strip().splitlines() or ['crashed'])[-1][:200]}", flush=True)
    print(f"{given_.minutes:g} minutes, about {cases} cases, {finds} rounds with a find")
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
