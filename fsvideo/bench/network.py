"""The network by itself: how much it computes, and how fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fsvideo.bench.ceilings import best_time
from fsvideo.meter import StageMeter
from fsvideo.swapper import AEISwapper, Swapper
from fsvideo.types import Identity

_FIRST = "first network"


def operations(swapper: Swapper) -> float:
    """Floating-point operations a face (two for each multiply-accumulate), as PyTorch would do them."""
    work = _work(replace(swapper, engine=None) if isinstance(swapper, AEISwapper) else swapper, 1)
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def seconds(swapper: Swapper, batch: int) -> float:
    """A face, in batches of so many, with as many threads as torch is set to."""
    return best_time(_work(swapper, batch), 1.0) / batch


def _work(swapper: Swapper, batch: int) -> Callable[[], object]:
    """One call of the swapper, on noise."""
    rng = np.random.default_rng(0)
    side = swapper.spec.size
    crops = rng.uniform(0, 255, (batch, side, side, 3)).astype(np.float32)
    z = swapper.embed(crops[:1])
    return lambda: swapper.swap(crops, [Identity(z[0], ())] * batch, z.repeat(batch, 0))


@contextmanager
def told_apart(swapper: Swapper, meter: StageMeter) -> Iterator[None]:
    """In this block the stage "network" is AEI-Net alone, and what HEAR-Net and its inputs take is "refine".

    On another backend than PyTorch both are one graph, and one stage.
    """
    net = getattr(swapper, "net", None)
    if not isinstance(net, nn.Module) or getattr(swapper, "refiner", None) is None:
        yield
        return
    opened: list[AbstractContextManager[None]] = []

    def begin(*_: object) -> None:
        opened.append(meter.stage(_FIRST))
        opened[-1].__enter__()

    def end(*_: object) -> None:
        opened.pop().__exit__(None, None, None)

    hooks = [net.register_forward_pre_hook(begin), net.register_forward_hook(end)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        if _FIRST in meter.costs:
            meter.costs["refine"] = meter.costs.pop("network")
            meter.costs["network"] = meter.costs.pop(_FIRST)
