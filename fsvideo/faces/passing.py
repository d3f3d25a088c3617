"""Whose face must not be painted on: people who pass before one another, or are seen past one another."""

from __future__ import annotations

import numpy as np

from fsvideo.types import Track

_APART = 0.3  # widths of a face between two middles, below which both tracks are taken for one head
_PLAIN = 0.8  # score of the detector from which a face is not hidden, or hardly


def common(a: Track, b: Track) -> range:
    """The frames in which both are there."""
    return range(max(a.start, b.start), min(a.stop, b.stop))


def passes_before(other: Track, track: Track, frame: int) -> bool:
    """Whether ``other`` may hide a part of ``track``'s face in this frame: near enough, and larger, so in front.

    False where one of them is not there.
    """
    if frame not in common(other, track):
        return False
    hers, his = other.outline[frame - other.start], track.outline[frame - track.start]
    wide, wider = np.ptp(his[:, 0]), np.ptp(hers[:, 0])
    gap = np.linalg.norm(hers.mean(0) - his.mean(0))
    return bool(wider > wide and _APART * wide < gap < wide + wider)


def shown_beside(other: Track, track: Track, frame: int) -> bool:
    """Whether ``other``'s face is plainly seen near ``track``'s in this frame, and is not the same head.

    There what is swapped must end: landmarks of a turned face reach further than the face does, onto whoever is behind.
    False where one is not there.
    """
    if frame not in common(other, track):
        return False
    row = frame - other.start
    hers, his = other.outline[row], track.outline[frame - track.start]
    wide, wider = np.ptp(his[:, 0]), np.ptp(hers[:, 0])
    gap = np.linalg.norm(hers.mean(0) - his.mean(0))
    return bool(_APART * wide < gap < wide + wider and other.score[row] >= _PLAIN)
