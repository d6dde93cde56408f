"""How long a strategy keeps the event loop waiting: its longest computation between two rounds, in processor time.

python tests/measure/strategy_steps.py [--depth 1000] [--strategies sliding consistent:aggregate=kemeny …]
"""

from __future__ import annotations

import argparse
import random
import time

from firstrank.reranker.strategies.register import STRATEGIES, parse_strategy
from firstrank.reranker.types import Scores, View


def measure(name: str, depth: int) -> tuple[float, float]:
    """(longest step, all steps), in seconds, of one request whose scores are a grade plus as much noise."""
    draw = random.Random(0)
    grades = [draw.gauss(0, 1) for _ in range(depth)]
    steps: list[float] = []
    generator = parse_strategy(name)(View(depth, [10] * depth, depth, 0))
    answers: list[Scores] | None = None
    while True:
        started = time.process_time()
        try:
            windows = next(generator) if answers is None else generator.send(answers)
        except StopIteration:
            windows = None
        steps.append(time.process_time() - started)
        if windows is None:
            return max(steps), sum(steps)
        answers = [Scores(tuple(grades[i] + draw.gauss(0, 1) for i in window)) for window in windows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=1000)
    parser.add_argument("--strategies", nargs="+", default=[*STRATEGIES, "consistent:aggregate=kemeny"])
    options = parser.parse_args()
    print("strategy | longest step, s | all steps, s")
    for name in options.strategies:
        longest, total = measure(name, options.depth)
        print(f"{name} | {longest:.4f} | {total:.4f}", flush=True)


if __name__ == "__main__":
    main()
