"""The share of the roof that a window would reach if all but its matrix products and attention took no time.

    python -m benchmarks.ceiling [--model default] [--tokens 1081] [--windows 5]

Scores on a CPU are plain transformers' to the bit, so products and attention are torch's own: what they take bounds `share` of
`firstrank bench throughput --device cpu`. Prints a JSON line: medians over the windows, with one roof for all (the best of the
model's products, timed before each window). Wall time, on as many threads as torch takes (OMP_NUM_THREADS).
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from transformers import AutoModelForCausalLM

from benchmarks.arguments import parser_of
from firstrank.eval.bench.roof import flops_of_window, product_rate, shape_of
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.models.memory import keep_freed_memory


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("ceiling", __doc__)
    parser.add_argument("--model", default="first-smollm2")
    parser.add_argument("--tokens", type=int, default=1081)
    parser.add_argument("--windows", type=int, default=5)
    given = parser.parse_args(words)
    keep_freed_memory()
    folder = load_model(given.model).path
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval().base_model
    shape, ids = shape_of(folder), torch.randint(network.config.vocab_size, (1, given.tokens))
    took: Counter[str] = Counter()

    def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed_call(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            answer = call(*arguments, **options)
            took[part] += time.perf_counter() - started
            return answer

        return timed_call

    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            module.forward = timed("products", module.forward)
    attention = timed("attention", torch.nn.functional.scaled_dot_product_attention)
    windows, roof = [], 0.0
    with torch.inference_mode(), patch("torch.nn.functional.scaled_dot_product_attention", attention):
        network(input_ids=ids, use_cache=False)  # the first window of a process is slower
        for _ in range(given.windows):
            roof = max(roof, product_rate(shape, given.tokens))
            took.clear()
            timed("window", network)(input_ids=ids, use_cache=False)
            windows.append(dict(took))
    seconds = {part: median(window[part] for window in windows) for part in windows[0]}
    best = flops_of_window(shape, given.tokens) / roof
    print(
        json.dumps(
            {"tokens": given.tokens, "threads": torch.get_num_threads(), "roof": round(roof / 1e9, 1)}
            | {part: round(spent, 3) for part, spent in seconds.items()}
            | {"share": round(best / seconds["window"], 3)}
            | {"ceiling": round(best / (seconds["products"] + seconds["attention"]), 3)}
        )
    )


if __name__ == "__main__":
    sys.exit(main())
