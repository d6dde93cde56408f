"""What the commands that make examples and queries have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from firstrank.reranker.commands.console import note, print_json
from firstrank.reranker.commands.options import option

if TYPE_CHECKING:
    from firstrank.reranker.setup import Setup
    from firstrank.training.data.selection import Selection

EXAMPLES = "Examples"

Seed = Annotated[int, option(EXAMPLES, "The random seed.")]


def lasting(setup: Setup) -> dict[str, str]:
    """What of a model's settings must be the same for a journal to go on; a host may move."""
    return {name: value for name, value in setup.facts().items() if name != "base_urls"}


def tell(output: Path, what: str, selection: Selection, as_json: bool, **more: Any) -> None:
    """What was kept and what was dropped, and why, as lines or as JSON with `more`."""
    report = selection.report()
    if as_json:
        print_json({"output": str(output)} | report | more)
        return
    note(f"{output}: {report['kept']} {what}, {report['dropped']} dropped")
    for why, counted in report["reasons"].items():
        note(f"  dropped: {why}: {counted['count']} ({', '.join(counted['first'])} …)")
