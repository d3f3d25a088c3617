"""Put Grace Hopper's face on the astronaut: the library in a few lines.

python examples/swap_faces.py
"""

from pathlib import Path

from fsvideo.pipeline import SwapOptions, swap

here = Path(__file__).resolve().parent
output = here / "out" / "swap_faces.mp4"
output.parent.mkdir(exist_ok=True)

# What `fsvideo swap` takes as flags are fields here; what is left out has the same default.
options = SwapOptions(sources=(here / "grace_hopper.jpg",), overwrite=True)
result = swap(options, here / "astronaut.mp4", output)
print(result)
