"""`firstrank eval`, `reproduce` and `bench`: thin, so that the command line starts fast; the work is in the modules beside."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from firstrank.eval.commands.bench import cascade, strategies
from firstrank.reranker.batch.placement import Engine, Placement

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
    lanes: Annotated[int | None, typer.Option(help="CPU: windows at once, which share the threads.")] = None,
    output: Annotated[Path | None, typer.Option(help="A folder for throughput.json (server.json).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    server: Annotated[bool, typer.Option("--server", help="The HTTP service instead, against the executor in this process.")] = False,
    clients: Annotated[int, typer.Option(help="--server: clients at a time.")] = 64,
    requests: Annotated[int, typer.Option(help="--server: requests of a round.")] = 128,
    depth: Annotated[int, typer.Option(help="--server: documents of a request.")] = 20,
) -> None:
    """Windows a second, and their FLOPs as a share of what the machine's matrix products reach in the model's shapes.

    With --server: what a request costs more over HTTP at one client, and the share of the windows a second that many clients get.
    """
    if server:
        from firstrank.eval.bench.server import measure_server
        from firstrank.eval.bench.server import report as report_server

        found_served = measure_server(
            model,
            depth=depth,
            clients=clients,
            requests=requests,
            backend=backend,
            device=device,
            dtype=dtype,
            threads=threads,
            lanes=lanes,
        )
        return report_server(found_served, output, as_json=as_json)
    from firstrank.eval.bench.throughput import Load, measure, report

    load = Load(windows, passages) if windows else None
    found = measure(model, backend, load, passages=passages, device=device, dtype=dtype, threads=threads, lanes=lanes)
    report(found, output, as_json=as_json)


bench.command()(strategies)
bench.command()(cascade)


class Backend(StrEnum):
    """What runs a model."""

    transformers = "transformers"
    vllm = "vllm"
    openai = "openai"


INPUT, RERANKING, ENGINE, STATISTICS, OUTPUT = "Input", "Reranking", "Engine", "Statistics", "Output"


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
    strategy: Annotated[str | None, option(RERANKING, "NAME[:key=value,…]; by default the model's.")] = None,
    window: Annotated[str | None, option(RERANKING, "Passages a window, or auto; by default the model's.")] = None,
    stride: Annotated[int | None, option(RERANKING, "Places that the window moves; by default the model's.")] = None,
    backend: Annotated[Backend, option(RERANKING, "What scores the windows.")] = Backend.transformers,
    base_url: Annotated[list[str] | None, option(RERANKING, "openai: a server's address.")] = None,
    engine_arg: Annotated[list[str] | None, option(RERANKING, "vllm, openai: a setting of the engine, KEY=VALUE; repeatable.")] = None,
    device: Annotated[str | None, option(RERANKING, "auto, cpu, cuda or mps.")] = None,
    engine: Annotated[Engine, option(ENGINE, "local: in this process, one query at a time; ray: in many workers.")] = Engine.local,
    address: Annotated[str | None, option(ENGINE, "ray: the cluster's address, or auto; by default one on this machine.")] = None,
    workers: Annotated[int | None, option(ENGINE, "ray: by default as many as the cluster has GPUs, or cores, for.")] = None,
    gpus_per_worker: Annotated[float | None, option(ENGINE, "ray: by default 1 where there are GPUs.")] = None,
    measure: Annotated[list[str] | None, option(STATISTICS, "In ir_measures' words: nDCG@10, RR(rel=2)@10. The first leads.")] = None,
    seed: Annotated[int, option(STATISTICS, "For the bootstrap and the randomisation test.")] = 0,
    no_texts: Annotated[bool, option(OUTPUT, "Do not read the corpus: the report shows docids, no passages.", "--no-texts")] = False,
    as_json: Annotated[bool, option(OUTPUT, "Print the report as JSON.", "--json")] = False,
) -> None:
    """Measures runs and models side by side: effectiveness with significance, and what a query costs."""
    from firstrank.eval.report import tables
    from firstrank.eval.report.files import report_object
    from firstrank.eval.reranking import engine_of
    from firstrank.eval.study import Study
    from firstrank.reranker.commands.console import note, print_json
    from firstrank.reranker.commands.rerank import window_of
    from firstrank.reranker.scorers.settings import engine_args
    from firstrank.reranker.setup import Setup

    placement = Placement(engine, address, workers, gpus_per_worker)
    options = {
        "base_urls": tuple(base_url) if base_url else None,
        "engine": engine_args(engine_arg) if engine_arg else None,
        "device": device,
        "threads": placement.threads(None, backend),
    }
    options = {name: value for name, value in options.items() if value is not None}
    setups = [
        Setup(model, backend.value, strategy, window_of(window), stride, seed=seed, options=options)
        for model in dict.fromkeys(rerank or ())
    ]
    how = engine_of(placement)
    study = Study(dataset, split, run or (), trace or (), setups, output, depth, drop_self, measure or (), seed, not no_texts, how)
    evaluation = study.run()
    if as_json:
        print_json(report_object(evaluation, study.facts()))
        return
    print(tables.markdown(evaluation))
    note(f"{output / 'report.html'}: the whole report")


def reproduce(
    names: Annotated[list[str] | None, typer.Argument(help="Names of reproductions.", metavar="NAME…")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Show what there is, and run nothing.")] = False,
    data: Annotated[Path | None, typer.Option(help="The folder of collections.", envvar="FIRSTRANK_DATA")] = None,
    output: Annotated[Path, typer.Option(help="The folder for what models rerank.")] = Path("runs/reproductions"),
    backend: Annotated[Backend, typer.Option(help="What runs the models.")] = Backend.transformers,
    page: Annotated[Path | None, typer.Option(help="Write the outcomes as a Markdown page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The outcomes as JSON.")] = False,
) -> None:
    """Runs published experiments again: reproduced, off by so much, or not to be run here and why. Ends with 1 where a figure is off."""
    from firstrank.eval import reproduce as work
    from firstrank.eval.reproductions import all_reproductions
    from firstrank.reranker.commands.console import note, print_json
    from firstrank.reranker.runs.files import check_writable, whole_file

    if show:
        for one in all_reproductions():
            print(f"{one.name}: {one.description}; {', '.join(f'{measure} {value:.4f}' for measure, value in one.expected.items())}")
        return
    if page is not None:
        check_writable(page)
    place, outcomes = work.Place(data, output, backend.value), []
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


class PrefixCache(StrEnum):
    """What vLLM keeps of a query's earlier windows."""

    on = "on"
    off = "off"
    reset = "reset"


class Compared(StrEnum):
    """What FIRST is compared with."""

    permutation = "permutation"


MODEL, LOAD = "Model", "Load"


@bench.command()
def latency(
    output: Annotated[Path, option(OUTPUT, "The folder for latency.html, latency.json and latency.md.")],
    compare: Annotated[Compared | None, option(MODEL, "Time the same model reading logits (FIRST) and generating the ordering.")] = None,
    model: Annotated[str, option(MODEL, "A name (firstrank models list), a folder, or a Hugging Face id.")] = "default",
    revision: Annotated[str | None, option(MODEL, "The model's revision on the hub.")] = None,
    backend: Annotated[Backend, option(MODEL, "What runs it.")] = Backend.transformers,
    base_url: Annotated[list[str] | None, option(MODEL, "openai: a server's address.")] = None,
    engine_arg: Annotated[list[str] | None, option(MODEL, "vllm, openai: a setting of the engine, KEY=VALUE; repeatable.")] = None,
    device: Annotated[str | None, option(MODEL, "auto, cpu, cuda or mps.")] = None,
    dtype: Annotated[str | None, option(MODEL, "float32, bfloat16 or float16.")] = None,
    threads: Annotated[int | None, option(MODEL, "CPU threads.")] = None,
    prefix_cache: Annotated[PrefixCache | None, option(MODEL, "vllm: on, off, or reset between queries.")] = None,
    dataset: Annotated[
        str | None, option(INPUT, "A BEIR folder or ir_datasets:ID; without it, docstrings of the standard library.")
    ] = None,
    split: Annotated[str | None, option(INPUT, "The split of a BEIR folder; by default test.")] = None,
    run: Annotated[Path | None, option(INPUT, "The dataset's first stage.")] = None,
    depth: Annotated[int, option(INPUT, "Candidates of a query.")] = 20,
    strategy: Annotated[str | None, option(INPUT, "NAME[:key=value,…]; by default the model's.")] = None,
    window: Annotated[str | None, option(INPUT, "Passages a window; by default the model's.")] = None,
    stride: Annotated[int | None, option(INPUT, "Places that the window moves; by default the model's.")] = None,
    queries: Annotated[int, option(LOAD, "Queries of a pass.", "--queries")] = 16,
    concurrency: Annotated[list[int] | None, option(LOAD, "Queries at once; give it several times. By default 1.")] = None,
    repeats: Annotated[int, option(LOAD, "Passes at each concurrency.")] = 2,
    warmup: Annotated[int, option(LOAD, "Queries before the first pass, not counted.")] = 2,
    as_json: Annotated[bool, option(OUTPUT, "Print latency.json.", "--json")] = False,
) -> None:
    """Seconds a query (p50, p95, p99) and queries a second; with --compare permutation, FIRST against generation."""
    from firstrank.eval.bench.latency import COMPARISONS
    from firstrank.eval.bench.latency_study import LatencyStudy, Workload
    from firstrank.reranker.commands.console import print_json
    from firstrank.reranker.commands.rerank import window_of
    from firstrank.reranker.scorers.settings import engine_args
    from firstrank.reranker.strategies.schedule import Schedule

    options = {
        "base_urls": tuple(base_url) if base_url else None,
        "engine": engine_args(engine_arg) if engine_arg else None,
        "device": device,
        "dtype": dtype,
        "threads": threads,
        "revision": revision,
    }
    study = LatencyStudy(
        Workload(dataset, split, run, depth, queries, warmup),
        COMPARISONS[compare.value if compare else None],
        model=model,
        backend=backend.value,
        schedule=Schedule(strategy, window_of(window), stride),
        concurrencies=concurrency or [1],
        repeats=repeats,
        prefix_cache=prefix_cache.value if prefix_cache else None,
        options={name: value for name, value in options.items() if value is not None},
        output=output,
    )
    found, table = study.run()
    print_json(found) if as_json else print(table)
