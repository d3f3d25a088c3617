"""The options that make a Look: how a new face is put in."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from fsvideo.cli.common import Number, stack
from fsvideo.options import LOOK_CHOICES, LOOK_RANGES, Look


def _choice(name: str, text: str, **more: Any) -> Any:
    return click.option(
        f"--{name}", type=click.Choice(LOOK_CHOICES[name]), default=getattr(Look, name), help=text,
        **{"show_default": True, **more},
    )  # fmt: skip


def _range(name: str, text: str) -> Any:
    low, high = LOOK_RANGES[name]
    return click.option(f"--{name}", type=Number(low, high), default=getattr(Look, name), show_default=True, help=text)


LOOK = stack(
    _choice("mask", "Shape of the replaced region."),
    _range("feather", "Width of the mask's soft edge, in parts of the face's width."),
    _range("scale", "Size of the replaced region, relative to the face: grown or shrunk about its middle."),
    _choice(
        "keep",
        "Part of the face that stays the target's own pixels; repeatable.",
        multiple=True,
        show_default=False,
    ),
    _range(
        "strength",
        "How much of the source's identity: 1 is all of it, 0 the target's own face redrawn, above 1 exaggerates.",
    ),
    _choice("color", "Match the face's light and colour to the footage, or keep the network's."),
    _choice("sharpness", "Match the face's fine detail to the footage's, or keep the network's."),
)


def take_look(given: dict[str, Any]) -> Look:
    """The Look that these options ask for; they are taken out of ``given``."""
    return Look(**{field.name: given.pop(field.name) for field in fields(Look)})
