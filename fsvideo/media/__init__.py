"""Pixels with timestamps, in and out."""

import cv2  # noqa: F401  before PyAV: behind it, OpenCV's windows use PyAV's copy of libxcb, and hang
