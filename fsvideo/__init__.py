"""fsvideo puts the face of a source photo on a person in a video."""

__version__ = "0.1.0"
