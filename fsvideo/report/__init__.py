"""What a run leaves to look at: a line of every frame, a page with pictures and plots, a sheet of frames."""

from fsvideo.report.files import publish, write_json
from fsvideo.report.log import FrameLog
from fsvideo.report.sheet import preview, spread, write_preview
from fsvideo.report.write import check, write

__all__ = ["FrameLog", "check", "preview", "publish", "spread", "write", "write_json", "write_preview"]
