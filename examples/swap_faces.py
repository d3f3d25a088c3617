"""Put Grace Hopper's face on the astronaut: a file, a picture in memory, and a stream of pictures.

python examples/swap_faces.py
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

import fsvideo

here = Path(__file__).resolve().parent
source, clip = here / "grace_hopper.jpg", here / "astronaut.mp4"
out = here / "out"
out.mkdir(exist_ok=True)

# A file: what `fsvideo swap` takes as flags are keywords here. Networks that were loaded once serve every call.
networks = fsvideo.load_swapper()
result = fsvideo.swap(source, clip, out / "swap_faces.mp4", end=1.0, overwrite=True, swapper=networks)
print(f"{result.swapped_faces} faces in {result.swapped_frames} of {result.frames} frames: {result.output}")


def pictures() -> Iterator[np.ndarray]:
    """The clip's first second as RGB arrays (H, W, 3); a camera or another program could give them as well."""
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == 25:
                return
            yield frame.to_ndarray(format="rgb24")


with fsvideo.FrameSwapper(source, swapper=networks) as swapper:
    before = next(pictures())
    after = swapper(before)  # one picture by itself
    print(f"a picture: {(after != before).any(axis=2).mean():.0%} of its pixels changed")

    steady = list(swapper.stream(pictures(), rate=25))  # a stream, steadied by the past alone
    print(f"a stream: {len(steady)} pictures of {steady[0].shape[1]} x {steady[0].shape[0]}")
