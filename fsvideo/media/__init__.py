"""Pixels with timestamps, in and out."""
