"""What happened to each frame, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fsvideo.faces.align import scale_of, warp
from fsvideo.faces.flicker import flicker, flow_back
from fsvideo.media.color import region_rgb
from fsvideo.render import FaceTask, FrameTask
from fsvideo.swapper import Swapper
from fsvideo.types import Array, Frame, MediaInfo


@dataclass(frozen=True)
class _Seen:
    """A face in the last frame it was in, cut out before and after the swap."""

    index: int
    target: Array  # (S, S, 3)
    result: Array


class FrameLog:
    """Collects what happened to each frame. Flicker is measured from the second frame on that a log is given."""

    def __init__(self, info: MediaInfo, swapper: Swapper) -> None:
        self.info, self.swapper = info, swapper
        self.frames: list[dict[str, Any]] = []
        self._last: dict[int, _Seen] = {}  # by track

    def add(self, task: FrameTask, frame: Frame) -> None:
        """One frame as it is swapped: its time and, for each swapped face, who, where, how much, how alike, how steady.

        Regions and areas are in native pixels, before encoding.
        """
        rows = []
        if task.faces:
            results = self.swapper.embed(np.stack(task.swapped).clip(0, 255))
            targets = self.swapper.embed(np.stack([f.crop for f in task.faces]))
            for face, z_y, z_t in zip(task.faces, results, targets, strict=True):
                row = task.frame.index - face.job.track.start
                box = face.box
                own, made = self._flicker(face, task.frame.index, frame)
                rows.append(
                    {
                        "person": face.job.track.person,
                        "name": face.job.name,
                        "track": face.job.track.id,
                        "region": [box.left, box.top, box.right, box.bottom],
                        "mask_pixels": round(float(face.mask.sum()) / scale_of(face.matrix) ** 2),
                        "opacity": round(face.opacity, 3),
                        "pose_degrees": [round(float(v), 1) for v in face.job.track.pose[row]],
                        "filled": bool(face.job.track.score[row] == 0),
                        "similarity_to_source": round(float(z_y @ face.job.identity.embedding), 4),
                        "similarity_to_target": round(float(z_y @ z_t), 4),
                        "flicker": made,
                        "flicker_of_original": own,
                    }
                )
        seconds = float(task.frame.pts * self.info.time_base)
        self.frames.append({"index": task.frame.index, "seconds": round(seconds, 6), "faces": rows})

    def _flicker(self, face: FaceTask, index: int, frame: Frame) -> tuple[float | None, float | None]:
        """Of the original and of the result, levels of 255; None where the frame before shows nothing of the track.

        The original's motion is taken out of both.
        """
        size = len(face.crop)
        result = warp(region_rgb(frame, self.info, face.box), face.matrix, size, size)
        now = _Seen(index, face.crop, np.asarray(np.clip(result, 0, 255), np.float32))
        before = self._last.get(face.job.track.id)
        self._last[face.job.track.id] = now
        inside = face.mask > 0.5
        if before is None or before.index != index - 1 or not inside.any():
            return None, None
        places = flow_back(now.target, before.target)
        own = flicker(now.target, before.target, places, inside)
        return round(own, 3), round(flicker(now.result, before.result, places, inside), 3)
