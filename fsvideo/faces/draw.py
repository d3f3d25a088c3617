"""Occluders drawn by code: hair, heads, fingers, bars, microphones, phones, discs, cloth, glasses, masks.

Each kind takes a canvas, a random generator and the face, and gives a picture (S, S, 3) on the 0..255 scale and its
alpha (S, S) in 0..1. Positions and widths below are in parts of the crop's side.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.types import Array, CropSpec, Image

_BITS = 4  # of a pixel, in OpenCV's fixed-point coordinates
_HAIR = ((22, 18, 16), (60, 40, 28), (104, 72, 44), (158, 122, 78), (205, 180, 135), (150, 148, 146), (120, 60, 35))
_BANK = 512  # pixels of the noise that textures are cut from


class Canvas:
    """Draws shapes and surfaces for crops of ``size`` pixels."""

    def __init__(self, size: int) -> None:
        self.size = size
        rng = np.random.default_rng(0)
        noise = np.zeros((_BANK, _BANK), np.float32)
        for k in range(2, 8):  # octaves, the coarse ones strongest
            octave = rng.standard_normal((_BANK >> (8 - k), _BANK >> (8 - k))).astype(np.float32)
            noise += cv2.resize(octave, (_BANK, _BANK), interpolation=cv2.INTER_CUBIC) / k
        self._noise = noise / noise.std()

    def blank(self) -> Image:
        return np.zeros((self.size, self.size), np.uint8)

    def fixed(self, points: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Points in parts of the side -> OpenCV's fixed point."""
        scaled = (np.asarray(points) * self.size - 0.5) * (1 << _BITS)
        return np.clip(np.round(scaled), -(2**20), 2**20).astype(np.int32)

    def stroke(self, mask: Image, points: npt.ArrayLike, width: float, value: int = 255) -> None:
        """A line with round ends through the points."""
        pixels = max(1, round(width * self.size))
        cv2.polylines(mask, [self.fixed(points)], False, value, pixels, cv2.LINE_AA, _BITS)

    def fill(self, mask: Image, points: npt.ArrayLike, value: int = 255) -> None:
        cv2.fillPoly(mask, [self.fixed(points)], value, cv2.LINE_AA, _BITS)

    def noise(self, rng: np.random.Generator, grain: float = 1.0) -> Array:
        """(S, S) noise of unit spread; ``grain`` above 1 makes it finer."""
        side = min(_BANK, max(8, round(self.size * grain)))
        x, y = rng.integers(_BANK - side + 1, size=2)
        cut = self._noise[y : y + side, x : x + side]
        return np.asarray(cv2.resize(cut, (self.size, self.size), interpolation=cv2.INTER_LINEAR), np.float32)

    def surface(
        self, rng: np.random.Generator, color: npt.ArrayLike, rough: float, shade: Array | None = None
    ) -> Array:
        """(S, S, 3): a colour, lit from one side, with texture; ``shade`` (S, S) multiplies it."""
        slope = rng.normal(0, 0.25, 2)
        ramp = np.linspace(-1, 1, self.size, dtype=np.float32)
        light = 1 + np.float32(slope[0]) * ramp[None] + np.float32(slope[1]) * ramp[:, None]
        light = light * (1 if shade is None else shade) + np.float32(rough) * self.noise(rng, rng.uniform(0.5, 2.5))
        return np.asarray(light[..., None] * np.asarray(color, np.float32), np.float32)


Kind = Callable[[Canvas, np.random.Generator, Image], tuple[Array, Array]]


def hair(canvas: Canvas, rng: np.random.Generator, face: Image) -> tuple[Array, Array]:
    """Strands that fall over the face from above or from a side, in one or more locks."""
    cover, shade = canvas.blank(), canvas.blank()
    t = np.linspace(0, 1, 9)
    weights = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], 1)  # a quadratic Bezier curve's
    for _ in range(rng.integers(1, 4)):
        root = np.array([rng.uniform(0.1, 0.9), rng.uniform(-0.05, 0.15)])
        tip = np.array([rng.uniform(0.15, 0.85), rng.uniform(0.45, 1.1)])
        bend = (root + tip) / 2 + rng.normal(0, 0.15, 2)
        spread = rng.uniform(0.01, 0.06)
        count = int(rng.integers(3, 15))
        knots = np.stack([root, bend, tip]) + rng.normal(0, spread, (count, 3, 2)) * ((1,), (1,), (1.6,))
        for curve in weights @ knots:
            width = rng.uniform(0.006, 0.022)
            canvas.stroke(cover, curve, width, int(rng.integers(150, 256)))
            canvas.stroke(shade, curve, width, int(rng.integers(90, 256)))
    color = np.asarray(_HAIR[rng.integers(len(_HAIR))]) * rng.uniform(0.7, 1.2)
    return canvas.surface(rng, color, 0.1, _unit(shade, 160)), _unit(cover)


def head(canvas: Canvas, rng: np.random.Generator, face: Image) -> tuple[Array, Array]:
    """Somebody who passes before the face, seen from behind: a head full of hair, and shoulders."""
    skull, body, shade = canvas.blank(), canvas.blank(), canvas.blank()
    x, y = rng.uniform(-0.05, 1.05), rng.uniform(0.35, 0.8)
    wide, high = rng.uniform(0.2, 0.4), rng.uniform(0.26, 0.45)
    ring = np.linspace(0, 2 * np.pi, 33)
    wave = 1 + rng.normal(0, 0.03, 32)
    outline = np.stack([np.cos(ring[:-1]), np.sin(ring[:-1])], 1) * wave[:, None] * (wide, high) + (x, y)
    canvas.fill(skull, outline)
    neck, across = y + high * rng.uniform(0.5, 0.9), wide * rng.uniform(1.3, 2.2)
    canvas.fill(
        body,
        [
            (x - wide / 2, neck),
            (x + wide / 2, neck),
            (x + across, neck + 0.2),
            (x + across, 2),
            (x - across, 2),
            (x - across, neck + 0.2),
        ],
    )
    crown, fall = np.array([x + rng.normal(0, wide / 4), y - high * 0.8]), rng.uniform(0.4, 1.2)
    t = np.linspace(0, 1, 7)[:, None]
    for angle in rng.uniform(0, np.pi, 70):  # strands, from the crown down on all sides
        end = np.array([x - wide * 1.1 * np.cos(angle), y + high * fall * np.sin(angle)])
        bend = (crown + end) / 2 + (end - crown) @ np.array([[0, -0.3], [0.3, 0]]) * np.cos(angle)
        curve = (1 - t) ** 2 * crown + 2 * t * (1 - t) * bend + t**2 * end
        canvas.stroke(shade, curve, rng.uniform(0.01, 0.05), int(rng.integers(90, 256)))
    round_ = _unit(cv2.GaussianBlur(skull, (0, 0), min(wide, high) * canvas.size / 3))
    strands = _unit(cv2.GaussianBlur(shade, (0, 0), rng.uniform(0.3, 1.5) * canvas.size / 128), 190)
    color = np.asarray(_HAIR[rng.integers(len(_HAIR))]) * rng.uniform(0.8, 1.6)
    shine = np.asarray((0.35 + 0.65 * strands) * (0.5 + round_ / 2), np.float32)
    hair_rgb = canvas.surface(rng, color, 0.08, shine)
    clothes = canvas.surface(rng, rng.uniform(10, 230, 3), rng.uniform(0.03, 0.2))
    part = _unit(skull)[..., None]
    return clothes + part * (hair_rgb - clothes), _unit(np.maximum(skull, body))


def fingers(canvas: Canvas, rng: np.random.Generator, face: Image) -> tuple[Array, Array]:
    """One to four fingers that come in from an edge, in the colour of this face or another skin."""
    cover, shade = canvas.blank(), canvas.blank()
    angle = rng.uniform(0, 2 * np.pi)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    tip = np.array([0.5, 0.55]) + rng.normal(0, 0.13, 2)
    width, count = rng.uniform(0.08, 0.13), int(rng.integers(1, 5))
    for k in range(count):
        end = tip + across * (k - (count - 1) / 2) * width * rng.uniform(0.9, 1.1) + along * rng.normal(0, 0.05)
        knuckle = end + along * 0.25 + across * rng.normal(0, 0.03)
        line = np.stack([end, knuckle, knuckle + along * 0.9 + across * rng.normal(0, 0.05)])
        canvas.stroke(cover, line, width)
        for part, value in ((1.0, 120), (0.75, 165), (0.5, 195), (0.25, 210)):  # round: darker towards the sides
            canvas.stroke(shade, line, width * part, value)
    soft = _unit(cv2.GaussianBlur(shade, (0, 0), 0.012 * canvas.size), 190)
    return canvas.surface(rng, _skin(rng, face), 0.03, soft), _unit(cover)


def bar(canvas: Canvas, rng: np.random.Generator, face: Image) -> tuple[Array, Array]:
    """A stick, pen, pole or strap across the face."""
    cover, shade = canvas.blank(), canvas.blank()
    middle, angle = np.array([0.5, 0.55]) + rng.normal(0, 0.15, 2), rng.uniform(0, np.pi)
    along, width = np.array([np.cos(angle), np.sin(angle)]), rng.uniform(0.02, 0.16)
    ends = np.stack([middle - along * rng.uniform(0.1, 1), middle + along * rng.uniform(0.4, 1)])
    canvas.stroke(cover, ends, width)
    for part, value in ((1.0, 120), (0.6, 180), (0.2, 220)):
        canvas.stroke(shade, ends, width * part, value)
    soft = _unit(cv2.GaussianBlur(shade, (0, 0), max(0.5, width * canvas.size / 8)), 190)
    return canvas.surface(rng, rng.uniform(10, 240, 3), rng.uniform(0, 0.2), soft), _unit(cover)


def microphone(canvas: Canvas, rng: np.random.Generator, face: Image) -> tuple[Array, Array]:
    """A round head before the mouth on a handle that goes down."""
    handle, head = canvas.blank(), canvas.blank()
    x, y = rng.normal((0.5, 0.74), 0.06)
    radius, lean = rng.uniform(0.07, 0.14), rng.normal(0, 0.3)
    canvas.stroke(handle, [(x, y), (x + lean, y + 0.9)], radius * rng.uniform(0.7, 1.3))
    ring = np.linspace(0, 2 * np.pi, 33)
    shape = np.stack([x + radius * np.cos(ring), y + radius * rng.uniform(0.9, 1.3) * np.sin(ring)], 1)
    canvas.fill(head, shape)
    side = np.arange(canvas.size, dtype=np.float32) * np.float32(rng.uniform(1.2, 2.4))
    mesh = 0.8 + 0.2 * np.sin(side)[None] * np.sin(side)[:, None]
    top = canvas.surface(rng, np.full(3, rng.uniform(20, 170)), 0.15, mesh)
    rgb = canvas.surface(rng, np.full(3, rng.uniform(10, 80)), 0.05)
    part = _unit(head)[..., None]
    return rgb + part * (top - rgb), _unit(np.maximum(handle, head))


def phone(canvas: Canvas, rng: np.random.Generator, face: Image) -> tuple[Array, Array]:
    """A flat box with another surface inside its rim: phone, book, card, sign."""
    cover, screen = canvas.blank(), canvas.blank()
    middle, angle = np.array([0.5, 0.6]) + rng.normal(0, 0.18, 2), rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    half = np.array([rng.uniform(0.1, 0.22), rng.uniform(0.12, 0.35)])
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    canvas.fill(cover, middle + corners @ turn.T)
    canvas.fill(screen, middle + (corners * rng.uniform(0.7, 0.95)) @ turn.T)
    rgb = canvas.surface(rng, rng.uniform(10, 240, 3), 0.03)
    inner = canvas.surface(rng, rng.uniform(5, 250, 3), rng.uniform(0, 0.3))
    part = _unit(screen)[..., None]
    return rgb + part * (inner - rgb), _unit(cover)


def disc(canvas: Canvas, rng: np.random.Generator, face: Image) -> tuple[Array, Array]:
    """A round thing: ball, cup, fruit, sticker."""
    cover = canvas.blank()
    x, y = np.array([0.5, 0.55]) + rng.normal(0, 0.18, 2)
    axes, turn = rng.uniform(0.06, 0.22, 2), rng.uniform(0, np.pi)
    ring = np.linspace(0, 2 * np.pi, 33)
    shape = np.stack([axes[0] * np.cos(ring), axes[1] * np.sin(ring)], 1)
    shape = shape @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + (x, y)
    canvas.fill(cover, shape)
    soft = _unit(cv2.GaussianBlur(cover, (0, 0), float(axes.min()) * canvas.size / 3))
    rgb = canvas.surface(rng, rng.uniform(10, 245, 3), rng.uniform(0, 0.3), np.asarray(0.5 + soft / 2, np.float32))
    return rgb, _unit(cover)


def cloth(canvas: Canvas, rng: np.random.Generator, face: Image) -> tuple[Array, Array]:
    """Cloth with a wavy edge over the lower face, the forehead or a side: scarf, mask, hat, collar."""
    cover = canvas.blank()
    t = np.linspace(-0.2, 1.2, 15)
    wave = rng.normal(0, 0.05) * np.sin(t * rng.uniform(2, 8) + rng.uniform(0, 6)) + rng.normal(0, 0.1) * (t - 0.5)
    edge = rng.uniform(0.52, 0.85) + wave
    shape = np.concatenate([np.stack([t, edge], 1), [(1.2, 1.3), (-0.2, 1.3)]])
    side = rng.integers(4)
    if side == 1:  # from above
        shape[:, 1] = 0.9 - shape[:, 1]
    elif side > 1:  # from the left or the right
        shape = shape[:, ::-1] if side == 2 else np.stack([1 - shape[:, 1], shape[:, 0]], 1)
    canvas.fill(cover, shape)
    stripes = 1 + rng.uniform(0, 0.3) * np.sin(
        np.arange(canvas.size, dtype=np.float32) * np.float32(rng.uniform(0.1, 1.2))
    )
    shade = np.broadcast_to(stripes[:, None] if rng.random() < 0.5 else stripes[None], cover.shape)
    rgb = canvas.surface(rng, rng.uniform(10, 245, 3), rng.uniform(0.03, 0.25), np.asarray(shade, np.float32))
    return rgb, _unit(cover)


def glasses(canvas: Canvas, rng: np.random.Generator, face: Image) -> tuple[Array, Array]:
    """Frames on the eyes, with clear, tinted or dark lenses."""
    frame, lens = canvas.blank(), canvas.blank()
    wide, high, power = rng.uniform(0.11, 0.15), rng.uniform(0.07, 0.13), rng.uniform(0.4, 1.0)
    width, drop = rng.uniform(0.008, 0.035), rng.normal(0.01, 0.015)
    ring = np.linspace(0, 2 * np.pi, 33)
    wave = np.stack([np.cos(ring), np.sin(ring)], 1)
    rounded = np.sign(wave) * np.abs(wave) ** power  # from an ellipse to almost a box
    eyes = np.asarray(CropSpec().template[:2]) + np.array([0, drop]) + rng.normal(0, 0.01, 2)
    for eye, outward in zip(eyes, (-1, 1), strict=True):
        outline = eye + rounded * (wide, high)
        canvas.fill(lens, outline)
        canvas.stroke(frame, outline, width)
        hinge = eye + np.array([outward * wide, -high / 3])
        canvas.stroke(frame, [tuple(hinge), (hinge[0] + outward * 0.25, hinge[1] + rng.normal(0, 0.03))], width)
    bridge = [(eyes[0][0] + wide, eyes[0][1] - high / 4), (eyes[1][0] - wide, eyes[1][1] - high / 4)]
    canvas.stroke(frame, bridge, width)
    tint = (0.0, rng.uniform(0.1, 0.4), rng.uniform(0.75, 0.97))[rng.integers(3)]
    cover = _unit(frame)
    glass = np.float32(tint) * _unit(lens)
    rim = canvas.surface(rng, rng.uniform(5, 160, 3), 0.08)
    dark = canvas.surface(rng, rng.uniform(5, 60, 3), 0.15)
    return dark + cover[..., None] * (rim - dark), np.maximum(cover, glass)


def mask(canvas: Canvas, rng: np.random.Generator, face: Image) -> tuple[Array, Array]:
    """A mask over nose and mouth, of one cloth or two, with folds, a seam and straps."""
    cover, lines, half = canvas.blank(), canvas.blank(), canvas.blank()
    tilt = rng.normal(0, 0.03)
    side, bottom = rng.uniform(0.22, 0.34), rng.uniform(0.9, 1.1)
    top = rng.uniform(0.42, 0.56) if rng.random() < 0.85 else rng.uniform(0.62, 0.72)  # or below the nose
    corner, jaw = top + rng.uniform(0, 0.12), rng.uniform(0.76, 0.9)
    middle = 0.5 + rng.normal(0, 0.02)  # where the nose is; to a side where a face looks aside
    right = [(middle, top), (middle + 0.1, top + 0.03), (0.5 + side, corner), (0.5 + side * 0.95, jaw)]
    left = [(0.5 - side * 0.95, jaw), (0.5 - side, corner - tilt), (middle - 0.1, top + 0.03)]
    canvas.fill(cover, _rounded([*right, (0.5 + 0.4 * side, bottom), (0.5 - 0.4 * side, bottom), *left]))
    for x, y in ((0.5 + side, corner), (0.5 - side, corner - tilt)):
        ear = (x + np.sign(x - 0.5) * rng.uniform(0.1, 0.2), y - rng.uniform(-0.02, 0.14))
        canvas.stroke(lines, [(x - np.sign(x - 0.5) * 0.03, y + 0.02), ear], rng.uniform(0.006, 0.014))
    # Cloth is lightest along the nose and falls away to the sides; folds lie across, a seam goes down.
    ramp = (np.arange(canvas.size, dtype=np.float32) + 0.5) / canvas.size
    shade = 1 - np.float32(rng.uniform(0.2, 1.2)) * (ramp[None] - np.float32(middle)) ** 2 / np.float32(side)
    shade = shade * (1 - np.float32(rng.uniform(0, 0.4)) * np.clip(ramp[:, None] - np.float32(top), 0, 1))
    folds = canvas.blank()
    for y in np.linspace(corner, jaw, 4)[: rng.integers(0, 5)]:
        canvas.stroke(folds, [(0.5 - side, y), (middle, y + rng.normal(0.02, 0.02)), (0.5 + side, y)], 0.012)
    if rng.random() < 0.5:
        canvas.stroke(folds, [(middle, top), (middle, bottom)], rng.uniform(0.006, 0.015))
    soft = _unit(cv2.GaussianBlur(folds, (0, 0), 0.006 * canvas.size))
    lit = np.asarray(shade * (1 - np.float32(rng.uniform(0.05, 0.3)) * soft), np.float32)
    pale = rng.uniform(170, 250) + rng.normal(0, 12, 3)
    colors = (pale, rng.uniform(10, 60) + rng.normal(0, 6, 3), rng.uniform(10, 245, 3), _skin(rng, face))
    rgb = canvas.surface(rng, colors[rng.choice(4, p=(0.4, 0.2, 0.3, 0.1))], rng.uniform(0.01, 0.12), lit)
    if rng.random() < 0.3:  # of two halves
        x = middle + rng.normal(0, 0.1)
        canvas.fill(half, [(x, 0), (1.2, 0), (1.2, 1.2), (x + rng.normal(0, 0.1), 1.2)])
        other = canvas.surface(rng, colors[rng.integers(4)], rng.uniform(0.01, 0.12), lit)
        rgb += _unit(half)[..., None] * (other - rgb)
    return rgb, _unit(np.maximum(cover, lines))


KINDS: dict[str, Kind] = {
    "hair": hair,
    "head": head,
    "fingers": fingers,
    "bar": bar,
    "microphone": microphone,
    "phone": phone,
    "disc": disc,
    "cloth": cloth,
    "glasses": glasses,
    "mask": mask,
}


def _rounded(corners: npt.ArrayLike) -> Array:
    """The closed outline of these corners (N, 2), cut twice (Chaikin): (4 N, 2)."""
    shape = np.asarray(corners, np.float64)
    for _ in range(2):
        following = np.roll(shape, -1, 0)
        shape = np.stack([0.75 * shape + 0.25 * following, 0.25 * shape + 0.75 * following], 1).reshape(-1, 2)
    return np.asarray(shape, np.float32)


def _unit(mask: npt.ArrayLike, full: float = 255) -> Array:
    """0..full -> 0..1."""
    return np.asarray(mask, np.float32) * np.float32(1 / full)


def _skin(rng: np.random.Generator, face: Image) -> Array:
    """The middle face's mean colour, or one of the range of human skin, a little changed."""
    third = len(face) // 3
    own = face[third:-third, third:-third].reshape(-1, 3).mean(0)
    light = rng.uniform(0, 1)
    other = np.array([80.0, 50, 38]) * (1 - light) + np.array([240.0, 200, 175]) * light
    color = own if rng.random() < 0.5 else other
    return np.asarray(color * rng.normal(1, 0.06) + rng.normal(0, 4, 3), np.float32)
