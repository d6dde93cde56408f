"""The share of the roof that a window would reach if all but its matrix products and attention took no time.

    python tests/measure/ceiling.py [--model default] [--tokens 1321] [--windows 5]

Scores on a CPU are plain transformers' to the bit, so products and attention are torch's own: what they take bounds `share` of
`firstrank bench throughput --device cpu`. Prints a JSON line: medians over the windows, by torch's profiler, with one roof for all
(the best of the model's products, timed before each window). Wall time, on as many threads as torch takes (OMP_NUM_THREADS).
"""

from __future__ import annotations

import argparse
import json
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM

from eval.bench.roof import flops_of_window, product_rate, shape_of
from reranker.models import load_model
from reranker.scorers.transformers import keep_freed_memory

PARTS = {"products": ("aten::mm", "aten::addmm"), "attention": ("aten::_scaled_dot_product_flash_attention_for_cpu",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--tokens", type=int, default=1321)
    parser.add_argument("--windows", type=int, default=5)
    given = parser.parse_args()
    keep_freed_memory()
    folder = load_model(given.model).path
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval().base_model
    shape, ids = shape_of(folder), torch.randint(100, 10_000, (1, given.tokens))
    windows, roof = [], 0.0
    with torch.inference_mode():
        network(input_ids=ids, use_cache=False)  # the first window of a process is slower
        for _ in range(given.windows):
            roof = max(roof, product_rate(shape, given.tokens))
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                network(input_ids=ids, use_cache=False)
            events = profiler.key_averages()
            windows.append(
                {part: sum(event.self_cpu_time_total for event in events if event.key in names) / 1e6 for part, names in PARTS.items()}
                | {"window": sum(event.self_cpu_time_total for event in events) / 1e6}
            )
    seconds = {part: median(window[part] for window in windows) for part in windows[0]}
    best = flops_of_window(shape, given.tokens) / roof
    print(
        json.dumps(
            {"tokens": given.tokens, "threads": torch.get_num_threads(), "roof": round(roof / 1e9, 1)}
            | {part: round(took, 3) for part, took in seconds.items()}
            | {"share": round(best / seconds["window"], 3)}
            | {"ceiling": round(best / (seconds["products"] + seconds["attention"]), 3)}
        )
    )


if __name__ == "__main__":
    main()
