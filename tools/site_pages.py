"""A hook of mkdocs: pages made of files outside docs/, and links that lead out of it.

README.md, CONTRIBUTING.md and CHANGELOG.md become pages. A link to another file of the repository leads
to `repo_url` where whoever publishes the site has set one, and is plain text where not.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and the pictures that they show."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_led(text, "", config)))
        for picture in (target for mark, _, target, _ in LINK.findall(text) if mark):
            if not picture.startswith("docs/"):
                files.append(File.generated(config, picture, abs_src_path=str(ROOT / picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links of the pages in docs/ to where their targets are on the site."""
    if page.file.src_uri in PAGES.values():
        return markdown
    return _led(markdown, "docs", config)


def _led(text: str, folder: str, config: MkDocsConfig) -> str:
    """The text with each link to a file, relative to `folder`, made one that the site has."""

    def led(match: re.Match[str]) -> str:
        mark, shown, target, anchor = match.groups()
        if "://" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        if path in PAGES:
            found = PAGES[path]
        elif path.startswith("docs/"):
            found = path.removeprefix("docs/")
        elif mark:
            found = path
        elif config.repo_url:
            return f"[{shown}]({config.repo_url.rstrip('/')}/blob/main/{path})"
        else:
            return shown
        return f"{mark}[{shown}]({found}{anchor or ''})"

    return LINK.sub(led, text)
