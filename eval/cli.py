"""`firstrank eval`, `firstrank reproduce` and `firstrank bench`: thin, so that the command line starts fast; the work is in the modules beside."""

from __future__ import annotations

import typer

bench = typer.Typer(help="Measures cost: latency, throughput, strategies.", no_args_is_help=True)


@bench.callback()
def _bench() -> None:
    """Measures cost; figures are ratios within one run, for machines differ."""
