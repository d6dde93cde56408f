"""What MkDocs calls while it builds the site: markers become text, and files outside docs/ that a page links to come with it."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel

from docs.generators import models
from docs.generators.markers import expanded

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OUTSIDE = "repository"
"""the site's folder for what a page links to outside docs/"""

_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Adds a page a model, what pages link to outside docs/, and what those pages link to in turn."""
    for name in models.names():
        content = f"# {name}\n\n<!-- made: model {name} -->\n"
        files.append(File.generated(config, f"models/{name}.md", content=content, inclusion=InclusionLevel.NOT_IN_NAV))
    cards = models.cards()
    for card in cards:
        files.append(_added(config, _uri(card), card))
    waiting = [*cards, *_pages(files)]
    while waiting:
        page = waiting.pop()
        for target in _targets(page):
            uri = _uri(target)
            if files.get_file_from_path(uri) is None and not target.is_relative_to(DOCS):
                source = target / "README.md" if target.is_dir() else target
                files.append(_added(config, uri, source))
                waiting += [source] if source.suffix == ".md" and source.is_file() else []
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The page's text with its markers expanded, and with links that lead to where the site has their files."""
    text = expanded(markdown)
    source = _source(page.file.src_uri)
    here = posixpath.dirname(page.file.src_uri)
    pieces, end = [], 0
    for fence in _FENCE.finditer(text):
        pieces += [_relinked(text[end : fence.start()], source, here), fence.group()]
        end = fence.end()
    return "".join([*pieces, _relinked(text[end:], source, here)])


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Raises PluginError where a page would fetch something from another host."""
    if found := re.search(r'<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"', output):
        raise PluginError(f"{page.file.src_uri}: {found.group()}: the site must fetch nothing from another host")
    return output


def _relinked(text: str, source: Path, here: str) -> str:
    def link(found: re.Match[str]) -> str:
        path, hash_, anchor = found[2].partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return found.group()
        target = (source.parent / path).resolve()
        if not target.exists():  # MkDocs says so
            return found.group()
        return f"{found[1]}{quote(posixpath.relpath(_uri(target), here or '.'))}{hash_}{anchor}{found[3]}"

    return _LINK.sub(link, text)


def _pages(files: Files) -> list[Path]:
    return [Path(file.abs_src_path) for file in files if file.src_uri.endswith(".md") and file.abs_src_path]


def _targets(page: Path) -> list[Path]:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    paths = (link.partition("#")[0] for _, link, _ in _LINK.findall(text) if "://" not in link)
    targets = ((page.parent / path).resolve() for path in paths if path)
    return [target for target in targets if target.exists() and target.is_relative_to(ROOT)]


def _uri(target: Path) -> str:
    """Where a file of the repository is in the site's sources."""
    if target.is_relative_to(DOCS):
        return target.relative_to(DOCS).as_posix()
    inside = target / "README.md" if target.is_dir() else target
    uri = f"{OUTSIDE}/{inside.relative_to(ROOT).as_posix()}"
    return (
        uri if inside.suffix in (".md", ".svg", ".png", ".json") else f"{uri}.txt"
    )  # a browser shows text, and offers the rest to be saved


def _source(uri: str) -> Path:
    return ROOT / uri.removeprefix(f"{OUTSIDE}/") if uri.startswith(f"{OUTSIDE}/") else DOCS / uri


def _added(config: Any, uri: str, source: Path) -> File:
    """A file of the repository, or of a folder without a README its files."""
    if source.is_file():
        content = source.read_text(encoding="utf-8")
    else:
        found = sorted(child.relative_to(source.parent).as_posix() for child in source.parent.rglob("*") if child.is_file())
        content = "\n".join([f"# {source.parent.relative_to(ROOT)}", "", *(f"- `{name}`" for name in found)])
    return File.generated(config, uri, content=content, inclusion=InclusionLevel.NOT_IN_NAV)
