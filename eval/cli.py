"""`firstrank eval`, `reproduce` and `bench`: thin, so that the command line starts fast; the work is in the modules beside."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.bench.commands import cascade, strategies

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


bench.command()(strategies)
bench.command()(cascade)


class Backend(StrEnum):
    """What runs a model."""

    transformers = "transformers"
    vllm = "vllm"
    openai = "openai"


INPUT, RERANKING, STATISTICS, OUTPUT = "Input", "Reranking", "Statistics", "Output"


def option(panel: str, text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


def evaluate(
    dataset: Annotated[str, option(INPUT, "A BEIR folder, or ir_datasets:ID: queries, judgments and texts.")],
    output: Annotated[Path, option(OUTPUT, "The folder for report.html, report.json, per_query.csv, tables and plots.")],
    run: Annotated[list[Path] | None, option(INPUT, "A TREC run or RankLLM's JSONL; the first is what others are compared with.")] = None,
    split: Annotated[str | None, option(INPUT, "The split of a BEIR folder; by default test.")] = None,
    trace: Annotated[list[str] | None, option(INPUT, "NAME=FILE: what a run cost, as firstrank rerank --trace wrote it.")] = None,
    drop_self: Annotated[bool, option(INPUT, "Leave out the candidate whose docid is the qid (ArguAna).", "--drop-self")] = False,
    rerank: Annotated[list[str] | None, option(RERANKING, "A model that reranks the first run, as a further system.")] = None,
    depth: Annotated[int, option(RERANKING, "Candidates of a query to rerank.")] = 100,
    strategy: Annotated[str, option(RERANKING, "NAME[:key=value,…], as for firstrank rerank.")] = "sliding",
    window: Annotated[str | None, option(RERANKING, "Passages a window, or auto; by default the model's.")] = None,
    stride: Annotated[int | None, option(RERANKING, "Places that the window moves; by default the model's.")] = None,
    backend: Annotated[Backend, option(RERANKING, "What scores the windows.")] = Backend.transformers,
    base_url: Annotated[list[str] | None, option(RERANKING, "openai: a server's address.")] = None,
    device: Annotated[str | None, option(RERANKING, "auto, cpu, cuda or mps.")] = None,
    measure: Annotated[list[str] | None, option(STATISTICS, "In ir_measures' words: nDCG@10, RR(rel=2)@10. The first leads.")] = None,
    seed: Annotated[int, option(STATISTICS, "For the bootstrap and the randomisation test.")] = 0,
    as_json: Annotated[bool, option(OUTPUT, "Print the report as JSON.", "--json")] = False,
) -> None:
    """Measures runs and models side by side: effectiveness with significance, and what a query costs."""
    from eval import tables
    from eval.report import report_object
    from eval.study import Study
    from reranker.commands.output import note, print_json
    from reranker.commands.rerank import window_of
    from reranker.setup import Setup

    options = {"base_urls": tuple(base_url) if base_url else None, "device": device}
    options = {name: value for name, value in options.items() if value is not None}
    setups = [
        Setup(model, backend.value, strategy, window_of(window), stride, seed=seed, options=options)
        for model in dict.fromkeys(rerank or ())
    ]
    study = Study(dataset, split, run or (), trace or (), setups, output, depth, drop_self, measure or (), seed)
    evaluation = study.run()
    if as_json:
        print_json(report_object(evaluation, study.facts()))
        return
    print(tables.markdown(evaluation))
    note(f"{output / 'report.html'}: the whole report")
