"""Which backend to take, and a network on it: its graph out of the cache, or made and tried on first use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch

from fsvideo.backends import cache, graph
from fsvideo.backends.graph import Form, Network
from fsvideo.backends.runtimes import (
    RUNTIMES,
    Cores,
    Engine,
    compiled,
    compiling,
    describe,
    installed,
    needs,
    precision,
    restart,
    start,
)
from fsvideo.types import FsvideoError

BACKENDS = ("torch", *RUNTIMES)
ANY = Form()


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


def exported(network: Network, backend: str, note: Callable[[str], None], form: Form = ANY) -> bytes:
    """``network`` as an ONNX file for RUNTIMES[backend], from the cache; at first it is made, and compared there.

    Raises FsvideoError where something is not installed, or the runtime does not make what PyTorch makes.
    """
    if lacking := missing(backend):
        raise needs(lacking, f"the backend {backend}")
    runtime = describe(backend)

    def fresh() -> bytes:
        note(f"exporting the network for {RUNTIMES[backend].package}, this once")
        content = graph.make(network, form)
        engine = start(backend, content, Cores(torch.get_num_threads()), exact=True)
        graph.difference(network, engine)
        return content

    about = json.dumps([network.about, dict(network.meta), runtime, asdict(form)])
    return cache.kept(graph.fingerprint(network.net, about), fresh, note)


def ready(
    network: Network, backend: str, note: Callable[[str], None], cores: Cores | None = None, exact: bool = False
) -> Engine:
    """``network`` on RUNTIMES[backend]; ``cores`` None: as many threads as PyTorch has. Raises as ``exported``.

    ``exact``: in single precision whatever the processor can do. What the runtime compiles the graph to is kept as
    well, where it can be: that halves the time until it is ready.
    """
    cores = cores or Cores(torch.get_num_threads())
    machine = compiling(backend)
    form = Form(precision(backend, exact) == "float32", RUNTIMES[backend].one_by_one)
    if not machine:
        return start(backend, exported(network, backend, note, form), cores, exact)
    on = [describe(backend, exact), machine, cores.threads, cores.streams]
    about = json.dumps([network.about, dict(network.meta), *on])
    key = graph.fingerprint(network.net, about)
    made = cache.kept(key, lambda: compiled(backend, exported(network, backend, note, form), cores, exact), note)
    try:
        return restart(backend, made, cores, exact)
    except FsvideoError:  # another build of the runtime, or another processor behind the same name
        return start(backend, exported(network, backend, note, form), cores, exact)


def of_shape(graph: bytes, backend: str, shape: Sequence[int], note: Callable[[str], None]) -> Engine:
    """An ONNX graph for an input of this one shape, in single precision and one thread; its compiled form is kept.

    For a RUNTIMES[backend] that is ``compiling``. Raises FsvideoError.
    """
    about = json.dumps([describe(backend, exact=True), compiling(backend), list(shape)])
    key = hashlib.sha256(about.encode() + graph).hexdigest()
    made = cache.kept(key, lambda: compiled(backend, graph, Cores(1), True, shape), note)
    return restart(backend, made, Cores(1), exact=True)
