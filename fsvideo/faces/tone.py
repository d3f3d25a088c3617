"""Light and colour of a swapped face follow the footage: as a whole, in each part, most closely on the forehead."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.faces.align import features_of
from fsvideo.faces.mask import distance_from
from fsvideo.types import Array

Floats = npt.NDArray[np.float64]

SHRINK = 4  # parts are compared on a crop reduced by this ...
LIGHT_SIGMA = 1 / 64  # ... and blurred by so much of its side: light on skin,
TINT_SIGMA, SKIN_SIGMA = 1 / 32, 1 / 128  # hue anywhere and on skin
LEAST, MOST = 8.0, 1.5  # levels below which brightness is not told apart; logarithm of what is mended at most
STAIN = 80.0  # levels of a colour difference that are mended at most
TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
FROM_CC = np.array([[0, 1.402], [-0.344136, -0.714136], [1.772, 0]], np.float32)  # Cb, Cr -> RGB, luma unchanged
LUMA = TO_YCC[:1]
STRONGEST = np.float32(0.35)  # logarithm of brightness: a shade or a light that is no stain
FAINT = np.float32(0.05)  # the same of a shade beside the eyes where the source wears glasses
RIM = np.float32(0.2)  # the same on lids and around brows, over which rims lie
GLOSS = np.float32(0.2)  # the same of a light on lips: more takes away the target's make-up
GLARE = np.float32(0.12)  # the same of a light along the jaw: more is a rim that no lamp makes
STREAK = 5 / 64  # of the crop's side: what is wider on a cheek is its shape, what is narrower a streak ...
FAINTEST = 0.03  # ... if it is stronger than those of the target by this logarithm of brightness
SHINE = np.float32(0.1)  # the same by which skin beside a brow may be lighter than the target's there and around it
LEFT = (1.5, 5.0)  # levels by which a network's picture differs: so little is the target's own, so much is another face
RICH = np.float32(0.5)  # skin's colour goes with this power of its brightness
SHADE = (0.4, 0.55)  # times as bright as the target's: what is painted around an eye is a brow, and a shade on skin
LIGHTEST = np.float32(1.6)  # times as bright as the target's: up to there skin gains colour
SKIN_AROUND = 1 / 8  # of the crop's side: from how far around brows and beards the skin's hue below them is guessed
UNSEEN = np.float32(1e-3)  # weight of the picture itself there, which counts where no skin is near
BARED = (0.05, 0.25)  # logarithm of brightness by which a result is lighter than brow or beard: then skin lies there
BURNT = (195.0, 235.0)  # levels of brightness between which skin loses its colour in a picture
DIMMER = (0.03, 0.15)  # logarithm of brightness by which a result is darker than such skin: then it has a colour
PALE = np.float32(0.95)  # how much less such skin says of the hue around it
DARKER = (0.2, 0.45)  # the same by which it is darker than lids: they say nothing of a shade's hue
AS_SKIN = (-0.2, -0.08)  # the same by which a result is lighter where a lip was than its skin: then it is skin, too
APART = (0.25, 0.5)  # logarithm of brightness: how far off the result may be, and from where on it is no use
SHADED = (0.5, 0.8)  # the same on a temple that is darker than the target's: more than the shade of a cheekbone
# Parts of the face's width from where on skin begins to be mended, and from where it is wholly:
_ABOVE = (0.0, 0.07)  # above the line through the eyes
_AWAY = (0.03, 0.09)  # away from a brow
_BARE = (0.01, 0.04)  # away from lips, eyes and brows
_BESIDE = (-0.10, 0.04)  # beside the outer corner of an eye
_CHEEK = (-0.3, -0.2)  # above the line through the eyes: down to there a temple reaches
_JAW = (-0.45, -0.33)  # the same: down to there the side of a face
_EDGE = (0.04, 0.14)  # inside the face's outline: where its edge ends
_CHIN = (0.15, 0.3)  # away from the line down the nose: a chin, which may be shaven, and from where on the jaw
_BROW = (0.03, 0.08)  # away from a brow: up to where its hair may lie, and from where on it does not
_OUTSIDE = (0.0, 0.05)  # outside the face's outline
_LIDS = (0.08, 0.14)  # away from an eye: up to where lids reach, and from where on none is
_LASHES = (0.0, 0.03)  # away from an eye: where its lids begin
_LIPS = (0.0, 0.02)  # away from a mouth: where its lips end
_LIP = (0.0, 0.03)  # away from the upper half of a mouth: where its lip ends
_BEARD = (-0.40, -0.30)  # above the line through the eyes: where beards begin


@dataclass(frozen=True)
class Cast:
    """A correction of colour at a time: a gain and an offset a channel."""

    gain: Floats  # (3,)
    offset: Floats  # (3,) levels
    time: float  # seconds


def match_color(
    swapped: Array, target: Array, mask: Array, time: float, seconds: float, before: Cast | None
) -> tuple[Array, Cast | None]:
    """Bring the swapped face to the target's mean colour and contrast, by figures averaged over ``seconds``.

    Crops (S, S, 3) on the 0..255 scale, mask (S, S), time in seconds; ``before`` is what this function returned for the
    track's last frame. The network sees the target's light; what is left is a slow cast. Averaging keeps it from
    flickering.
    """
    weight = (mask > 0.5).astype(np.uint8)
    if int(weight.sum()) < 16:
        return swapped, before
    mean_y, std_y = (v.reshape(3) for v in cv2.meanStdDev(swapped, mask=weight))
    mean_t, std_t = (v.reshape(3) for v in cv2.meanStdDev(target, mask=weight))
    gain = np.clip(std_t / np.maximum(std_y, 1), 0.8, 1.25)
    gain = np.full(3, gain.mean())  # one contrast for all channels: separate ones tint the shadows
    offset = mean_t - gain * mean_y
    if before is not None and seconds > 0:
        keep = float(np.exp(-max(0.0, time - before.time) / seconds))
        gain, offset = keep * before.gain + (1 - keep) * gain, keep * before.offset + (1 - keep) * offset
    matched = cv2.transform(swapped, np.column_stack([np.diag(gain), offset]).astype(np.float32))
    return np.asarray(matched, np.float32), Cast(gain, offset, time)


@dataclass(frozen=True)
class Plain:
    """Which parts of a crop show less of who somebody is; (S / 4, S / 4) 0..1 each."""

    around: Array  # outside the face's outline: hair, ears, neck and what is behind
    bare: Array  # that, and skin without lips, eyes and brows: hue says nothing there
    forehead: Array  # skin that has no shape, as cheekbones have, and no beard: nor does light
    temples: Array  # skin beside the eyes: where hair ends and glasses have their arms
    sides: Array  # the same and the cheeks below, where shades of glasses end
    cheeks: Array  # the same from below the temples down to the jaw: no feature lies there, nor a fold beside one
    ridges: Array  # around the brows: no lighter than the skin around them
    brows: Array  # the target's: where its hue is not that of skin
    upper: Array  # skin, lids and eyes down to where a beard may grow, without the forehead
    beard: Array  # skin below that: where the target's hue may not be that of skin, either
    jaw: Array  # the edge of the face below the eyes, without the chin
    lids: Array  # around the eyes: nor may it be there, where lashes, make-up and shadows are
    lips: Array  # and what is seen between them
    lip: Array  # the upper one: nor there, where another mouth has a narrower one

    @property
    def skin(self) -> Array:
        """What is bare and in the face, (S / 4, S / 4) 0..1."""
        return np.asarray(cv2.max(self.bare - self.around, 0), np.float32)

    @property
    def flank(self) -> Array:
        """Temples and cheeks, (S / 4, S / 4) 0..1."""
        return np.asarray(cv2.max(self.sides, self.cheeks), np.float32)


def match_tint(swapped: Array, target: Array, plain: Plain | None = None) -> Array:
    """Give each part of a swapped face the target's hue; how light it is stays.

    Crops (S, S, 3) on the 0..255 scale. Skin, lips and shadows keep the target's make-up and light: what a network
    paints beside that is a stain: grey lids, a green cheek. On ``plain`` skin, small ones go, too. A recogniser is also
    pleased by such stains, and people see them at once. Where the target has brows, lids or a beard its skin's hue is
    guessed from around them: skin that lies there now would be grey. So it is where its skin is burnt out and the new
    face is darker. A cheek in the shade would be grey, too, were it no more saturated than one in the light; and skin
    that is lighter than the target's would be pale, were it no more so.
    """
    small = max(8, len(swapped) // SHRINK)
    ours, theirs = (
        np.asarray(cv2.transform(cv2.resize(one, (small, small), interpolation=cv2.INTER_AREA), TO_YCC), np.float32)
        for one in (swapped, target)
    )
    if plain is None:
        change = _retinted(ours, theirs, TINT_SIGMA, None)
    else:
        lip = _narrower(ours, theirs, plain)
        theirs = _bared(ours, theirs, plain, lip)
        change = _retinted(ours, theirs, TINT_SIGMA, plain)
        ours[..., 1:] += change
        closely = cv2.max(cv2.max(plain.bare, plain.brows), lip)
        change += _retinted(ours, theirs, SKIN_SIGMA, plain) * closely[..., None]
    rgb = np.asarray(cv2.transform(change, FROM_CC), np.float32)
    return np.asarray(cv2.add(swapped, enlarged(rgb, swapped)), np.float32)


def _retinted(ours: Array, theirs: Array, sigma: float, plain: Plain | None) -> Array:
    """(s, s, 2) what to add to our Cb and Cr, both pictures (s, s, 3) Y, Cb, Cr."""
    soft, soft_t = (cv2.GaussianBlur(one, (0, 0), len(one) * sigma) for one in (ours, theirs))
    luma, chroma, luma_t, chroma_t = soft[..., :1], soft[..., 1:], soft_t[..., :1], soft_t[..., 1:]
    # As saturated as the target at this brightness: a dark brow on light skin has less of the skin's colour.
    ratio = (luma.clip(0) + LEAST) / (luma_t.clip(0) + LEAST)
    share = np.minimum(ratio, 1)
    if plain is not None:  # skin in the shade is more saturated than in the light, but has less colour
        skin = cv2.max(plain.skin * (1 - plain.brows), plain.lids * ramp(ratio[..., 0], *SHADE))
        share += (np.minimum(ratio, LIGHTEST) ** RICH - share) * skin[..., None]
    return np.asarray(np.clip(chroma_t * share - chroma, -STAIN, STAIN), np.float32)


def _bared(ours: Array, theirs: Array, plain: Plain, lip: Array) -> Array:
    """Their picture with hair in the face, and lids, filled in from the skin around them where ours is lighter; and so
    lids in whose place ours has a shade, skin that is burnt out where ours is darker, and the part of a ``lip`` that is
    skin now."""
    hair, burnt = cv2.max(cv2.max(plain.brows, plain.beard), plain.lids), ramp(theirs[..., 0], *BURNT)
    around, lighter = _around(theirs, plain.skin * (1 - hair) * (1 - PALE * burnt)), _lighter(ours, theirs)
    bared = cv2.max(hair * ramp(lighter, *BARED), cv2.max(plain.lids * ramp(-lighter, *DARKER), lip))
    bared = cv2.max(bared, plain.skin * (1 - plain.forehead) * burnt * ramp(-lighter, *DIMMER))
    return np.asarray(theirs + (around - theirs) * bared[..., None], np.float32)


def _narrower(ours: Array, theirs: Array, plain: Plain) -> Array:
    """(s, s) 0..1: where their upper lip is, and ours is lighter, and as light as skin: another mouth's is narrower."""
    as_light = ramp(_lighter(ours, _around(ours, plain.skin)), *AS_SKIN)
    return np.asarray(plain.lip * as_light * ramp(_lighter(ours, theirs), *BARED), np.float32)


def _lighter(ours: Array, theirs: Array) -> Array:
    """Logarithm of how much lighter one picture (s, s, 3), Y, Cb, Cr, is than the other."""
    return np.asarray(cv2.log((ours[..., 0].clip(0) + LEAST) / (theirs[..., 0].clip(0) + LEAST)), np.float32)


def _around(picture: Array, skin: Array) -> Array:
    """What the ``skin`` (s, s) around each place of a picture (s, s) or (s, s, 3) shows."""
    sigma = len(skin) * SKIN_AROUND
    each = skin if picture.ndim == 2 else skin[..., None]
    weight = cv2.GaussianBlur(skin, (0, 0), sigma).reshape(each.shape)
    around = cv2.GaussianBlur(picture * each, (0, 0), sigma)
    return np.asarray((around + UNSEEN * picture) / (weight + UNSEEN), np.float32)


def plain_parts(outline: Array, features: Array, size: int) -> Plain:
    """The plain parts of a face and what is around it.

    ``outline`` (36, 2) and ``features`` (56, 2), as a track has them, in pixels of a crop of ``size``.
    """
    small = size // SHRINK
    face, inner = (np.asarray((one + 0.5) / SHRINK - 0.5, np.float32) for one in (outline, features))
    parts, wide = features_of(inner), max(1.0, float(np.ptp(face[:, 0])))
    right, left = (one.mean(0) for one in parts["eyes"])
    across = (left - right) / max(1e-6, float(np.linalg.norm(left - right)))
    up = np.array([across[1], -across[0]], np.float32)
    y, x = np.mgrid[:small, :small].astype(np.float32)
    above = ((x - right[0]) * up[0] + (y - right[1]) * up[1]) / wide
    away = {name: np.min([distance_from(one, small) for one in each], 0) / wide for name, each in parts.items()}
    around = ramp(distance_from(face, small) / wide, *_OUTSIDE)
    bare = cv2.max(around, ramp(np.min(list(away.values()), 0), *_BARE))
    forehead = ramp(above, *_ABOVE) * ramp(away["brows"], *_AWAY) * (1 - around)
    along = x * across[0] + y * across[1]
    corners = np.concatenate(parts["eyes"]) @ across
    beside = np.maximum(corners.min() - along, along - corners.max()) / wide
    flank = ramp(beside, *_BESIDE) * bare * (1 - around)
    temples, sides = (flank * ramp(above, *down) for down in (_CHEEK, _JAW))
    brows = (1 - ramp(away["brows"], *_BROW)) * (1 - around)
    near = 1 - ramp(away["eyes"], *_LIDS)
    eyes = near * ramp(away["brows"], *_BARE)
    lids = near * ramp(away["eyes"], *_LASHES) * (1 - around)
    mouth = parts["mouth"][0]  # along the upper lip from corner to corner, and back along the lower one
    half = len(mouth) // 2
    middle = (mouth[1:half] + mouth[:half:-1]) / 2
    lip = 1 - ramp(distance_from(np.concatenate([mouth[: half + 1], middle[::-1]]), small) / wide, *_LIP)
    lips = (1 - ramp(away["mouth"], *_LIPS)) * (1 - around)
    shaven = ramp(above, *_BEARD)
    upper = cv2.max(bare, eyes) * shaven * (1 - around) * (1 - forehead)
    beard = bare * (1 - shaven) * (1 - around)
    deep = distance_from(face, small, within=True) / wide
    aside = np.abs(along - (right + left) @ across / 2) / wide
    jaw = (1 - ramp(deep, *_EDGE)) * (1 - around) * (1 - ramp(above, *_CHEEK)) * ramp(aside, *_CHIN)
    cheeks = flank * (1 - ramp(above, *_CHEEK)) * (1 - jaw)
    ridges = ramp(above, *_ABOVE) * (1 - forehead) * (1 - around)
    parts_of = (
        np.asarray(one, np.float32)
        for one in (around, bare, forehead, temples, sides, cheeks, ridges, brows, upper, beard, jaw, lids, lips, lip)
    )
    return Plain(*parts_of)


def match_light(swapped: Array, target: Array, plain: Plain, worn: float = 0.0) -> Array:
    """Show the target's own forehead, as light as the rest of the skin has become, and hold back stains elsewhere.

    Crops (S, S, 3) on the 0..255 scale. A recogniser is also pleased by shades and mottles on a forehead, and people
    see stains where skin has no shape; its wrinkles are the target's expression, and strands of hair hang over it.
    Around the eyes and on cheeks shades make a face, but none as strong as stains are: those are held back. So are
    streaks on cheeks, what shines beside a brow or on made-up lips, and lights along the jaw, which part it from the
    neck.
    Around the face all that stays of the result is its fine detail: so no haze lies on hair. Where the result is far
    off in either, or beside the eyes, as where it paints the source's hair or the shade of its glasses on a temple, the
    target is seen itself.
    """
    small = plain.forehead.shape[::-1]
    lumas = [
        cv2.max(cv2.transform(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), LUMA), 0)
        for picture in (swapped, target)
    ]
    fine, fine_t = (cv2.log(luma + LEAST) for luma in lumas)
    soft, soft_t = (cv2.log(cv2.GaussianBlur(luma, (0, 0), len(luma) * LIGHT_SIGMA) + LEAST) for luma in lumas)
    ratio = soft_t - soft
    level = _level(ratio, plain.forehead + plain.upper)
    off = ratio - level
    stained = off - off.clip(-STRONGEST, STRONGEST)
    mended = off * plain.forehead + ratio * plain.around + stained * plain.upper
    light, dark = _streaks(fine, fine_t)
    mended += (dark - light) * plain.cheeks
    lightest = cv2.max(soft_t, _around(soft_t, plain.skin * (1 - plain.brows)))
    mended -= cv2.max(soft + level - lightest - SHINE, 0) * plain.ridges
    mended += (off.clip(-STRONGEST, -GLARE) + GLARE) * plain.jaw + cv2.min(off + GLOSS, 0) * plain.lips
    shade = (off.clip(FAINT, STRONGEST) - FAINT) * plain.sides * (1 - plain.forehead)
    shade += cv2.max(cv2.max(off - RIM, 0) - cv2.max(stained, 0) * plain.upper, 0) * cv2.max(plain.lids, plain.ridges)
    mended += shade * np.float32(worn)
    factor = cv2.exp(mended.clip(-MOST, MOST))
    lit = cv2.multiply(swapped, _grey(enlarged(factor, swapped)))
    inside = level * (1 - plain.around)
    useless = _useless(fine_t - fine - inside, cv2.min(plain.forehead + plain.around, 1), plain.temples)
    own = cv2.multiply(target, _grey(enlarged(cv2.exp(-inside), swapped)))
    step = cv2.multiply(cv2.subtract(own, lit), _grey(enlarged(cv2.max(useless, plain.forehead), swapped)))
    return np.asarray(cv2.add(lit, step), np.float32)


def _streaks(fine: Array, fine_t: Array) -> tuple[Array, Array]:
    """How much lighter, and how much darker, than beside it what is narrow is, beyond what is so in the target."""
    wide = np.ones((round(len(fine) * STREAK) | 1,) * 2, np.uint8)
    light, dark = (
        cv2.max(cv2.morphologyEx(fine, hat, wide) - cv2.dilate(cv2.morphologyEx(fine_t, hat, wide), wide) - FAINTEST, 0)
        for hat in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)
    )
    return light, dark


def as_left(matched: Array, made: Array, target: Array) -> Array:
    """The ``matched`` result, but the target where the network ``made`` no other picture of it: hands and masks that it
    left, or gave back, need no matching. Crops (S, S, 3) on the 0..255 scale."""
    small = max(8, len(target) // SHRINK)
    apart = cv2.resize(cv2.absdiff(made, target), (small, small), interpolation=cv2.INTER_AREA).max(2)
    share = ramp(cv2.GaussianBlur(apart, (0, 0), small * LIGHT_SIGMA), *LEFT)
    if share.min() == 1:
        return matched
    change = cv2.multiply(cv2.subtract(matched, target), _grey(enlarged(share, target)))
    return np.asarray(cv2.add(target, change), np.float32)


def _level(ratio: Array, skin: Array) -> np.float32:
    """The mean of ``ratio`` over the skin, in which what is far off counts less: a stain says nothing of it."""
    level = np.float32(0)
    for reach in (np.inf, APART[0], APART[0] / 2):
        off = (ratio - level).clip(-reach, reach) * skin
        level += np.float32(float(off.sum()) / max(1.0, float(skin.sum())))
    return level


def _useless(apart: Array, plain: Array, temples: Array) -> Array:
    """Where, in the ``plain`` parts, the result is too far ``apart`` in light or the ``temples`` are far too dark, and
    a little around it; 0..1."""
    side = len(apart)
    stained = cv2.max(ramp(np.abs(apart) * plain, *APART), ramp(apart * temples, *SHADED))
    wrong = cv2.dilate(stained, np.ones((2 * round(side / 32) + 1,) * 2))
    return np.asarray(cv2.GaussianBlur(wrong, (0, 0), side * LIGHT_SIGMA) * cv2.max(plain, temples), np.float32)


def enlarged(small: Array, picture: Array) -> Array:
    """A map (s, s) or (s, s, C) as large as the picture."""
    return np.asarray(cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _grey(values: Array) -> Array:
    """The same for three channels, which OpenCV multiplies three times as fast as numpy multiplies by one."""
    return np.asarray(cv2.cvtColor(values, cv2.COLOR_GRAY2RGB), np.float32)


def ramp(x: Array, low: float, high: float) -> Array:
    """0 up to ``low``, 1 from ``high`` on, smooth between."""
    t = ((x - low) / (high - low)).clip(0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
