"""How easily pages read: `python -m docs.generators.reading [PAGE …]` prints Flesch's reading ease and the longest sentence of each.

The README and the pages of *Start* must have an ease of 55 or more, and no sentence of more than 35 words. Needs `firstrank[docs]`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EASE, WORDS = 55, 35
FRONT = (ROOT / "README.md", ROOT / "docs/index.md", ROOT / "docs/quickstart.md", *sorted((ROOT / "docs/start").glob("*.md")))


def prose(text: str) -> str:
    """What is read as sentences: without code, comments, pictures, tables and headings; of a link its words."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->|!\[[^\]]*\]\([^)]*\)", "", text, flags=re.DOTALL)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = text.replace("`", "")
    lines = [line for line in text.splitlines() if not re.match(r"\s*(\||#)", line)]
    return re.sub(r"[*_]{1,2}", "", re.sub(r"^\s*(?:[-*]|\d+\.) ", "\n\n", "\n".join(lines), flags=re.MULTILINE))


def sentences(text: str) -> list[str]:
    """The sentences of a page's prose. A paragraph or a point of a list ends one, with a full stop or without."""
    blocks = re.split(r"\n\s*\n", prose(text))
    found = (part for block in blocks for part in re.split(r"(?<=[.!?])\s+", " ".join(block.split())))
    return [one for one in found if re.search(r"\w", one)]


def words(sentence: str) -> int:
    return len(re.findall(r"[\w'’.-]*\w[\w'’.-]*", sentence))


def longest(text: str) -> str:
    return max(sentences(text), key=words, default="")


def ease(text: str) -> float:
    """Flesch's reading ease, by textstat: 60 to 70 is plain English, 30 a scientific paper."""
    import textstat

    return float(textstat.flesch_reading_ease(" ".join(one if one[-1] in ".!?" else f"{one.rstrip(':')}." for one in sentences(text))))


def main(pages: list[str]) -> int:
    """A line a page; the exit code is 1 where a front page is too hard to read."""
    failed = False
    for page in map(Path, pages) if pages else dict.fromkeys([*FRONT, *sorted((ROOT / "docs").glob("**/*.md"))]):
        text = page.resolve().read_text(encoding="utf-8")
        found, most = ease(text), longest(text)
        hard = page.resolve() in FRONT and (found < EASE or words(most) > WORDS)
        failed |= hard
        print(f"{found:5.1f}  {words(most):3d} words  {page.resolve().relative_to(ROOT)}{'  TOO HARD' if hard else ''}")
        if hard:
            print(f"       {most}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
