"""Whose face must not be painted on: people who pass before one another, or are seen past one another."""

from __future__ import annotations

import cv2
import numpy as np

from fsvideo.types import Track

_APART = 0.3  # widths of a face between two middles, below which both tracks are taken for one head


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
    """Whether ``other``'s face is seen beside ``track``'s in this frame: near, its features outside that one's outline.

    There what is swapped must end, even where landmarks of a turned face reach further. False where one is not there.
    """
    if frame not in common(other, track):
        return False
    hers, his = other.outline[frame - other.start], track.outline[frame - track.start]
    if np.linalg.norm(hers.mean(0) - his.mean(0)) > np.ptp(his[:, 0]) + np.ptp(hers[:, 0]):
        return False
    around = np.ascontiguousarray(his, np.float32)
    points = other.points[frame - other.start]
    return all(cv2.pointPolygonTest(around, (float(x), float(y)), False) < 0 for x, y in points)
