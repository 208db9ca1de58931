"""For the site: pages of the repository outside `docs/`, and links that lead out of `docs/`."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# These become pages and images of the site. A link to any other file leads to GitHub.
ADDED = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "research/README.md",
    "research/plans/*.md",
    "research/results/**/*.md",
    "research/results/**/*.svg",
)
LINK = re.compile(r"(\]\()([^)#:\s]+)([^)\s]*\))")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the files named above. MkDocs calls this once per build."""
    for pattern in ADDED:
        for path in sorted(ROOT.glob(pattern)):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Rewrite the relative links of a page, which are those of the repository."""
    uri = page.file.src_uri
    prefix = "" if page.file.generated_by else "docs/"
    folder = posixpath.dirname(prefix + uri)

    def rewrite(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        if not (ROOT / target).exists() and (ROOT / link[2]).exists():
            # `spacy project document` writes its links as if the page were in the root folder.
            target = link[2]
        if target.startswith("docs/"):
            path = posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(uri) or ".")
        elif files.get_file_from_path(target):
            path = posixpath.relpath(target, posixpath.dirname(uri) or ".")
        else:
            path = config.extra["repository"] + target
        return f"{link[1]}{path}{link[3]}"

    return LINK.sub(rewrite, markdown)
