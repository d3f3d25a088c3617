"""`fsvideo swap`."""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import click

from fsvideo.cli.batch import run_jobs
from fsvideo.cli.common import BACKEND, COMPUTE, FILE, MODEL, REFERENCE, REFINE, SECONDS, TUNE, Number, errors, stack
from fsvideo.cli.jobs import jobs_of, read_jobs
from fsvideo.cli.look import LOOK, take_look
from fsvideo.cli.settings import CONFIG, MODE, Command, used
from fsvideo.options import Part, Region, SwapOptions
from fsvideo.places import marks

ENCODERS = ("x264", "x265", "vp9", "av1", "prores", "ffv1")


class _Map(click.ParamType):
    """``SOURCE=REFERENCE``, two files; either name may hold an equals sign."""

    name = "map"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, Path]:
        pieces = str(value).split("=")
        pairs = [("=".join(pieces[:at]), "=".join(pieces[at:])) for at in range(1, len(pieces))]
        for source, reference in pairs:
            if source and reference and Path(source).exists() and Path(reference).exists():
                return Path(source), Path(reference)
        if len(pairs) == 1 and all(pairs[0]):
            gone = next(name for name in pairs[0] if not Path(name).exists())
            self.fail(f"there is no {gone}", param, ctx)
        self.fail(f"{value!r} is not SOURCE=REFERENCE, two files that exist", param, ctx)


class _Region(click.ParamType):
    """``X,Y,W,H`` in parts of the frame."""

    name = "region"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Region:
        try:
            return Region(*(float(part) for part in str(value).split(",")))
        except (TypeError, ValueError):
            self.fail(
                f"{value!r} is not X,Y,W,H in parts of the frame, such as 0.5,0,0.5,1 for its right half", param, ctx
            )


@click.command(cls=Command, short_help="Swap a face in videos, images or folders of images.")
@stack(
    click.option(
        "--source",
        "sources",
        type=FILE,
        multiple=True,
        metavar="FACE",
        help="Photo, video or folder that shows the face to put in; repeat it to average several of one person.",
    ),
    click.option(
        "--input",
        "inputs",
        type=FILE,
        multiple=True,
        metavar="PATH",
        help="Video, image, folder of images (one clip) or folder of videos (each of them) to edit; repeatable.",
    ),
    click.option(
        "--output",
        type=FILE,
        metavar="PATH",
        help="Result; for several inputs an existing folder.  [default: INPUT-swapped.EXT beside the input]",
    ),
    click.option(
        "--jobs",
        "job_list",
        type=FILE,
        metavar="FILE.csv",
        help="In place of --source, --map, --people, --input and --output: a table with a job on each line, see above.",
    ),
    click.option(
        "--faces",
        type=click.Choice(["largest", "all", "reference"]),
        default="largest",
        show_default=True,
        help="Whom to swap: the person who fills most of the picture (less in near profile), everyone, or the one in "
        "--reference.",
    ),
    REFERENCE,
    click.option(
        "--people",
        type=FILE,
        metavar="FILE.toml",
        help="Whom to swap with whose face, as `fsvideo faces` lists the people of a clip; in place of --source.",
    ),
    click.option(
        "--map",
        "pairs",
        type=_Map(),
        multiple=True,
        metavar="SOURCE=REFERENCE",
        help="Put the face of SOURCE on the person that the picture REFERENCE shows; repeatable, in place of --source.",
    ),
    click.option(
        "--region",
        type=_Region(),
        metavar="X,Y,W,H",
        help="Only faces whose middle is in this part of the frame: left, top, width and height, each 0 to 1.",
    ),
    click.option(
        "--start", type=SECONDS, metavar="TIME", help="Begin here (seconds or h:mm:ss); the output begins here too."
    ),
    click.option("--end", type=SECONDS, metavar="TIME", help="End here."),
    CONFIG,
    MODE,
    MODEL,
    REFINE,
    click.option(
        "--refine-strength",
        type=Number(0, 1),
        default=1.0,
        show_default=True,
        help="How much of HEAR-Net's repair is taken.",
    ),
    TUNE,
    click.option(
        "--detect-size",
        type=click.IntRange(320, 3840),
        default=1280,
        show_default=True,
        metavar="PIXELS",
        help="Faces are looked for in pictures reduced to this longer side: more finds smaller ones, and takes longer.",
    ),
    LOOK,
    click.option(
        "--smooth",
        type=Number(0, 5),
        default=0.5,
        show_default=True,
        metavar="SECONDS",
        help="Steady points, mask, colour, sharpness and the face itself over this time; 0: off.",
    ),
    click.option(
        "--encoder",
        type=click.Choice(ENCODERS),
        help="Video encoder.  [default: what suits container and input, x264 for MP4]",
    ),
    click.option(
        "--quality",
        type=click.IntRange(0, 100),
        metavar="N",
        help="The encoder's own scale (crf for x264, lower is better).  [default: visually lossless: x264 12, "
        "x265 16, vp9 18, av1 20]",
    ),
    click.option(
        "--preset",
        metavar="NAME",
        help="The encoder's speed preset (x264: ultrafast to veryslow); veryfast, medium and slow work for all "
        "that have any.  [default: faster for x264, medium for the others]",
    ),
    click.option(
        "--audio",
        type=click.Choice(["copy", "none"]),
        default="copy",
        show_default=True,
        help="Copy the sound bit for bit, or leave it out.",
    ),
    COMPUTE,
    BACKEND,
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Where the frames of a video are swapped: here, or in segments on a Ray cluster: the one RAY_ADDRESS "
        "names, or that runs here, or else one of this machine's cores. A worker takes --threads cores, 2 where "
        "nothing is said.",
    ),
    click.option(
        "--report",
        type=FILE,
        metavar="FILE",
        help="Write what happened to every frame: .html is a page with pictures and plots, .json is data.",
    ),
    click.option("--compare", type=FILE, metavar="FILE", help="Also make a reel of input and output together."),
    click.option(
        "--compare-layout",
        type=click.Choice(["side", "wipe", "stack"]),
        default="side",
        show_default=True,
        help="How --compare shows them: before left and after right, an edge that sweeps from one to the other, or "
        "before above after.",
    ),
    click.option(
        "--preview", type=FILE, metavar="FILE.png", help="Make only a sheet of frames, before and after, and no video."
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Find all faces, tune to one person and swap a few frames; say what would be done, how long it would take "
        "and how much room it needs; write nothing.",
    ),
    click.option(
        "--no-face",
        type=click.Choice(["copy", "fail"]),
        default="copy",
        show_default=True,
        help="When nobody is found in the input: copy it, or fail.",
    ),
    click.option(
        "--provenance",
        type=click.Choice(["c2pa", "metadata"]),
        default="c2pa",
        show_default=True,
        help="How the output says that it is AI-edited: a signed manifest where it can hold one, or tags only.",
    ),
    click.option(
        "--certificate",
        type=FILE,
        metavar="FILE.pem",
        help="Sign the manifest with this.  [default: one made on first use]",
    ),
    click.option("--key", type=FILE, metavar="FILE.pem", help="The private key of --certificate."),
    click.option("--resume", is_flag=True, help="Go on from what a run that broke off has finished."),
    click.option(
        "--segment",
        type=Number(0.1),
        default=10,
        show_default=True,
        metavar="SECONDS",
        help="Footage between two points from which --resume can go on.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
    click.option("--keep-going", is_flag=True, help="Skip damaged parts of an input instead of failing."),
    click.option(
        "--no-limits",
        is_flag=True,
        help="Take an --input however large it claims to be.  [default: images up to 134, videos up to 67 megapixels; "
        "24 hours; 64 streams]",
    ),
    click.option("--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("--json", "as_json", is_flag=True, help="Print one machine-readable result to stdout."),
)
def swap(
    sources: tuple[Path, ...],
    inputs: tuple[Path, ...],
    output: Path | None,
    people: Path | None,
    pairs: tuple[tuple[Path, Path], ...],
    job_list: Path | None,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    **rest: Any,
) -> None:
    """Put the face of --source on a person in --input, or with --people or --map several faces on several people.

    \b
    fsvideo swap --source face.jpg --input clip.mp4
    fsvideo swap --source a.jpg --source b.jpg --input clip.mp4 --output out.mp4 --compare reel.mp4
    fsvideo swap --map ann.jpg=she.png --map bob.jpg=he.png --input clip.mp4
    fsvideo swap --people people.toml --input clip.mp4
    fsvideo swap --source face.jpg --input clips/ --output swapped/ --resume
    fsvideo swap --jobs jobs.csv --resume

    Many inputs are done one after the other; those that fail are listed at the end, with exit code 1, and --resume
    leaves out what is finished. The first line of a --jobs file names its columns: source (several between
    semicolons) and input are needed; output, reference, start and end may follow, or be empty. Paths are relative to
    the file, and a wrong line is named before any work begins. All other options hold for every job.
    """
    given = [name for name, value in (("source", sources), ("map", pairs), ("people", people)) if value]
    if job_list is not None and (given or inputs or output is not None):
        raise click.UsageError("--jobs stands in place of --source, --map, --people, --input and --output")
    if job_list is None and (len(given) != 1 or not inputs):
        raise click.UsageError(
            "--source FACE and --input PATH are needed; --map, --people or --jobs may stand in place of --source"
            if len(given) < 2
            else "give one of --source, --map and --people, not several"
        )
    if given and not sources and (rest["faces"] != "largest" or rest["reference"] is not None):
        raise click.UsageError(f"--faces and --reference go with --source: --{given[0]} names the people itself")
    if any(marks(one) & marks(other) for (_, one), (_, other) in combinations(pairs, 2)):
        raise click.UsageError("two --map name the same REFERENCE")
    if rest["preview"] is not None and rest["preview"].suffix.lower() != ".png":
        raise click.UsageError(f"--preview is a PNG picture: {rest['preview'].name} must end in .png")
    if rest["preview"] is not None and dry_run:
        raise click.UsageError("--dry-run and --preview do not go together: give one of them")
    single = [rest[name] for name in ("report", "compare", "preview")]
    if (len(inputs) > 1 or job_list is not None) and any(single):
        raise click.UsageError("--report, --compare and --preview go with one --input")
    if rest["faces"] == "reference" and rest["reference"] is None and job_list is None:
        raise click.UsageError("--faces reference needs --reference IMAGE")
    if rest["reference"] is not None and rest["faces"] != "reference":
        raise click.UsageError("--reference goes with --faces reference")
    if (rest["certificate"] is None) != (rest["key"] is None):
        raise click.UsageError("--certificate and --key go together")
    if rest["certificate"] is not None and rest["provenance"] == "metadata":
        raise click.UsageError("--certificate goes with --provenance c2pa")
    if rest["start"] is not None and rest["end"] is not None and rest["end"] <= rest["start"]:
        raise click.UsageError("--end must come after --start")
    with errors(quiet) as terminal:
        look = take_look(rest)
        files = used(click.get_current_context())
        for path in files:
            terminal.note(f"settings from {path}")
        from fsvideo.people_file import read

        parts = tuple(Part(str(reference), (source,), (reference,), look=look) for source, reference in pairs)
        if people is not None:
            parts = read(people, look)
        if job_list is not None:
            jobs = read_jobs(job_list, SwapOptions((), Path(), Path(), look=look, **rest))
        else:
            jobs = jobs_of(sources, inputs, output, terminal, parts=parts, look=look, **rest)
        listed = job_list is not None or len(jobs) > 1 or jobs[0].input != inputs[0]
        if listed and any(single):
            raise click.UsageError("--report, --compare and --preview go with one input")
        files += [path for path in (people, job_list) if path is not None]
        if not run_jobs(jobs, files, listed, dry_run, as_json, terminal):
            sys.exit(1)
