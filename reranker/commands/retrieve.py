"""`firstrank retrieve`: a first stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstrank.reranker.commands.console import note, print_json, print_measures
from firstrank.reranker.commands.options import tag_of
from firstrank.reranker.errors import InputError
from firstrank.reranker.models.progress import Progress

if TYPE_CHECKING:
    from firstrank.reranker.runs.queries import Query


def retrieve(
    queries: Annotated[str, typer.Option(help="JSONL, TSV, a BEIR folder, or ir_datasets:ID.")],
    output: Annotated[Path, typer.Option(help="The run to write; a name in .gz is compressed.")],
    corpus: Annotated[str | None, typer.Option(help="A BEIR folder, corpus.jsonl[.gz], a .tsv, or ir_datasets:ID.")] = None,
    depth: Annotated[int, typer.Option(help="Candidates per query.")] = 100,
    drop_self: Annotated[bool, typer.Option("--drop-self", help="Leave out a candidate whose docid is the qid, as ArguAna needs.")] = False,
    retriever: Annotated[str, typer.Option(help="bm25, rm3, dense:MODEL, sparse:MODEL, hybrid:MODEL or pyserini:INDEX.")] = "bm25",
    language: Annotated[
        str | None,
        typer.Option(help="How BM25 splits and stems words: de, fr, zh … By default the script decides, and words get English stems."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take the first N queries only, for measures too.")] = None,
    tag: Annotated[str | None, typer.Option(help="The system's name, in the last column of the run; by default the retriever's.")] = None,
    save_vectors: Annotated[
        Path | None, typer.Option(help="dense, hybrid: a folder to keep the vectors in, for firstrank feedback.")
    ] = None,
    qrels: Annotated[str | None, typer.Option(help="Judgments: retrieve for their queries only, and measure the run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Retrieves candidates and writes a TREC run, with BM25 unless --retriever names another."""
    from firstrank.reranker.retrievers import register as retrievers
    from firstrank.reranker.runs.files import check_writable
    from firstrank.reranker.runs.qrels import read_qrels
    from firstrank.reranker.runs.queries import read_queries
    from firstrank.reranker.runs.trec import Run, write_run

    if corpus is None and not retriever.startswith("pyserini:"):
        raise InputError(f"--corpus: missing; {retriever} needs the texts (only pyserini:INDEX holds them itself)")
    check_writable(output)
    judged = read_qrels(qrels) if qrels is not None else None
    wanted = [query for query in read_queries(queries) if judged is None or query.qid in judged]
    if not wanted:
        raise InputError(f"{queries}: {qrels} judges none of its queries")
    if limit is not None:
        wanted = wanted[:limit]
        judged = None if judged is None else {query.qid: judged[query.qid] for query in wanted}
    started = time.perf_counter()
    first_stage = retrievers.open_retriever(retriever, corpus or "", language)
    indexed = time.perf_counter() - started
    with Progress("retrieving", len(wanted)) as progress:
        found = retrievers.retrieve(first_stage, _counted(wanted, progress), depth, drop_self=drop_self)
        run = None if judged is None else Run(found)
        write_run(output, found if run is None else run.values(), tag=tag_of(tag or retriever.partition(":")[0]))
    if save_vectors is not None:
        first_stage.save(save_vectors)  # type: ignore[attr-defined]  # it has vectors: checked above
    seconds = time.perf_counter() - started - indexed
    summary = {"output": str(output), "queries": len(wanted), "index_seconds": indexed, "seconds": seconds}
    measured = None
    if judged is not None and run is not None:
        from firstrank.reranker.measures import compare

        measured = compare({retriever: run}, judged)
    if as_json:
        print_json(summary | ({"measures": measured} if measured else {}))
        return
    note(f"{output}: {len(wanted)} queries in {seconds:.1f} s, after {indexed:.1f} s for the index")
    if measured:
        print_measures(measured)


def _counted(queries: list[Query], progress: Progress) -> Iterator[Query]:
    for query in queries:
        yield query
        progress.advance()
