"""fsvideo puts the face of a source photo on a person in a video.

    result = fsvideo.swap("face.jpg", "clip.mp4", "out.mp4")    # files, as the command line does
    picture = fsvideo.FrameSwapper("face.jpg")(rgb)             # pictures in memory

Use it with the consent of the people shown. What is heavy is imported when it is first used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["FrameSwapper", "FsvideoError", "SwapResult", "__version__", "load_swapper", "swap"]

if TYPE_CHECKING:
    from fsvideo.library import FrameSwapper, FsvideoError, SwapResult, load_swapper, swap


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fsvideo' has no attribute {name!r}")
    from fsvideo import library

    return getattr(library, name)
