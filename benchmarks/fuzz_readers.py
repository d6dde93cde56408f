"""Coverage-guided fuzzing of what reads files: runs, judgments, queries, requests and passages, by atheris (libFuzzer).

    python -m benchmarks.fuzz_readers [--seconds 60] [--seed 1]

pip install atheris first (Linux). Each input goes through one of the readers, which its first byte chooses; anything but a reading or an
InputError ends the run with a traceback and the input in a file. Begins with the inputs of `tests/fuzz/nasty.py`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.arguments import parser_of


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("fuzz_readers", __doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with atheris.instrument_imports(include=["firstrank.reranker.runs", "firstrank.reranker.texts"]):
        from firstrank.reranker.errors import InputError
        from tests.fuzz.nasty import nasty
        from tests.reranker.runs.test_readers import OTHER_FORMS, VALID, consumed
    readers = list(VALID)

    def one(data: bytes) -> None:
        if data:
            with suppress(InputError):
                consumed(readers[data[0] % len(readers)], data[1:])

    with tempfile.TemporaryDirectory() as folder:
        seeds = [*nasty().values(), *VALID.values(), *OTHER_FORMS.values()]
        for number, data in enumerate(seeds):
            (Path(folder) / str(number)).write_bytes(bytes([number % len(readers)]) + data[:4096])
        settings = [f"-max_total_time={options.seconds}", f"-seed={options.seed}", "-max_len=4096", "-print_final_stats=1", folder]
        atheris.Setup(["fuzz_readers", *settings], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
