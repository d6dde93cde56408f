"""`firstrank data build …` and `firstrank data check`: builds training examples, and reports what it dropped and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstrank.reranker.commands.console import note, print_json
from firstrank.reranker.commands.options import INPUT, MODEL, OUTPUT, WINDOWS, AsJson, Corpus, Depth, Queries, Run, expanded, option
from firstrank.reranker.commands.rerank import oracle_settings
from firstrank.reranker.errors import InputError
from firstrank.reranker.types import Backend
from firstrank.training.commands.invent import invent
from firstrank.training.commands.shared import EXAMPLES, Seed, lasting, tell

if TYPE_CHECKING:
    from firstrank.reranker.setup import SetupSettings
    from firstrank.reranker.types import Request
    from firstrank.training.data.selection import Selection
    from firstrank.training.data.teacher import Taught
    from firstrank.training.samples.examples import Example

data = typer.Typer(help="Training examples: build, check.", no_args_is_help=True)
build = typer.Typer(help="Builds examples (JSONL) from judgments, conversations, RankLLM's files, or a teacher.", no_args_is_help=True)
data.add_typer(build, name="build")
data.command("invent")(invent)

Output = Annotated[Path, option(OUTPUT, "The examples to write. A name in .gz is compressed, but training reads uncompressed files only.")]
Split = Annotated[str, option(INPUT, "Which split of a BEIR folder's judgments.")]


@build.command("qrels")
def build_qrels(
    run: Run,
    qrels: Annotated[str, option(INPUT, "Judgments: TREC, BEIR, a BEIR folder, or ir_datasets:ID.")],
    queries: Queries,
    corpus: Corpus,
    output: Output,
    split: Split = "train",
    size: Annotated[int, option(EXAMPLES, "Passages per example.")] = 20,
    positives: Annotated[int, option(EXAMPLES, "Relevant passages per example, at most.")] = 3,
    bands: Annotated[
        str, option(EXAMPLES, "The ranks that negatives come from, in equal shares, for example 1-20,21-50.")
    ] = "1-20,21-50,51-100",
    windows: Annotated[int, option(EXAMPLES, "Examples per query.")] = 1,
    shuffled: Annotated[bool, option(EXAMPLES, "Put passages in random order, not in the first stage's.", "--shuffled")] = False,
    share: Annotated[
        float | None,
        option(
            EXAMPLES,
            "Take only negatives whose score in the run is below this share of the lowest score of a relevant passage, for example 0.95.",
        ),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Takes relevant passages from judgments, and hard negatives from a first-stage run."""
    from firstrank.reranker.runs.qrels import read_qrels
    from firstrank.reranker.runs.queries import read_queries
    from firstrank.reranker.runs.trec import read_run
    from firstrank.reranker.texts.sources import open_texts
    from firstrank.training.data.judged import Bands, from_qrels

    ranges = _bands(bands)
    if size < 2 or positives < 1 or windows < 1:
        raise InputError("--size must be at least 2, --positives and --windows at least 1")
    if share is not None and not 0 < share <= 1:
        raise InputError(f"--share {share}: must be above 0 and at most 1")
    settings = Bands(size, positives, ranges, windows, shuffled, share, seed)
    ranked, judged = read_run(run), read_qrels(qrels, split)
    texts = dict(query for query in read_queries(queries) if query.qid in ranked)
    depth = max(high for _, high in ranges)
    relevant = [docid for qid in ranked if qid in judged for docid, grade in judged[qid].items() if grade > 0]
    found = open_texts(corpus, lambda: [*ranked.docids(depth), *relevant], missing="skip")
    _write(output, lambda selection: from_qrels(ranked, judged, texts, found, settings, selection), as_json)


@build.command("conversations")
def build_conversations(
    source: Annotated[
        str,
        typer.Argument(help="Conversations as RankZephyr's, or lists with a permutation: a file, or datasets:ID[:SPLIT]."),
    ],
    output: Output,
    as_json: AsJson = False,
) -> None:
    """Reads prompts with labelled passages and the answer `[C] > [A] > [B]`, in letters or numbers."""
    from firstrank.training.data.conversations import from_conversations, rows_of

    rows = rows_of(source)
    _write(output, lambda selection: from_conversations(rows, selection), as_json)


@build.command("rankllm")
def build_rankllm(
    ranked: Annotated[Path, typer.Argument(help="RankLLM's results, with the candidates best first.")],
    output: Output,
    requests: Annotated[
        Path | None, option(INPUT, "RankLLM's requests, which have the first-stage order; without them the order is random.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Reads the rankings of a RankLLM result file."""
    from firstrank.training.data.build import from_rankllm
    from firstrank.training.data.teacher import examples

    _write(output, lambda selection: examples(from_rankllm(ranked, requests, selection, seed), selection), as_json)


@build.command("teacher")
@expanded
def build_teacher(
    run: Run,
    queries: Queries,
    corpus: Corpus,
    output: Output,
    teacher: Annotated[str, option(MODEL, "A model's name or folder, or a run that the teacher wrote.")] = "default",
    *,
    settings: SetupSettings,
    qrels: Annotated[str | None, option(INPUT, "Judgments, for the oracle.")] = None,
    complete: Annotated[bool, option(WINDOWS, "Repeat passes until the order no longer changes.", "--complete")] = False,
    passes: Annotated[int, option(WINDOWS, "With --complete: how many passes at most.")] = 10,
    depth: Depth = 100,
    as_json: AsJson = False,
) -> None:
    """Takes a teacher's order of a run's candidates, and its scores. After an interruption the same command goes on where it was."""
    from firstrank.reranker.batch.journal import open_journal
    from firstrank.reranker.reranker import Reranker
    from firstrank.reranker.runs.files import fingerprint
    from firstrank.reranker.setup import Setup
    from firstrank.training.data import teacher as teachers

    requests = _requests(run, queries, corpus, depth)
    if Path(teacher).is_file():
        from firstrank.reranker.runs.trec import read_run

        ranked = read_run(teacher)
        _write(output, lambda selection: teachers.examples(teachers.from_run(ranked, requests, selection), selection), as_json)
        return
    settings["strategy"] = settings.get("strategy") or "sliding"
    if settings.get("backend") == Backend.oracle:
        settings.update(oracle_settings(qrels))
    facts = {"--run": fingerprint(run), "--queries": fingerprint(queries), "--corpus": fingerprint(corpus), "--depth": str(depth)}
    facts |= {"--complete": str(complete), "--passes": str(passes)} | lasting(Setup.of(teacher, **settings))

    def listed(selection: Selection) -> Iterable[Example]:
        def taught(waiting: Iterable[Request]) -> Iterator[Taught]:
            with Reranker(teacher, **settings) as reranker:
                if complete:
                    yield from teachers.complete(reranker, waiting, selection, most=passes)
                else:
                    yield from teachers.once(reranker, waiting, selection)

        yield from teachers.examples(teachers.remembered(taught, requests, journal), selection)

    with open_journal(output, facts) as journal:
        _write(output, listed, as_json)
        journal.delete()


@build.command("blended")
def build_blended(
    run: Run,
    queries: Queries,
    corpus: Corpus,
    output: Output,
    encoder: Annotated[str, option(MODEL, "The bi-encoder: minilm, or a name that sentence-transformers knows.")] = "minilm",
    qrels: Annotated[str | None, option(INPUT, "Judgments: relevant passages get a grade above all others.")] = None,
    split: Split = "train",
    size: Annotated[int, option(EXAMPLES, "Passages per example.")] = 24,
    bands: Annotated[str, option(EXAMPLES, "The ranks that candidates come from, in equal shares.")] = "1-10,11-30,31-100",
    first_stage: Annotated[float, option(EXAMPLES, "The weight of the run's own scores, from 0 to 1.")] = 0.3,
    words: Annotated[
        int, option(EXAMPLES, "How many words of a passage the bi-encoder reads; best as many as the model will read in training.")
    ] = 100,
    limit: Annotated[int | None, option(EXAMPLES, "Take this many queries, drawn at random.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Grades from a bi-encoder's cosines and the first stage's scores, blended; needs no judgments (pip install 'firstrank[dense]')."""
    from firstrank.reranker.retrievers.dense import open_encoder
    from firstrank.reranker.runs.qrels import read_qrels
    from firstrank.reranker.runs.queries import read_queries
    from firstrank.reranker.runs.trec import read_run
    from firstrank.reranker.texts.sources import open_texts
    from firstrank.training.data.blended import Blend, from_teachers, sampled

    if size < 2 or not 0 <= first_stage <= 1 or words < 1 or (limit is not None and limit < 1):
        raise InputError("--size must be at least 2, --first-stage from 0 to 1, --words and --limit at least 1")
    settings = Blend(size, _bands(bands), first_stage, words, seed)
    ranked = sampled(read_run(run), limit, seed)
    judged = {} if qrels is None else read_qrels(qrels, split)
    asked = dict(query for query in read_queries(queries) if query.qid in ranked)
    depth = max(high for _, high in settings.bands)
    relevant = [docid for qid in ranked if qid in judged for docid, grade in judged[qid].items() if grade > 0]
    found = open_texts(corpus, lambda: [*ranked.docids(depth), *relevant], missing="skip")
    encode = open_encoder(encoder)
    _write(output, lambda selection: from_teachers(ranked, judged, asked, found, encode, settings, selection), as_json)


@data.command("check")
def check_examples(
    files: Annotated[list[Path], typer.Argument(help="Files of examples.")],
    as_json: AsJson = False,
) -> None:
    """Checks examples: counts them, and names each line that is wrong. Exits with 2 if there is one."""
    from firstrank.training.data.build import check

    found = {str(file): check(file) for file in files}
    if as_json:
        print_json(found)
    else:
        for name, report in found.items():
            note(f"{name}: {report['examples']} examples, {report['queries']} queries, {report['passages']} passages")
            for key in ("passages of an example", "words of a passage"):
                note(f"  {key}: " + ", ".join(f"{what} {value:g}" for what, value in report[key].items()))
            for why, counted in report["warnings"].items():
                note(f"  warning: {why}: {counted['count']} ({', '.join(counted['first'])} …)")
    if wrong := [error for report in found.values() for error in report["errors"]]:
        more = f"\n… and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise InputError(f"{len(wrong)} lines are wrong:\n" + "\n".join(wrong[:20]) + more)


def _write(output: Path, made: Any, as_json: bool) -> None:
    from firstrank.training.data.build import write_examples
    from firstrank.training.data.selection import Selection

    selection = Selection()
    write_examples(output, made(selection), selection)
    tell(output, "examples", selection, as_json)


def _bands(text: str) -> tuple[tuple[int, int], ...]:
    found = []
    for band in text.split(","):
        low, dash, high = band.partition("-")
        if not (dash and low.isdigit() and high.isdigit() and 1 <= int(low) <= int(high)):
            raise InputError(f"--bands {text}: {band!r} is no range of ranks; write for example 1-20,21-50")
        found.append((int(low), int(high)))
    return tuple(found)


def _requests(run: Path, queries: str, corpus: str, depth: int) -> list[Request]:
    from firstrank.reranker.batch.tasks import RunTasks, queries_of
    from firstrank.reranker.runs.queries import read_queries
    from firstrank.reranker.runs.trec import read_run
    from firstrank.reranker.texts.sources import open_texts

    ranked = read_run(run)
    texts = open_texts(corpus, lambda: ranked.docids(depth))
    return [task.request for task in RunTasks(ranked, queries_of(ranked, read_queries(queries), queries), texts, depth)]
