"""`firstrank models`: what there is, what it takes, and getting it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstrank.reranker.commands.console import note, print_json, print_table
from firstrank.reranker.commands.options import expanded

if TYPE_CHECKING:
    from firstrank.reranker.setup import SetupSettings

app = typer.Typer(help="Models by name: list, pull, info, check.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Lists the models that Firstrank knows by name. A Hugging Face id or a local folder works wherever a name does."""
    from rich.table import Table

    from firstrank.reranker.models.catalog import list_specs

    specs = list_specs()
    if as_json:
        print_json({spec.name: spec.model_dump(mode="json") for spec in specs})
        return
    table = Table("name", "answer", "window", "template", "licence", "weights")
    for spec in specs:
        table.add_row(spec.name, spec.answer, f"{spec.window}/{spec.stride}", spec.template_name, spec.licence, spec.source)
    print_table(table)


@app.command("pull")
def pull_model(name: Annotated[str, typer.Argument(help="A name from the list.")] = "default") -> None:
    """Fetches a model into the cache. After that it needs no network."""
    from firstrank.reranker.models.catalog import pull

    note(f"{name}: ready in {pull(name)}")


@app.command("info")
def info(name: Annotated[str, typer.Argument(help="A name, a folder, or a Hugging Face id.")], as_json: AsJson = False) -> None:
    """Shows a model's settings, and whether its weights are in the cache."""
    from rich.table import Table

    from firstrank.reranker.models.catalog import describe

    found = describe(name)
    if as_json:
        print_json(found)
        return
    table = Table("setting", "value")
    for key, value in found.items():
        table.add_row(key, str(value))
    print_table(table)


@app.command("check")
@expanded
def check(
    name: Annotated[str, typer.Argument(help="A name, a folder, or a Hugging Face id.")] = "default",
    *,
    settings: SetupSettings,
    as_json: AsJson = False,
) -> None:
    """Asks a model a dozen questions with obvious answers. A wrong template or wrong weights get them wrong: below half it fails."""
    import asyncio

    from firstrank.reranker.scorers.backends import open_scorer
    from firstrank.reranker.scorers.known_answers import check_known_answers, require
    from firstrank.reranker.setup import Setup

    setup = Setup.of(name, **settings)
    scorer, _ = open_scorer(name, setup.backend, revision=setup.revision, instruction=setup.instruction)
    try:
        findings = asyncio.run(check_known_answers(scorer))
    finally:
        scorer.close()
    if as_json:
        print_json(findings.to_dict())
    else:
        note(f"{name}: {findings}")
    require(findings, name)
