"""Make astronaut.mp4 from astronaut.png: a portrait that turns, talks, smiles and blinks before a moving camera.

    python examples/make_clip.py [OUTPUT]

MediaPipe's face mesh is laid over the photo, its vertices are moved in 3D, and each frame is sampled from the photo
through the moved triangles. Light changes, sensor grain and a small synthesised tune make it footage. Nothing is
random from run to run: the same versions of the libraries give the same file.
"""

from __future__ import annotations

import itertools
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import mediapipe as mp
import numpy as np
import numpy.typing as npt
from mediapipe.tasks.python import BaseOptions, vision

from fsvideo import weights

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT, RATE, SECONDS = 640, 480, 25, 4.8
OVERSAMPLE = 2  # triangles have hard edges: draw larger, then average
SAMPLE_RATE = 48000

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

# Mesh vertices, corner to corner; lids and lower lids are paired.
LIDS = {
    (246, 161, 160, 159, 158, 157, 173): (7, 163, 144, 145, 153, 154, 155),
    (466, 388, 387, 386, 385, 384, 398): (249, 390, 373, 374, 380, 381, 382),
}
CREASES = ((247, 30, 29, 27, 28, 56, 190), (467, 260, 259, 257, 258, 286, 414))
EYE_CORNERS = ((33, 133), (263, 362))
LIP_UP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIP_LOW = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
BROWS = (105, 334)
CHIN, FOREHEAD = 152, 10


def smoothstep(low: float, high: float, x: Array) -> Array:
    x = np.clip((x - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)


def wave(t: float, period: float, phase: float = 0.0) -> float:
    return float(np.sin(2 * np.pi * (t / period + phase)))


def bump(t: float, centre: float, width: float) -> float:
    """1 at ``centre``, 0 from ``width`` seconds away."""
    return float(np.cos(np.clip((t - centre) / width, -1, 1) * np.pi / 2) ** 2)


class Puppet:
    """A photo, its face mesh, and rings around the mesh that fade the motion out into hair, neck and background."""

    def __init__(self, photo: Pixels, model: bytes) -> None:
        self.photo = photo
        options = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_buffer=model))
        with vision.FaceLandmarker.create_from_options(options) as landmarker:
            found = landmarker.detect(mp.Image(mp.ImageFormat.SRGB, photo)).face_landmarks[0]
        side = np.array([photo.shape[1], photo.shape[0], photo.shape[1]])
        self.face: Array = np.array([[p.x, p.y, p.z] for p in found])[:468] * side

        connections = vision.FaceLandmarksConnections
        oval = [edge.start for edge in connections.FACE_LANDMARKS_FACE_OVAL]  # in order around the face
        edges = connections.FACE_LANDMARKS_TESSELATION
        triangles = [(a.start, b.start, c.start) for a, b, c in zip(edges[::3], edges[1::3], edges[2::3], strict=True)]
        triangles.sort(key=lambda t: -self.face[list(t), 2].sum())  # far ones first
        self.oval = oval
        self.centre: Array = self.face[oval, :2].mean(0)
        self.fades = (0.9, 0.6, 0.25, 0.0)
        rings = [self.centre + s * (self.face[oval, :2] - self.centre) for s in (1.3, 1.6, 2.0, 2.6)]
        self.rest: Array = np.concatenate([self.face[:, :2], *rings])
        names = [oval] + [list(range(468 + 36 * k, 504 + 36 * k)) for k in range(4)]
        strips = []
        for inner, outer in itertools.pairwise(names):
            for i in range(36):
                j = (i + 1) % 36
                strips += [(inner[i], inner[j], outer[j]), (inner[i], outer[j], outer[i])]
        self.triangles = np.array(strips[::-1] + triangles)
        self.holes = [[c[0], *up, c[1], *low[::-1]] for c, (up, low) in zip(EYE_CORNERS, LIDS.items(), strict=True)]
        self.mouth = [*LIP_UP, *LIP_LOW[-2:0:-1]]

    def pose(self, t: float) -> Array:
        """Vertices (V, 2) in the photo's pixels at ``t`` seconds."""
        face = self.face.copy()
        self._speak(face, t)
        self._smile(face, 0.9 * bump(t, 1.9, 1.0))
        self._brows(face, bump(t, 1.3, 0.5) + 0.8 * bump(t, 3.9, 0.6))
        self._blink(face, max(bump(t, c, 0.16) for c in (0.7, 2.25, 3.45)))

        yaw, pitch, roll = np.radians([10 * wave(t, 4.4), 4 * wave(t, 3.1, 0.2), 3 * wave(t, 5.2, 0.1)])
        turn = cv2.Rodrigues(np.array([0.0, yaw, 0.0]))[0] @ cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))[0]
        turn = cv2.Rodrigues(np.array([0.0, 0.0, roll]))[0] @ turn
        pivot = np.array([*self.face[CHIN, :2] * 0.5 + self.centre * 0.5, self.face[self.oval, 2].mean()])
        moved = ((face - pivot) @ turn.T + pivot)[:, :2]
        drift = moved[self.oval] - self.face[self.oval, :2]
        near = (np.roll(drift, 2, 0) + np.roll(drift, 1, 0) + drift + np.roll(drift, -1, 0) + np.roll(drift, -2, 0)) / 5
        rings = [self.rest[468 + 36 * k : 504 + 36 * k] + fade * near for k, fade in enumerate(self.fades)]
        return np.concatenate([moved, *rings])

    def _axes(self) -> tuple[Array, Array, float]:
        """Unit vectors right and down in the face's own plane, and half the mouth's width."""
        across = self.face[308, :2] - self.face[78, :2]
        down = self.face[CHIN, :2] - self.face[FOREHEAD, :2]
        return across / np.linalg.norm(across), down / np.linalg.norm(down), float(np.linalg.norm(across) / 2)

    def _speak(self, face: Array, t: float) -> None:
        """The jaw: vertices under the line between the lips go down, more the nearer the chin."""
        talking = bump(t, 0.4, 0.5) + bump(t, 3.3, 1.1)
        jaw = 0.6 * talking * (0.55 + 0.45 * wave(t, 0.34)) - 0.25 * bump(t, 2.9, 1.9)
        right, down, half = self._axes()
        middle = (self.face[list(LIP_UP), :2] + self.face[list(LIP_LOW), :2]) / 2
        origin = middle[5]
        u = (self.face[:, :2] - origin) @ right / half
        line = np.interp(u, (middle - origin) @ right / half, (middle - origin) @ down)
        below = (self.face[:, :2] - origin) @ down - line
        reach = float((self.face[CHIN, :2] - origin) @ down)
        ramp = 0.5 + (reach - 0.5) * smoothstep(0.6, 1.3, np.abs(u))
        corner = smoothstep(0.75, 1.05, np.abs(u)) * (below < reach / 4)
        weight = np.clip((below + 0.25) / ramp, 0, 1) * (1 - 0.6 * corner)
        face[:, :2] += 0.34 * half * jaw * weight[:, None] * down
        face[list(LIP_UP[1:-1]), :2] -= 0.05 * half * jaw * down

    def _smile(self, face: Array, relax: float) -> None:
        """The photo smiles: draw the corners of the mouth in and down."""
        right, down, half = self._axes()
        for corner, side in ((61, 1), (291, -1)):
            near = np.exp(-(((self.face[:, :2] - self.face[corner, :2]) / (0.75 * half)) ** 2).sum(1))
            face[:, :2] += relax * half * near[:, None] * (0.20 * side * right + 0.16 * down)

    def _brows(self, face: Array, lift: float) -> None:
        _, down, half = self._axes()
        for brow in BROWS:
            away = (self.face[:, :2] - self.face[brow, :2]) / (half * np.array([0.9, 0.45]))
            face[:, :2] -= 0.14 * half * lift * np.exp(-(away**2).sum(1))[:, None] * down

    def _blink(self, face: Array, closed: float) -> None:
        for (lid, low), crease in zip(LIDS.items(), CREASES, strict=True):
            way = face[list(low)] - face[list(lid)]
            face[list(lid)] += 0.97 * closed * way
            face[list(crease)] += 0.45 * closed * way

    def draw(self, t: float, camera: Array, size: tuple[int, int]) -> Pixels:
        """The frame at ``t``; ``camera`` (2, 3) maps the photo's pixels to the frame's."""
        width, height = size
        points = self.pose(t) @ camera[:, :2].T + camera[:, 2]
        backward = cv2.invertAffineTransform(camera)
        count = len(self.triangles)
        label = np.full((height, width), count, np.int32)  # background: the camera alone
        maps = np.empty((count + 4, 2, 3))
        maps[:count] = affine(points[self.triangles], self.rest[self.triangles])
        maps[count] = backward
        # Eyeballs and teeth move with the skull, under lids and lips: anchored where the skin does not stretch.
        anchors = ([33, 133, 168], [263, 362, 168], [13, 2, 164])
        for k, (hole, anchor) in enumerate(zip([*self.holes, self.mouth], anchors, strict=True)):
            back = points[anchor] @ backward[:, :2].T + backward[:, 2]
            maps[count + 1 + k] = backward
            maps[count + 1 + k, :, 2] += (self.rest[anchor] - back).mean(0)
            cv2.fillPoly(label, [fixed(points[hole])], count + 1 + k, shift=4)
        for k, triangle in enumerate(fixed(points)[self.triangles]):
            cv2.fillConvexPoly(label, triangle, k, shift=4)

        table = maps.astype(np.float32).reshape(-1, 6)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        row = table[label]
        from_x = row[..., 0] * x + row[..., 1] * y + row[..., 2]
        from_y = row[..., 3] * x + row[..., 4] * y + row[..., 5]
        picture = cv2.remap(self.photo, from_x, from_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        # An opened mouth shows more than the photo has: dark below the teeth.
        inside = np.zeros(self.photo.shape[:2], np.uint8)
        cv2.fillPoly(inside, [fixed(self.rest[self.mouth])], 255, shift=4)
        teeth = cv2.remap(cv2.GaussianBlur(inside, (0, 0), 0.7), from_x, from_y, cv2.INTER_LINEAR)[..., None] / 255.0
        dark = (label == count + 3)[..., None] * (1 - teeth)
        return np.clip(picture * (1 - dark) + np.array([58, 26, 26]) * dark, 0, 255).astype(np.uint8)


def fixed(points: Array) -> npt.NDArray[np.int32]:
    """Sub-pixel points for OpenCV's drawing functions (``shift=4``)."""
    return np.round(points * 16).astype(np.int32)


def affine(triangles: Array, targets: Array) -> Array:
    """(N, 2, 3) maps that take triangles (N, 3, 2) onto targets; those squeezed flat take any point of theirs."""
    edges = (triangles[:, 1:] - triangles[:, :1]).transpose(0, 2, 1)
    a, b, c, d = edges[:, 0, 0], edges[:, 0, 1], edges[:, 1, 0], edges[:, 1, 1]
    det = a * d - b * c
    det = np.where(np.abs(det) < 1e-2, np.inf, det)
    inverse = np.stack([np.stack([d, -b], -1), np.stack([-c, a], -1)], 1) / det[:, None, None]
    linear = (targets[:, 1:] - targets[:, :1]).transpose(0, 2, 1) @ inverse
    shift = targets[:, 0] - np.einsum("nij,nj->ni", linear, triangles[:, 0])
    return np.concatenate([linear, shift[..., None]], -1)


def camera(t: float, centre: Array) -> Array:
    """Photo to (oversampled) frame: a slow push in, a pan, and a hand that is not quite still."""
    scale = OVERSAMPLE * WIDTH / (322 - 40 * t / SECONDS + 3 * wave(t, 2.3))
    angle = np.radians(2.0 * wave(t, 6.0, 0.4) + 0.3 * wave(t, 1.1))
    sway = (14 * wave(t, 5.5, 0.3) + 0.8 * wave(t, 0.9), 6 + 4 * wave(t, 4.1) + 0.6 * wave(t, 0.7))
    at = centre + np.array(sway)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = OVERSAMPLE * np.array([WIDTH - 1, HEIGHT - 1]) / 2
    return np.concatenate([turn, (middle - turn @ at)[:, None]], 1)


def light(t: float) -> Array:
    """Gain (H, W, 3): a lamp that warms and dims a little, and a soft shadow that passes from left to right."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
    shadow = 0.22 * np.exp(-(((x + 0.3 * y - (t - 2.2) / 1.6) / 0.28) ** 2))
    lamp = (1 + 0.06 * wave(t, 4.8, 0.55)) * np.array([1 + 0.03 * wave(t, 4.8), 1.0, 1 - 0.04 * wave(t, 4.8)])
    return (1 - shadow)[..., None] * lamp


def tune() -> npt.NDArray[np.int16]:
    """(1, samples): eight plucked notes."""
    t = np.arange(int(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros_like(t)
    for k, pitch in enumerate((220.0, 277.2, 329.6, 440.0, 370.0, 329.6, 277.2, 220.0)):
        age = t - 0.58 * k
        envelope = np.where(age > 0, np.minimum(age / 0.01, 1) * np.exp(-3 * np.maximum(age, 0)), 0)
        sound += envelope * (np.sin(2 * np.pi * pitch * age) + 0.3 * np.sin(4 * np.pi * pitch * age))
    return (sound / np.abs(sound).max() * 9000).astype(np.int16)[None]


def main(output: Path) -> None:
    with av.open(str(HERE / "astronaut.png")) as still:
        photo: Pixels = next(still.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)
    puppet = Puppet(photo, weights.read_bytes("landmarker"))
    grain = np.random.default_rng(7)
    with av.open(str(output), "w") as container:
        video = container.add_stream("libx264", RATE, options={"crf": "21", "preset": "slow", "threads": "1"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = video.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709
        context.color_range = 1  # limited
        audio = container.add_stream("aac", SAMPLE_RATE, layout="mono", bit_rate=64000)
        sound = av.AudioFrame.from_ndarray(tune(), format="s16", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
        for n in range(round(SECONDS * RATE)):
            t = n / RATE
            large = puppet.draw(t, camera(t, puppet.centre), (OVERSAMPLE * WIDTH, OVERSAMPLE * HEIGHT))
            picture: Array = cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) * light(t)
            picture += cv2.GaussianBlur(grain.normal(0, 4, (HEIGHT, WIDTH)), (0, 0), 0.7)[..., None]
            frame = av.VideoFrame.from_ndarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = n, Fraction(1, RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "astronaut.mp4")
