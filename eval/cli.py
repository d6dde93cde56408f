"""`firstrank eval`, `reproduce` and `bench`: thin, so that the command line starts fast; the work is in the modules beside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(help="Measures cost: latency, throughput, strategies.", no_args_is_help=True)


@bench.callback()
def _bench() -> None:
    """Measures cost; figures are ratios within one run, for machines differ."""


@bench.command()
def throughput(
    model: Annotated[str, typer.Option(help="A name, a folder, or a Hugging Face id.")] = "default",
    backend: Annotated[str, typer.Option(help="transformers or vllm: what runs in this process.")] = "transformers",
    windows: Annotated[int | None, typer.Option(help="By default five times what keeps the backend busy.")] = None,
    passages: Annotated[int, typer.Option(help="Passages of a window.")] = 20,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    output: Annotated[Path | None, typer.Option(help="A folder for throughput.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Windows a second, and their FLOPs as a share of what the machine's matrix products reach in the model's shapes."""
    from eval.bench.throughput import Load, measure, report

    load = Load(windows, passages) if windows else None
    found = measure(model, backend, load, passages=passages, device=device, dtype=dtype, threads=threads)
    report(found, output, as_json=as_json)
