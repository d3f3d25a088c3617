"""A short, always equal run of the fuzzer, and what longer runs have found."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import TARGETS, attempt, campaign, journal_seed


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_files_are_taken_or_refused_in_one_clear_line(target: str) -> None:
    examples = {"media": 25, "image": 25, "journal": 15}.get(target, 60)
    said = campaign(target, 1, examples)
    assert len(said) >= examples
    if target != "journal":  # which is read as far as it holds
        assert any(said), "no mutation was harmful enough to be refused"


FOUND = {  # target and content of what once raised something else
    "journal-without-hash.jsonl": ("journal", journal_seed().replace(b'"sha256"', b'"sh256" ')),
    "journal-part-is-a-number.jsonl": ("journal", journal_seed().replace(b'"part": "part"', b'"part": 7')),
    "journal-part-elsewhere.jsonl": ("journal", journal_seed().replace(b'"part": "part"', b'"part": "../a"')),
    "journal-deep.jsonl": ("journal", b"[" * 100_000 + b"\n"),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_mended(tmp_path: Path, name: str) -> None:
    target, content = FOUND[name]
    (tmp_path / name).write_bytes(content)
    assert attempt(target, tmp_path / name) == "", "a damaged journal is read as far as it holds, never refused"
