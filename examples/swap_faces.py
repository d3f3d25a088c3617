"""Put Grace Hopper's face on the astronaut: the library in a few lines.

python examples/swap_faces.py
"""

from pathlib import Path

from fsvideo.console import Silent
from fsvideo.pipeline import swap
from fsvideo.swapper import load_swapper, pick_device
from fsvideo.types import SwapOptions

here = Path(__file__).resolve().parent
output = here / "out" / "swap_faces.mp4"
output.parent.mkdir(exist_ok=True)

# What `fsvideo swap` takes as flags are fields here; what is left out has the same default.
options = SwapOptions(source=(here / "grace_hopper.jpg",), input=here / "astronaut.mp4", output=output, overwrite=True)
swapper = load_swapper(options.model, options.refine, pick_device(options.device))
result = swap(options, swapper, Silent())
print(f"{result.swapped_faces} faces in {result.swapped_frames} of {result.frames} frames: {result.output}")
