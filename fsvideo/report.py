"""What a run leaves to look at: a JSON line of every frame, a sheet of frames before and after."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import fsvideo
from fsvideo.media.view import upright
from fsvideo.render import FrameTask, Job
from fsvideo.swapper import Swapper
from fsvideo.types import Frame, Image, MediaError, MediaInfo, SwapOptions, SwapResult, Ui

_SHEET_FRAMES = 6
_SHEET_WIDTH = 480  # pixels of one picture in the sheet


class FrameLog:
    """Collects what happened to each frame."""

    def __init__(self, info: MediaInfo, swapper: Swapper) -> None:
        self.info, self.swapper = info, swapper
        self.frames: list[dict[str, Any]] = []

    def add(self, task: FrameTask) -> None:
        """One frame: its time and, for each swapped face, who, where (native pixels), how much, and how alike."""
        rows = []
        if task.faces:
            results = self.swapper.embed(np.stack(task.swapped).clip(0, 255))
            targets = self.swapper.embed(np.stack([f.crop for f in task.faces]))
            for face, z_y, z_t in zip(task.faces, results, targets, strict=True):
                row = task.frame.index - face.job.track.start
                box = face.box
                rows.append(
                    {
                        "person": face.job.track.person,
                        "track": face.job.track.id,
                        "region": [box.left, box.top, box.right, box.bottom],
                        "opacity": round(face.opacity, 3),
                        "pose_degrees": [round(float(v), 1) for v in face.job.track.pose[row]],
                        "filled": bool(face.job.track.score[row] == 0),
                        "similarity_to_source": round(float(z_y @ face.job.identity.embedding), 4),
                        "similarity_to_target": round(float(z_y @ z_t), 4),
                    }
                )
        seconds = float(task.frame.pts * self.info.time_base)
        self.frames.append({"index": task.frame.index, "seconds": round(seconds, 6), "faces": rows})

    def document(self, options: SwapOptions, result: SwapResult) -> dict[str, Any]:
        """The whole report."""
        return {
            "fsvideo": fsvideo.__version__,
            "model": self.swapper.name,
            "input": str(options.input),
            "output": str(result.output),
            "sources": [str(s) for s in options.source],
            "frames": result.frames,
            "frames_swapped": result.swapped_frames,
            "cuts": result.footage.cuts,
            "people": result.people,
            "notes": result.notes,
            "per_frame": self.frames,
        }


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    _publish(path, json.dumps(document, indent=1).encode())


def spread(jobs: list[Job], frames: int) -> list[int]:
    """Up to six frame numbers spread over those with a swapped face, or over all where there is none."""
    faces = np.zeros(frames, bool)
    for job in jobs:
        faces[job.track.start : job.track.stop] |= job.opacity > 0
    wanted = np.flatnonzero(faces) if faces.any() else np.arange(frames)
    picks = np.linspace(0, len(wanted) - 1, min(_SHEET_FRAMES, len(wanted))).round().astype(int)
    return [int(wanted[i]) for i in np.unique(picks)]


def write_preview(path: Path, frames: Generator[tuple[FrameTask, Frame]], info: MediaInfo, count: int, ui: Ui) -> None:
    """A PNG sheet: a row of frames as they are, below each the same frame swapped."""
    ui.stage("preview", count)
    columns: list[Image] = []
    with closing(frames):
        for task, frame in frames:
            pair = [_small(upright(f, info).rgb) for f in (task.frame, frame)]
            columns.append(np.vstack(pair))
            ui.advance()
    sheet = np.hstack(columns)
    _publish(path, bytes(cv2.imencode(".png", sheet[..., ::-1])[1]))


def _small(rgb: Image) -> Image:
    height = round(rgb.shape[0] * _SHEET_WIDTH / rgb.shape[1])
    return np.asarray(cv2.resize(rgb, (_SHEET_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def _publish(path: Path, content: bytes) -> None:
    part = path.parent / f".{path.name[:80]}.{secrets.token_hex(4)}.part"
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MediaError(f"{path}: cannot be written ({error.strerror})", "choose another place") from error
