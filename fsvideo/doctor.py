"""`fsvideo doctor`: what is installed, what works here, what is missing and how to get it."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import os
import platform
from dataclasses import dataclass

from fsvideo import weights
from fsvideo.types import FsvideoError

# What mediapipe loads when it starts, and the Debian package that brings it.
_SYSTEM_LIBRARIES = {"EGL": "libegl1", "GLESv2": "libgles2", "GL": "libgl1"}
_PACKAGES = (
    "torch",
    "mediapipe",
    "opencv-contrib-python",
    "av",
    "numpy",
    "safetensors",
    "click",
    "rich",
    "ffmpeg-python",
    "c2pa-python",
    "cryptography",
)
_EXTRAS = {"ray": "cluster", "tensorboard": "train"}


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``optional``: its absence does not stop the main job."""

    name: str
    ok: bool
    found: str
    hint: str = ""
    optional: bool = False


def checks() -> list[Finding]:
    """Look at everything; nothing is changed."""
    findings = [
        Finding("fsvideo", True, _version("fsvideo") or "from a checkout, not installed"),
        Finding(
            "python",
            True,
            f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        ),
    ]
    findings += [_package(name) for name in _PACKAGES]
    findings += [_library(name, package) for name, package in _SYSTEM_LIBRARIES.items()]
    findings += [_opencv(), _devices(), _ffmpeg(), *_encoders(), _face_finder(), _signing()]
    findings += [
        Finding(f"weights {c.name}", c.state == "ok", c.state, "" if c.state == "ok" else "reinstall fsvideo")
        for c in weights.verify()
    ]
    findings += _backends()
    findings += [
        Finding(
            name,
            _version(name) is not None,
            _version(name) or "not installed",
            f"pip install 'fsvideo[{extra}]'" if _version(name) is None else "",
            True,
        )
        for name, extra in _EXTRAS.items()
    ]
    return findings


def _backends() -> list[Finding]:
    """What `fsvideo swap --backend` can take; what is installed is loaded."""
    import torch

    from fsvideo.backends.ready import BACKENDS, missing, pick
    from fsvideo.backends.runtimes import EXTRA, describe

    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    taken, findings = pick("auto", "gpu" if gpu else "cpu"), []
    for name in BACKENDS:
        title = f"backend {name}"
        if lacking := missing(name):
            findings.append(Finding(title, False, f"{', '.join(lacking)} not installed", EXTRA, optional=True))
            continue
        try:
            findings.append(Finding(title, True, describe(name) + (": auto takes it here" if name == taken else "")))
        except FsvideoError as error:
            findings.append(Finding(title, False, str(error), "reinstall it, or swap with another --backend", True))
    return findings


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Finding:
    version = _version(name)
    return Finding(name, version is not None, version or "not installed", "" if version else "pip install fsvideo")


def _library(name: str, package: str) -> Finding:
    if platform.system() != "Linux":
        return Finding(f"lib{name}", True, "part of the system")
    path = ctypes.util.find_library(name)
    return Finding(f"lib{name}", path is not None, path or "not found", "" if path else f"apt-get install {package}")


def _opencv() -> Finding:
    """Two OpenCV wheels in one environment overwrite each other's files."""
    wheels = [n for n in ("opencv-python", "opencv-contrib-python", "opencv-python-headless") if _version(n)]
    clash = len(wheels) > 1
    hint = "pip uninstall all of them, then pip install --force-reinstall opencv-contrib-python" if clash else ""
    return Finding("one OpenCV", not clash, ", ".join(wheels) or "none", hint)


def _devices() -> Finding:
    import torch

    found = [f"cpu ({torch.get_num_threads()} threads)"]
    if torch.cuda.is_available():
        found += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return Finding("devices", True, ", ".join(found))


def _ffmpeg() -> Finding:
    from fsvideo.media import ffmpeg

    try:
        return Finding("ffmpeg program", True, str(ffmpeg.find()))
    except FsvideoError as error:
        return Finding("ffmpeg program", False, "not found", error.hint, optional=True)


def _encoders() -> list[Finding]:
    import av

    from fsvideo.media.write import ENCODERS

    there = {name: encoder.codec in av.codecs_available for name, encoder in ENCODERS.items()}
    missing = [name for name, ok in there.items() if not ok]
    hint = "reinstall av from a wheel that carries FFmpeg" if missing else ""
    return [Finding("encoders", not missing, ", ".join(n for n, ok in there.items() if ok), hint)]


def _face_finder() -> Finding:
    """Load the landmarker for real: only that shows that its libraries are there."""
    try:
        from fsvideo.networks import load_finder

        load_finder().close()
    except (OSError, RuntimeError, ImportError, FsvideoError) as error:
        return Finding("face finder", False, str(error).splitlines()[0], "install the libraries above")
    return Finding("face finder", True, "loads")


def _signing() -> Finding:
    """Which certificate manifests are signed with; none is made here."""
    from fsvideo.media import certificate

    try:
        import c2pa

        found, sdk = certificate.kept(), c2pa.sdk_version()
    except (OSError, ImportError, RuntimeError) as error:
        return Finding("C2PA signing", False, str(error).splitlines()[0], "or swap with --provenance metadata")
    except FsvideoError as error:
        return Finding("C2PA signing", False, str(error), error.hint)
    if found is None:
        return Finding("C2PA signing", True, f"c2pa {sdk}; a certificate will be made in {certificate.folder()}")
    return Finding("C2PA signing", True, f"c2pa {sdk}; {found.name}, until {found.until:%Y-%m-%d}, {found.path}")
