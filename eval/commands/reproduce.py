"""`firstrank reproduce`: published experiments, run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstrank.reranker.commands.console import note, print_json
from firstrank.reranker.commands.options import expanded

if TYPE_CHECKING:
    from firstrank.reranker.setup import SetupSettings


@expanded
def reproduce(
    names: Annotated[list[str] | None, typer.Argument(help="Names of reproductions.", metavar="NAME…")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Show what there is, and run nothing.")] = False,
    data: Annotated[Path | None, typer.Option(help="The folder of collections.", envvar="FIRSTRANK_DATA")] = None,
    output: Annotated[Path, typer.Option(help="The folder for what models rerank.")] = Path("runs/reproductions"),
    *,
    settings: SetupSettings,
    page: Annotated[Path | None, typer.Option(help="Write the outcomes as a Markdown page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The outcomes as JSON.")] = False,
) -> None:
    """Runs published experiments again: reproduced, off by so much, or not to be run here and why. Ends with 1 where a figure is off."""
    from firstrank.eval import reproduce as work
    from firstrank.eval.reproductions import all_reproductions
    from firstrank.reranker.runs.files import check_writable, whole_file

    if show:
        for one in all_reproductions():
            print(f"{one.name}: {one.description}; {', '.join(f'{measure} {value:.4f}' for measure, value in one.expected.items())}")
        return
    if page is not None:
        check_writable(page)
    place, outcomes = work.Place(data, output, settings), []
    for one in work.named(names or (), everything=everything):
        outcomes.append(place.attempt(one))
        note(f"{one.name}: {outcomes[-1].state}")
    if page is not None:
        with whole_file(page) as file:
            file.write(work.page(outcomes))
    if as_json:
        print_json({outcome.reproduction.name: outcome.to_dict() for outcome in outcomes})
    if any(outcome.found and not outcome.reproduced for outcome in outcomes):
        raise typer.Exit(1)
