"""python wikipedia.py COLLECTIONS OUTPUT: Wikipedia as one corpus, with questions, from collections that hold parts of it.

SelQA's sections, three sentences a passage, and the paragraphs of XQuAD and HotpotQA; the questions are those of SelQA train and all of
the other two's, whose training data stand in a file called test.tsv. OUTPUT becomes a BEIR folder; its qrels/train.tsv says which passages
hold what the collections' judges called an answer.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.runs.queries import read_queries
from firstrank.reranker.texts.sources import read_passages

SPLITS = {"selqa": "train", "xquad-en": "test", "hotpotqa-100": "test"}


@dataclass(frozen=True, slots=True)
class Part:
    """A passage, and the ids of what it was made of in its collection."""

    title: str
    text: str
    docids: tuple[str, ...]


def parts(source: Path, name: str) -> Iterator[Part]:
    for title, group in groupby(read_passages(str(source / name)), lambda passage: passage.title):
        found = list(group)
        size = 3 if name == "selqa" else 1
        for i in range(0, len(found), size):
            some = found[i : i + size]
            yield Part(title, " ".join(passage.text for passage in some), tuple(passage.docid for passage in some))


def main(source: Path, output: Path) -> None:
    passages, queries = list[dict[str, str]](), list[dict[str, str]]()
    judgments: list[str] = []
    for name, split in SPLITS.items():
        place: dict[str, str] = {}
        for part in parts(source, name):
            docid = f"w{len(passages)}"
            passages.append({"_id": docid, "title": part.title, "text": part.text})
            place |= dict.fromkeys(part.docids, docid)
        judged = read_qrels(str(source / name), split)
        for query in read_queries(str(source / name)):
            if query.qid in judged:
                qid = f"wq{len(queries)}"
                queries.append({"_id": qid, "text": query.text})
                relevant = dict.fromkeys(place[docid] for docid, grade in judged[query.qid].items() if grade > 0 and docid in place)
                judgments += [f"{qid}\t{docid}\t1\n" for docid in relevant]
    (output / "qrels").mkdir(parents=True, exist_ok=True)
    write(output / "corpus.jsonl", passages)
    write(output / "queries.jsonl", queries)
    (output / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judgments), encoding="utf-8")


def write(path: Path, records: Iterable[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
