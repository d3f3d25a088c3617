"""``python -m fsvideo``: the same as the ``fsvideo`` command."""

from fsvideo.cli import main

if __name__ == "__main__":
    main()
