"""Everything that is measured on a GPU, stage by stage.

    python -m benchmarks.gpu.run [--smoke] [--output DIR] [--stages NAME …]

`bash benchmarks/gpu/run.sh` runs it with a limit on the whole. A stage that takes longer than it may is stopped; one that fails says why in
its table; the others go on. Ends with 1 where a stage failed or label logits were too far from fp32.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.arguments import parser_of
from benchmarks.gpu import generation, goals, parity, roof, service, speed
from benchmarks.gpu.networks import on, release
from benchmarks.gpu.plan import SMOKE, Plan, Row, Stage
from benchmarks.gpu.results import Results
from firstrank.eval.machine import machine_facts


def training(plan: Plan, roofs: Mapping[str, float]) -> Iterator[Row]:
    from benchmarks.training import PLAN, rates
    from benchmarks.training import SMOKE as TINY

    return rates(PLAN if plan.training else TINY, 8 if plan.training else 1, roofs.get("bfloat16"))


STAGES = (
    Stage("roof", "Matrix products, the best of five.", 20, roof.rows),
    Stage(
        "parity",
        "Label logits against plain transformers in fp32, one window a pass: the largest difference, over the logits' standard deviation.",
        40,
        parity.rows,
    ),
    Stage("latency", "Milliseconds a query in process.", 70, speed.latency),
    Stage("throughput", "Windows scored with as many queries at once as the scorer takes.", 150, speed.throughput),
    Stage("generation", "One window a query: the first token's logits, and the whole ordering written out.", 60, generation.rows),
    Stage("readings", "All candidates in one window, and each by itself behind the query.", 40, speed.readings),
    Stage("service", "The HTTP service, and the same in process.", 60, service.rows),
    Stage("training", "Steps of training: forward, backward, optimiser.", 80, training),
)


def main(words: Sequence[str] | None = None) -> int:
    options = _options(words)
    plan = on(SMOKE if options.smoke else Plan("auto"))
    if plan.device == "cpu" and not options.smoke:
        raise SystemExit("torch finds no GPU here: say --smoke to try the stages with tiny shapes on a CPU")
    results, roofs, bad = Results(options.output, _facts(plan, smoke=options.smoke)), dict[str, float](), False
    begun = time.perf_counter()
    for stage in STAGES:
        if options.stages and stage.name not in options.stages:
            continue
        for row in _rows(stage, plan, roofs, limited=not options.smoke):
            results.add(stage.name, stage.says, row)
            print(stage.name, " ".join(f"{column}={value}" for column, value in row.items()), flush=True)
            bad |= "failed" in row or row.get("holds") == "NO"
            if isinstance(rate := row.get("Tflop/s"), float):
                roofs[row["numbers"]] = rate * 1e12
    for row in goals.rows(results.tables):
        results.add("goals", "What was hoped for.", row)
    print(f"{time.perf_counter() - begun:.0f} s; {options.output / 'gpu.md'}")
    return int(bad)


def _rows(stage: Stage, plan: Plan, roofs: Mapping[str, float], *, limited: bool) -> Iterator[Row]:
    """A stage's rows; the last says so where it failed or took too long."""
    alarm = Alarm(stage.seconds if limited else None)
    rows = stage.rows(plan, roofs)
    try:
        while True:
            with alarm:
                row = next(rows, None)
            if row is None:
                return
            yield row
    except Exception as error:  # whatever it was, the other stages are still worth their minutes
        yield {"stopped": f"after {stage.seconds:g} s"} if alarm.rang else {"failed": f"{type(error).__name__}: {error}"}
    finally:
        release()


class Alarm:
    """Raises OutOfTime in this thread once so many seconds were spent within it."""

    def __init__(self, seconds: float | None) -> None:
        self._left, self.rang = seconds, False

    def __enter__(self) -> None:
        if self._left is not None:
            self._before = signal.signal(signal.SIGALRM, self._ring)
            self._begun = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, max(self._left, 1e-3))

    def __exit__(self, *_: object) -> None:
        if self._left is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            self._left -= time.monotonic() - self._begun

    def _ring(self, *_: Any) -> None:
        self.rang = True
        raise OutOfTime


class OutOfTime(Exception):
    """A stage may take no longer."""


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("gpu.run", __doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny shapes, on a CPU too: its figures mean nothing")
    parser.add_argument("--output", type=Path, default=Path("gpu-results"), metavar="DIR")
    parser.add_argument("--stages", nargs="+", choices=[stage.name for stage in STAGES], metavar="NAME", help="only these")
    return parser.parse_args(words)


def _facts(plan: Plan, *, smoke: bool) -> dict[str, Any]:
    facts = machine_facts(("torch", "transformers", "flash-attn", "torchao", "triton"))
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        facts["gpu"] = f"{found.name}, {found.total_memory / 2**30:.0f} GiB, {found.multi_processor_count} multiprocessors"
        facts["cuda"] = torch.version.cuda
    return facts | {"device": plan.device, "smoke": "tiny shapes: these figures mean nothing" if smoke else "no"}


if __name__ == "__main__":
    sys.exit(main())
