"""python wikipedia.py COLLECTIONS OUTPUT: Wikipedia as one corpus, with questions, from collections that hold parts of it.

SelQA's sections, three sentences a passage, and the paragraphs of XQuAD and HotpotQA; the questions are those of SelQA train and all of
the other two's, whose training data stand in a file called test.tsv. OUTPUT becomes a BEIR folder without judgments.
"""

import json
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from reranker.runs import read_qrels, read_queries
from reranker.texts import read_passages


def passages(source: Path) -> list[tuple[str, str]]:
    """(title, text)"""
    found = []
    for title, sentences in groupby(read_passages(str(source / "selqa")), lambda passage: passage.title):
        texts = [passage.text for passage in sentences]
        found += [(title, " ".join(texts[i : i + 3])) for i in range(0, len(texts), 3)]
    for name in ("xquad-en", "hotpotqa-100"):
        found += [(passage.title, passage.text) for passage in read_passages(str(source / name))]
    return found


def questions(source: Path) -> list[str]:
    asked = []
    for name, split in (("selqa", "train"), ("xquad-en", "test"), ("hotpotqa-100", "test")):
        judged = read_qrels(str(source / name / "qrels" / f"{split}.tsv"))
        asked += [query.text for query in read_queries(str(source / name)) if query.qid in judged]
    return asked


def write(path: Path, records: Iterable[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records)


def main(source: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    write(output / "corpus.jsonl", ({"_id": f"w{i}", "title": title, "text": text} for i, (title, text) in enumerate(passages(source))))
    write(output / "queries.jsonl", ({"_id": f"wq{i}", "text": text} for i, text in enumerate(questions(source))))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
