"""What came of each fault that docs/reliability.md lists: runs its test, and writes how often it was tried, and how long recovery took.

    python -m benchmarks.faults [--make test] [--output benchmarks/results/faults.json]

`--make` names a suite (test, test-ray, test-vllm, test-soak); it runs with this Python, so take that of the suite's environment.
Figures of other suites stay as they are. Exit code 1 where a test fails: then nothing is written.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.arguments import parser_of
from docs.generators.faults import FIGURES, Measured, rows

MARKERS = {"test": "not slow", "test-ray": "ray", "test-vllm": "vllm", "test-soak": "soak"}


def run(make: str, tests: Sequence[str]) -> dict[str, Measured]:
    """test -> what came of it. Raises SystemExit where one fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = [sys.executable, "-m", "pytest", "-q", "-o", "junit_family=xunit1", f"--junitxml={report}", "-m", MARKERS[make], *tests]
        if subprocess.run(words, stdout=sys.stderr, check=False).returncode:
            raise SystemExit("a test failed: nothing was written")
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    return {test: _came_of(list(_of(test, cases))) for test in tests}


def _of(test: str, cases: Sequence[ElementTree.Element]) -> Iterator[ElementTree.Element]:
    """The cases of one test, of which there are several where it has parameters."""
    name = test.rpartition("::")[2]
    return (case for case in cases if case.attrib["name"].partition("[")[0] == name)


def _came_of(cases: Sequence[ElementTree.Element]) -> Measured:
    told = [{one.attrib["name"]: float(one.attrib["value"]) for one in case.iter("property")} for case in cases]
    seconds = [properties["seconds"] for properties in told if "seconds" in properties]
    return Measured(
        tries=int(sum(properties.get("tries", 1) for properties in told)),
        lost=int(sum(properties.get("lost", 0) for properties in told)),
        seconds=round(max(seconds), 2) if seconds else None,
        test_seconds=round(max(float(case.attrib["time"]) for case in cases), 2),
    )


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("faults", __doc__)
    parser.add_argument("--make", choices=MARKERS, default="test")
    parser.add_argument("--output", type=Path, default=FIGURES)
    options = parser.parse_args(words)
    found = run(options.make, [row.test for row in rows() if row.make == options.make])
    before = json.loads(options.output.read_text(encoding="utf-8"))["tests"] if options.output.is_file() else {}
    tests = before | {test: one.model_dump(exclude_none=True) for test, one in found.items()}
    options.output.write_text(json.dumps({"machine": platform.machine(), "tests": dict(sorted(tests.items()))}, indent=1) + "\n")


if __name__ == "__main__":
    main()
