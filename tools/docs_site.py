"""What MkDocs cannot do by itself: pages link to files that lie outside docs/, and the site holds those too.

In the repository ``docs/quality.md`` links to ``../weights/aei_compact.md``. The site has no place above its root, so
such files become ``weights/aei_compact.md`` in it, and the links follow.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = (
    "CONTRIBUTING.md",
    "examples/before_after.jpg",
    "examples/swap_faces.py",
    "weights/*.md",
    "weights/licenses/*.txt",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/ that pages link to."""
    for path in sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that lead out of docs/ lead to what was added."""
    return markdown if "/" in page.file.src_uri else re.sub(r"\]\(\.\./", "](", markdown)
