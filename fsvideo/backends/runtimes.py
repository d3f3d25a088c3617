"""ONNX Runtime and OpenVINO: from an ONNX graph's bytes to something that runs it on the CPU."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from fsvideo.flow import insisted
from fsvideo.types import Array, FsvideoError

Runner: TypeAlias = Callable[..., list[Array]]
"""A graph's inputs, arrays of one length N, -> its outputs, alike."""
T = TypeVar("T")
EXTRA = "pip install 'fsvideo[cpu]'"  # brings all of it


@dataclass(frozen=True)
class Cores:
    """``threads`` compute ``at_once`` inputs of a batch side by side, each by its share of them.

    Side by side takes two thirds of the time of one after the other by all threads, which wait for each other at every
    layer; who has one input at a time asks for 1, and has it sooner.
    """

    threads: int
    at_once: int = 1

    @property
    def streams(self) -> int:
        """How many inputs can be computed side by side."""
        return max(1, min(self.threads, self.at_once))


@dataclass(frozen=True)
class Engine:
    """A graph that is ready to run. ``label``: runtime, version and precision, on which results depend."""

    label: str
    run: Runner


@dataclass(frozen=True)
class Runtime:
    """A package, ``build(graph, cores, exact)`` for an engine, and ``precision(exact)`` it computes in here.

    ``exact``: in single precision whatever the processor can do. ``one_by_one``: it gives a graph one input at a time.
    ``compiling``: for one that starts sooner from what it made of a graph before.
    """

    package: str
    build: Callable[[bytes | Path, Cores, bool], Runner]
    precision: Callable[[bool], str]
    one_by_one: bool = False
    compiling: Compiling | None = None


@dataclass(frozen=True)
class Compiling:
    """``make(graph, cores, exact, shape)`` for what can be kept and ``load(made, cores, exact)``.

    It is good on a ``machine()`` alike only. ``shape``: of the graph's one input, where not as the graph has it.
    """

    make: Callable[[bytes, Cores, bool, Sequence[int]], bytes]
    load: Callable[[bytes, Cores, bool], Runner]
    machine: Callable[[], str]


def _onnxruntime(graph: bytes | Path, cores: Cores, exact: bool) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores.threads
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # decoder and encoder need the cores too
    source = graph if isinstance(graph, bytes) else os.fspath(graph)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(*inputs: Array) -> list[Array]:
        made: list[Array] = session.run(None, dict(zip(names, inputs, strict=True)))
        return made

    return run


def _openvino(graph: bytes | Path, cores: Cores, exact: bool) -> Runner:
    return _openvino_runner(_openvino_compiled(graph, cores, exact), cores)


def _openvino_compiled(graph: bytes | Path, cores: Cores, exact: bool, shape: Sequence[int] = ()) -> Any:
    core = _core()
    # A graph of a fixed batch takes half the time of one for any batch.
    model = core.read_model(graph)
    model.reshape({port: list(shape) or [1, *list(port.get_partial_shape())[1:]] for port in model.inputs})
    return core.compile_model(model, "CPU", _openvino_settings(cores, exact))


def _openvino_settings(cores: Cores, exact: bool) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[_half_where_it_is_fast(exact)],
        "INFERENCE_NUM_THREADS": cores.threads,
        "NUM_STREAMS": cores.streams,
        "ENABLE_CPU_PINNING": False,  # decoder and encoder need the cores too
    }


def _openvino_runner(compiled: Any, cores: Cores) -> Runner:
    # More than are computed side by side: the next one begins without waiting for Python.
    requests = [compiled.create_infer_request() for _ in range(max(1, min(cores.at_once, 2 * cores.streams)))]

    def run(*inputs: Array) -> list[Array]:
        each: list[list[Array]] = []

        def take(k: int) -> None:
            request = requests[k % len(requests)]
            request.wait()
            each.append([np.array(request.get_tensor(port).data) for port in compiled.outputs])

        count = len(inputs[0])
        for k in range(count):
            if k >= len(requests):
                take(k - len(requests))
            request, part = requests[k % len(requests)], [x[k : k + 1] for x in inputs]
            if len(requests) == 1:
                request.infer(part)  # in this thread: waking another takes time
            else:
                request.start_async(part)
        for k in range(max(0, count - len(requests)), count):
            take(k)
        return [np.concatenate(rows) for rows in zip(*each, strict=True)]

    return run


def _openvino_load(made: bytes, cores: Cores, exact: bool) -> Runner:
    compiled = _core().import_model(io.BytesIO(made), "CPU", _openvino_settings(cores, exact))
    return _openvino_runner(compiled, cores)


def _openvino_machine() -> str:
    core = _core()
    return f"{core.get_property('CPU', 'FULL_DEVICE_NAME')} {core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')}"


@functools.cache
def _core() -> Any:
    """The one Core of the process, never freed.

    Its CPU plugin gives the thread that makes it another stack for signal handlers. When two of them are freed in the
    order they were made, the thread is left with a stack that is gone, and the next Ctrl-C is a segmentation fault.
    """
    import openvino

    return openvino.Core()


def _half_where_it_is_fast(exact: bool) -> str:
    import torch

    from fsvideo.processor import has_bfloat16

    able = "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") and has_bfloat16(torch.device("cpu"))
    return "bfloat16" if able and not exact else "float32"


# The fastest first.
RUNTIMES: dict[str, Runtime] = {
    "openvino": Runtime(
        "openvino",
        _openvino,
        _half_where_it_is_fast,
        one_by_one=True,
        compiling=Compiling(
            lambda *graph: _openvino_compiled(*graph).export_model().getvalue(),
            _openvino_load,
            _openvino_machine,
        ),
    ),
    "onnx": Runtime("onnxruntime", _onnxruntime, lambda exact: "float32"),
}


def start(name: str, graph: bytes | Path, cores: Cores, exact: bool = False) -> Engine:
    """The engine of RUNTIMES[name]. Raises FsvideoError where it is not installed, or takes no such graph."""
    return _loaded(name, lambda runtime: Engine(_label(runtime, exact), runtime.build(graph, cores, exact)))


def compiling(name: str) -> str:
    """What compiled graphs of RUNTIMES[name] depend on besides the graph; empty where it keeps none."""
    return _loaded(name, lambda runtime: runtime.compiling.machine() if runtime.compiling else "")


def compiled(name: str, graph: bytes, cores: Cores, exact: bool = False, shape: Sequence[int] = ()) -> bytes:
    """What RUNTIMES[name], which is ``compiling``, makes of a graph here. ``shape``: see ``Compiling``."""
    return _loaded(name, lambda runtime: _compiling(runtime).make(graph, cores, exact, shape))


def restart(name: str, made: bytes, cores: Cores, exact: bool = False) -> Engine:
    """The engine from what ``compiled`` made. Raises FsvideoError as ``start``."""
    return _loaded(name, lambda runtime: Engine(_label(runtime, exact), _compiling(runtime).load(made, cores, exact)))


def _compiling(runtime: Runtime) -> Compiling:
    assert runtime.compiling is not None
    return runtime.compiling


def describe(name: str, exact: bool = False) -> str:
    """The version of RUNTIMES[name], or PyTorch, and its precision here. Raises FsvideoError where it does not load."""
    if name == "torch":
        return f"torch {version('torch')}"
    return _loaded(name, lambda runtime: _label(runtime, exact))


def precision(name: str, exact: bool = False) -> str:
    """What RUNTIMES[name] computes in here: float32 or bfloat16. Raises FsvideoError as ``start``."""
    return _loaded(name, lambda runtime: runtime.precision(exact))


def _label(runtime: Runtime, exact: bool) -> str:
    release = importlib.import_module(runtime.package).__version__.partition("-")[0]  # OpenVINO's names its build, too
    return f"{runtime.package} {release}, {runtime.precision(exact)}"


def _loaded(name: str, use: Callable[[Runtime], T]) -> T:
    runtime = RUNTIMES[name]
    if not installed(runtime.package):
        raise needs([runtime.package], f"the backend {name}")
    try:
        with insisted():
            return use(runtime)
    except Exception as error:  # the runtimes raise kinds of their own, and loading one can fail in the system
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise FsvideoError(f"{runtime.package} cannot start: {line}", "swap with --backend torch") from error


def installed(package: str) -> bool:
    """Whether there is such a package; it is not loaded."""
    return importlib.util.find_spec(package) is not None


def needs(packages: Sequence[str], what: str) -> FsvideoError:
    """The error to raise for packages that are not installed."""
    return FsvideoError(f"{what} needs {' and '.join(packages)}, which is not installed", EXTRA)


def write_openvino(graph: bytes, xml: Path, meta: dict[str, str]) -> None:
    """The same graph as OpenVINO's own pair of files, ``xml`` and the .bin beside it, in single precision."""
    import openvino

    model = _core().read_model(graph)
    for name, value in meta.items():
        model.set_rt_info(value, ["fsvideo", name])
    openvino.save_model(model, xml, compress_to_fp16=False)
