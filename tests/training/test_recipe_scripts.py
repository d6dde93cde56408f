"""The scripts beside the default model's recipes."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from firstrank.reranker.runs.qrels import read_qrels
from firstrank.reranker.texts.sources import read_passages

SCRIPTS = Path(__file__).parents[2] / "configs" / "training"


def script(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPTS / name, *map(str, words)], capture_output=True, text=True, check=False)


def test_docstrings_of_a_wheel_become_a_corpus(tmp_path):
    words = "Copy a list of numbers into another one, of the same length, {}."
    source = f'''
def copy():
    """{words.format("and return `it`")}

    ------
    More of it.
    """

def again():
    """{words.format("and return it")}"""

def short():
    """Too short."""

def _hidden():
    """{words.format("quietly")}"""

class Shelf:
    """A shelf on which a great many books can stand, one beside another, in order."""

    def add(self):
        """Put one more book at the end of the shelf, to the right of all others."""
'''
    with zipfile.ZipFile(tmp_path / "library-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("library/__init__.py", source)
        wheel.writestr("library/tests/test_copy.py", source.replace("def ", "def other_"))
        wheel.writestr("library-1.0.dist-info/METADATA", "Name: library")
    judged = tmp_path / "judged.jsonl"
    judged.write_text(json.dumps({"text": "Put one more book at the end of the shelf, to the right of all others."}) + "\n")
    made = script("docstrings.py", tmp_path, judged)
    assert made.returncode == 0
    (tmp_path / "corpus.jsonl").write_text(made.stdout)
    found = {passage.docid: passage.text for passage in read_passages(str(tmp_path / "corpus.jsonl"))}
    assert found == {
        "library.copy": f"{words.format('and return it')} More of it.",
        "library.Shelf": "A shelf on which a great many books can stand, one beside another, in order.",
    }


def test_parts_of_wikipedia_become_one_corpus_and_test_questions_stay_out(tmp_path):
    def collection(name, passages, queries, split, judged):
        folder = tmp_path / name
        (folder / "qrels").mkdir(parents=True)
        (folder / "corpus.jsonl").write_text(
            "".join(json.dumps({"_id": f"d{i}", "title": title, "text": text}) + "\n" for i, (title, text) in enumerate(passages))
        )
        (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": qid, "text": text}) + "\n" for qid, text in queries.items()))
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"{qid}\td0\t1\n" for qid in judged))

    sentences = [("Bees", text) for text in ("One.", "Two.", "Three.", "Four.")] + [("Ants", "Five.")]
    collection("selqa", sentences, {"a": "a training question", "b": "a test question"}, "train", ["a"])
    collection("xquad-en", [("Emma", "A novel.")], {"c": "who wrote it"}, "test", ["c"])
    collection("hotpotqa-100", [("Bath", "A city.")], {"d": "where is it"}, "test", ["d"])
    assert script("wikipedia.py", tmp_path, tmp_path / "out").returncode == 0
    found = [(passage.title, passage.text) for passage in read_passages(str(tmp_path / "out"))]
    assert found == [("Bees", "One. Two. Three."), ("Bees", "Four."), ("Ants", "Five."), ("Emma", "A novel."), ("Bath", "A city.")]
    asked = [json.loads(line)["text"] for line in (tmp_path / "out" / "queries.jsonl").read_text().splitlines()]
    assert asked == ["a training question", "who wrote it", "where is it"]
    assert read_qrels(str(tmp_path / "out"), "train") == {"wq0": {"w0": 1}, "wq1": {"w3": 1}, "wq2": {"w4": 1}}
