"""Follow faces through a stream of which only the past is known: for live pictures, where nothing can wait.

``follow`` and ``smooth`` judge every frame by what comes before and after it; here a face is steadied by a filter that
gives way to motion, and comes and goes in short ramps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fsvideo.faces.align import OUTLINE, crop
from fsvideo.faces.cuts import CutDetector
from fsvideo.faces.detect import FaceFinder, carried
from fsvideo.faces.people import Embed, Sample, best, frontal, mean_embedding, quality
from fsvideo.faces.scout import LOOK_EVERY
from fsvideo.faces.smooth import BRIDGE, END, PITCH, TURN, YAW
from fsvideo.faces.yunet import iou
from fsvideo.types import Array, CropSpec, Face, Image

_SIDE = 960  # pixels of the longer side in which newcomers are looked for
_FORGET = 0.5  # seconds unseen after which a face is gone
_SAMPLE_EVERY = 0.5  # seconds between two looks at who a face is
_MEMORY = 2.0  # seconds over which a face's presence is averaged
_CALM = 4.0  # a still face is averaged over 1 / this of the smoothing time
_EAGER = 24.0  # hertz by which the filter opens for every face size a second that the face moves
_SPEED = 1.0  # hertz of the filter on that speed itself

Values = npt.NDArray[np.float64]


class OneEuro:
    """A low-pass filter on the past alone that opens as its input moves (Casiez, Roussel and Vogel 2012).

    All values share one speed, so that a face moves as a whole. ``seconds``: how long a still face is averaged, as in
    ``smooth.smooth``, 0: not at all; ``size``: what counts as a large step, in the unit of the values.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._time = 0.0
        self._raw: Values | None = None
        self._value = self._slope = np.zeros(0)

    def __call__(self, values: Values, time: float, size: float) -> Values:
        """(K,) the values at ``time``, seconds, steadied; ``size``: of the face, in their unit."""
        step = time - self._time
        self._time = time
        if self._raw is None or self._seconds <= 0:
            self._raw, self._value, self._slope = values, values, np.zeros_like(values)
            return values
        step = max(step, 1e-3)
        self._slope = self._slope + _share(_SPEED, step) * ((values - self._raw) / step - self._slope)
        self._raw = values
        speed = float(np.sqrt(np.mean(self._slope**2))) / max(size, 1e-6)
        calm = _CALM / (2 * np.pi * self._seconds)
        self._value = self._value + _share(calm + _EAGER * speed, step) * (values - self._value)
        return self._value


def _share(hertz: float, step: float) -> float:
    """Of a new value in a first-order low-pass of this cutoff, after ``step`` seconds."""
    return 1 / (1 + 1 / (2 * np.pi * hertz * step))


@dataclass
class Present:
    """A face that is, or was a moment ago, in the stream; all in the pixels of the pictures."""

    id: int
    face: Face  # as last found
    points: Array  # (5, 2) steadied
    outline: Array  # (36, 2) steadied
    opacity: float  # 0..1 of what is laid on it now
    presence: float = 0.0  # its area, less in profile, averaged over the last seconds: who fills the picture
    embedding: Array | None = None  # who it is, where that is asked for
    seen: float = 0.0  # seconds
    velocity: Array = field(default_factory=lambda: np.zeros(2, np.float32))  # pixels a second
    turned: bool = False
    samples: list[Sample] = field(default_factory=list)
    sampled: float = -np.inf


class CausalFollower:
    """Give it every picture in order; it says who is where, by what came before.

    ``seconds``: of steadying, 0 is off. ``embed`` with ``spec``, its crop: ask who each face is; None: do not.
    """

    def __init__(self, finder: FaceFinder, seconds: float, embed: Embed | None = None, spec: CropSpec | None = None):
        self._finder, self._seconds = finder, seconds
        self._embed, self._spec = embed, spec or CropSpec()
        self._cutter = CutDetector()
        self._live: list[tuple[Present, OneEuro]] = []
        self._looked, self._next, self._time = -np.inf, 0, -np.inf

    def update(self, image: Image, time: float) -> list[Present]:
        """Take the next picture, RGB, and its time in seconds, later than the last one's. Returns the faces in it.

        A face that is not found for a moment stays where it should be, and fades.
        """
        fresh = self._cutter.update(image) or self._time == -np.inf
        if fresh:
            self._live, self._looked = [], -np.inf
        step = 0.0 if fresh else time - self._time
        self._time = time
        self._live = [(one, steady) for one, steady in self._live if time - one.seen <= _FORGET]
        found: list[Face] = []
        for one, steady in self._live:
            x, y = one.velocity * np.float32(min(time - one.seen, 0.2))
            expected = carried(one.face, np.array([[1, 0, x], [0, 1, y]], np.float32), one.face.score)
            face = self._finder.follow(image, expected)
            if face is not None and face.fitted and not _among(face, found):
                found.append(face)
                _sight(one, face, time)
            _steady(one, steady, expected if one.seen < time else one.face, time)
        if time - self._looked >= LOOK_EVERY or len(found) < len(self._live):
            self._looked = time
            for face in self._finder.find(image, side=_SIDE, known=found):
                self._welcome(face, time, opacity=1.0 if fresh else 0.0)
        for one, _ in self._live:
            self._judge(one, image, time, step)
        return [one for one, _ in self._live]

    def _welcome(self, face: Face, time: float, opacity: float) -> None:
        """A newcomer; or one that was lost and is found again somewhat further off."""
        for one, steady in self._live:
            if one.seen < time and iou(face.box, one.face.box) > 0.2:
                _sight(one, face, time)
                _steady(one, steady, face, time)
                return
        self._next += 1
        one = Present(self._next, face, face.points, face.landmarks[list(OUTLINE)], opacity, seen=time)
        steady = OneEuro(self._seconds)
        _steady(one, steady, face, time)
        self._live.append((one, steady))

    def _judge(self, one: Present, image: Image, time: float, step: float) -> None:
        """How opaque, how present, and who."""
        yaw, pitch = np.abs(one.face.pose[:2])
        near, far = (
            bool(yaw > most_yaw or pitch > most_pitch) for most_yaw, most_pitch in zip(YAW, PITCH, strict=True)
        )
        one.turned = far or (one.turned and near)
        shown = not one.turned and time - one.seen <= BRIDGE
        if shown and step == 0.0:
            one.opacity = 1.0
        elif shown:
            one.opacity = min(1.0, one.opacity + step / END)
        else:
            one.opacity = max(0.0, one.opacity - step / (TURN if one.turned else END)) if step else 0.0
        area = float(np.prod(one.face.box[2:] - one.face.box[:2]) * frontal(one.face.pose[0])) * (one.seen == time)
        keep = float(np.exp(-step / _MEMORY))
        one.presence = keep * one.presence + (1 - keep) * area if step else area
        if self._embed is not None and one.seen == time and time - one.sampled >= _SAMPLE_EVERY:
            embedding = self._embed([crop(image, one.face.points, self._spec).rgb])[0]
            one.samples, one.sampled = best([*one.samples, Sample(embedding, quality(one.face))]), time
            one.embedding = mean_embedding(one.samples)


def _sight(one: Present, face: Face, time: float) -> None:
    """The face was found in this picture."""
    moved = (face.points.mean(0) - one.face.points.mean(0)) / np.float32(max(time - one.seen, 1e-3))
    one.velocity = 0.4 * one.velocity + 0.6 * moved
    one.face, one.seen = face, time


def _steady(one: Present, steady: OneEuro, face: Face, time: float) -> None:
    """Move the steadied points on to where the face is, or should be."""
    shape = np.concatenate([face.points, face.landmarks[list(OUTLINE)]]).astype(np.float64)
    size = float(np.sqrt(np.prod(face.box[2:] - face.box[:2])))
    values = steady(shape.ravel(), time, size).reshape(-1, 2).astype(np.float32)
    one.points, one.outline = values[:5], values[5:]


def _among(face: Face, faces: Sequence[Face]) -> bool:
    return any(iou(face.box, other.box) > 0.4 for other in faces)
