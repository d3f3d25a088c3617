"""Which backend to take, and a network on it: its graph out of the cache, or made and tried on first use."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fsvideo.backends import cache, graph
from fsvideo.backends.runtimes import RUNTIMES, Engine, compiled, compiling, describe, installed, needs, restart, start
from fsvideo.types import FsvideoError

BACKENDS = ("torch", *RUNTIMES)


@dataclass(frozen=True)
class Network:
    """What is exported: ``net`` takes ``inputs``, target (N, 3, size, size) and embeddings (N, z_id).

    ``about``: its sizes, as text. ``meta`` goes into exported files.
    """

    net: nn.Module
    inputs: Sequence[str]
    size: int
    z_id: int
    about: str
    meta: Mapping[str, str]


def pick(wanted: str, device: str) -> str:
    """The backend for ``auto``: the fastest that is installed, PyTorch on anything but a CPU. Others stay as they are.

    Raises FsvideoError for one that is not for this device.
    """
    if wanted == "auto":
        return next((name for name in RUNTIMES if device == "cpu" and not missing(name)), "torch")
    if wanted not in BACKENDS:
        raise FsvideoError(f"no backend is called {wanted}", f"known: auto, {', '.join(BACKENDS)}")
    if wanted != "torch" and device != "cpu":
        raise FsvideoError(f"the backend {wanted} runs on the CPU, not on {device}", "add --device cpu, or take torch")
    return wanted


def missing(backend: str) -> list[str]:
    """The packages that it lacks here."""
    needed = () if backend == "torch" else (RUNTIMES[backend].package, "onnx", "onnxscript")
    return [package for package in needed if not installed(package)]


def exported(network: Network, backend: str, note: Callable[[str], None]) -> bytes:
    """``network`` as an ONNX file for RUNTIMES[backend], from the cache; at first it is made, and compared there.

    Raises FsvideoError where something is not installed, or the runtime does not make what PyTorch makes.
    """
    if lacking := missing(backend):
        raise needs(lacking, f"the backend {backend}")
    runtime = describe(backend)

    def fresh() -> bytes:
        note(f"exporting the network for {RUNTIMES[backend].package}, this once")
        content = graph.make(network.net, network.inputs, network.size, network.z_id, network.meta)
        engine = start(backend, content, torch.get_num_threads(), exact=True)
        graph.difference(network.net, network.inputs, engine, network.size, network.z_id)
        return content

    about = json.dumps([network.about, dict(network.meta), runtime])
    return cache.kept(graph.fingerprint(network.net, about), fresh, note)


def ready(network: Network, backend: str, note: Callable[[str], None]) -> Engine:
    """``network`` on RUNTIMES[backend], with torch.get_num_threads() threads. Raises FsvideoError as ``exported``.

    What the runtime compiles the graph to is kept as well, where it can be: that halves the time until it is ready.
    """
    threads = torch.get_num_threads()
    machine = compiling(backend)
    if not machine:
        return start(backend, exported(network, backend, note), threads)
    about = json.dumps([network.about, dict(network.meta), describe(backend), machine, threads])
    key = graph.fingerprint(network.net, about)
    made = cache.kept(key, lambda: compiled(backend, exported(network, backend, note), threads), note)
    try:
        return restart(backend, made, threads)
    except FsvideoError:  # another build of the runtime, or another processor behind the same name
        return start(backend, exported(network, backend, note), threads)
