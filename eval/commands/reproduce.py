"""`firstrank reproduce`: published experiments, run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstrank.reranker.commands.console import note, print_json
from firstrank.reranker.commands.options import OUTPUT, AsJson, expanded, option

if TYPE_CHECKING:
    from firstrank.reranker.setup import SetupSettings


@expanded
def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which reproductions to run; --list shows their names.", metavar="NAME…")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run all of them.")] = False,
    show: Annotated[bool, typer.Option("--list", help="List the reproductions, and run nothing.")] = False,
    data: Annotated[Path | None, typer.Option(help="The folder that holds the collections.", envvar="FIRSTRANK_DATA")] = None,
    output: Annotated[Path, option(OUTPUT, "The folder for the runs that models write.")] = Path("runs/reproductions"),
    *,
    settings: SetupSettings,
    page: Annotated[Path | None, option(OUTPUT, "Write the outcome of each as a Markdown page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Runs published experiments again, and says how far off each is or why it cannot run here. Exits with 1 if a figure is off."""
    from firstrank.eval.attempts import page as page_of
    from firstrank.eval.reproducer import Reproducer
    from firstrank.eval.reproductions import all_reproductions, named
    from firstrank.reranker.runs.files import check_writable, whole_file

    if show:
        for one in all_reproductions():
            print(f"{one.name}: {one.description}; {', '.join(f'{measure} {value:.4f}' for measure, value in one.expected.items())}")
        return
    if page is not None:
        check_writable(page)
    reproducer, attempts = Reproducer(data, output, settings), []
    for one in named(names or (), everything=everything):
        attempts.append(reproducer.attempt(one))
        note(f"{one.name}: {attempts[-1].state}")
    if page is not None:
        with whole_file(page) as file:
            file.write(page_of(attempts))
    if as_json:
        print_json({one.reproduction.name: one.to_dict() for one in attempts})
    if any(one.found and not one.reproduced for one in attempts):
        raise typer.Exit(1)
