"""Jobs one after the other on one loaded swapper, and a table of what became of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fsvideo.options import SwapOptions
from fsvideo.types import FsvideoError

if TYPE_CHECKING:
    from fsvideo.console import Terminal


@dataclass(frozen=True)
class Outcome:
    """What became of a job, as a row of the table at the end."""

    options: SwapOptions
    state: str  # done, nobody found, would be done, done before, failed
    frames: int = 0
    faces: int = 0
    seconds: float = 0.0
    reason: str = ""  # where it failed

    @property
    def row(self) -> list[str]:
        """input, output, frames, faces, time, state."""
        ran = self.state not in ("failed", "done before")
        figures = [str(self.frames), str(self.faces), f"{self.seconds:.1f} s"] if ran else ["", "", ""]
        return [self.options.input.name, str(self.options.output), *figures, self.state]


def _idle(one: SwapOptions) -> Iterator[str]:
    """What was asked for and does nothing, as something else was asked for."""
    plain = one.model == "warp"
    if one.refine_strength != 1 and (plain or not one.refine):
        yield f"--refine-strength does nothing with {'--model warp' if plain else '--no-refine'}"
    if plain and any(look.strength != 1 for look in (one.look, *(part.look for part in one.parts))):
        yield "--strength does nothing with --model warp"


def run_jobs(
    jobs: list[SwapOptions], files: list[Path], listed: bool, dry_run: bool, as_json: bool, terminal: Terminal
) -> bool:
    """Run every job on one loaded swapper. True if all went well.

    ``listed``: they are a list, if only of one: one that fails is reported and the rest go on, with a table at the end.
    ``files``: what else the command has read.
    """
    from fsvideo import heap
    from fsvideo.places import apart

    apart(jobs, files)
    with heap.loading():
        import torch
        from rich.markup import escape

        from fsvideo.networks import pick_device
        from fsvideo.outputs import check_names, finished_before, not_made
        from fsvideo.pipeline import check_input
        from fsvideo.pipeline import swap as run
        from fsvideo.summary import as_dict, found_rows, made_rows
        from fsvideo.swapper import load_swapper

    threads = jobs[0].threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    heap.keep()
    if not listed:
        info = check_input(jobs[0].input, jobs[0].no_limits, jobs[0].keep_going)
        check_names(jobs[0], info, write=not dry_run)
    one, device = jobs[0], pick_device(jobs[0].device)
    batch = one.batch_size
    swapper = load_swapper(one.model, one.refine, device, one.refine_strength, one.backend, terminal.note, batch)
    for flags in _idle(one):
        terminal.note(flags)
    results: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []
    for options in jobs:
        options = replace(options, threads=threads)
        try:
            goes_to = f" [dim]to[/] {escape(str(options.output))}" if listed else ""
            terminal.print(f"[bold]{escape(options.input.name)}[/]{goes_to}")
            if finished_before(options):
                terminal.note(f"{options.output} is there already: left as it is (--overwrite makes it anew)")
                lacking = not_made(options)
                for path in lacking:
                    terminal.note(f"{path} was NOT made: it needs a run of its own, which --overwrite asks for")
                said = {"input": str(options.input), "output": str(options.output), "skipped": True}
                results.append({**said, "not_made": [str(path) for path in lacking]} if lacking else said)
                outcomes.append(Outcome(options, "done before"))
                continue
            with terminal.live():
                result = run(options, swapper, terminal, write=not dry_run)
            terminal.table(found_rows(result) + made_rows(result, options, dry_run))
            results.append(as_dict(result))
            state = "would be done" if dry_run else "done" if result.swapped_faces else "nobody found"
            outcomes.append(Outcome(options, state, result.frames, result.swapped_faces, result.seconds))
        except FsvideoError as error:
            if not listed:
                raise
            terminal.error(error)
            results.append({"input": str(options.input), "error": str(error), "hint": error.hint})
            outcomes.append(Outcome(options, "failed", reason=f"{options.output.name} was not made: {error}"))
    failed = [one.reason for one in outcomes if one.state == "failed"]
    if listed:
        terminal.listing(["input", "output", "frames", "faces", "time", "state"], [one.row for one in outcomes])
        terminal.print(f"{len(jobs) - len(failed)} of {len(jobs)} done, {len(failed)} failed")
        for reason in failed:
            terminal.note(reason)
    if as_json:
        click.echo(json.dumps(results if listed else results[0]))
    return not failed
