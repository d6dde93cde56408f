"""`firstrank train`: thin, so that the command line starts fast; the work is in the modules beside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from firstrank.reranker.commands.console import note


def train(
    config: Annotated[str, typer.Argument(help="A recipe: a YAML file, or the name of one in configs/training/.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings that replace the recipe's, for example optimiser.lr=1e-4.", metavar="[KEY=VALUE]…")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show three examples as the model will read them, and load no weights.")
    ] = False,
    minutes: Annotated[
        float | None, typer.Option(help="Stop with a checkpoint after this many minutes; the same command goes on from there.")
    ] = None,
    allow_changed_data: Annotated[
        bool, typer.Option("--allow-changed-data", help="Go on with a run even though its examples have changed.")
    ] = False,
) -> None:
    """Fine-tunes a listwise reranker with an LM loss and a ranking loss on the label logits. An interrupted run goes on where it was."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the core to others; read when torch is loaded
    from firstrank.training.config import read_config

    recipe = read_config(config, overrides or ())
    if dry_run:
        from firstrank.training.dry_run import show

        show(recipe)
        return
    from firstrank.training.run import train as run
    from firstrank.training.stops import Stop

    with Stop() as stop:
        folder: Path | None = run(recipe, minutes=minutes, stop=stop, allow_changed_data=allow_changed_data)
    if stop.signal:
        raise typer.Exit(stop.exit_code)
    if folder is not None:
        note(f"{folder}: trained; rerank with --model {folder}")
