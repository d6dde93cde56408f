"""Seconds for many queries' feedback at once, and how far the vectors are from those of one query at a time.

python tests/measure/feedback_batch.py   (1,000 random queries x 100 passages x 384 dimensions, 100 steps)
"""

from __future__ import annotations

import time

import numpy as np

from firstrank.reranker.feedback import Feedback, distil

QUERIES, PASSAGES, DIMENSIONS, STEPS, ALONE = 1000, 100, 384, 100, 10


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


if __name__ == "__main__":
    draw = np.random.default_rng(0)
    queries = unit(draw.normal(size=(QUERIES, DIMENSIONS)))
    passages = [unit(query + 1.2 * unit(draw.normal(size=(PASSAGES, DIMENSIONS)))) for query in queries]
    scores = [draw.normal(size=PASSAGES).astype(np.float32) for _ in range(QUERIES)]
    for objective in ("kl", "ranknet", "ridge"):
        how = Feedback(objective, steps=STEPS)
        started = time.perf_counter()
        moved = distil(queries, passages, scores, how)
        seconds = time.perf_counter() - started
        alone = np.concatenate([distil(queries[i : i + 1], passages[i : i + 1], scores[i : i + 1], how) for i in range(ALONE)])
        print(f"{objective:8} {seconds:.2f} s, largest difference from one at a time {np.abs(alone - moved[:ALONE]).max():.1e}")
