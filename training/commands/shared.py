"""What the commands that make examples and queries have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from firstrank.reranker.commands.console import note, print_json
from firstrank.reranker.commands.options import option

if TYPE_CHECKING:
    from firstrank.training.data.selection import Selection

EXAMPLES = "Examples"

Seed = Annotated[int, option(EXAMPLES, "The random seed.")]


def tell(output: Path, what: str, selection: Selection, as_json: bool, **more: Any) -> None:
    """What was kept and what was dropped, and why, as lines or as JSON with `more`."""
    report = selection.report()
    if as_json:
        print_json({"output": str(output)} | report | more)
        return
    note(f"{output}: {report['kept']} {what}, {report['dropped']} dropped")
    for why, counted in report["reasons"].items():
        note(f"  dropped: {why}: {counted['count']} ({', '.join(counted['first'])} …)")
