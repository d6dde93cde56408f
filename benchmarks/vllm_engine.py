"""What vLLM's two modes cost, what batching gains, what holding an ordering to its language costs, and parity on long windows.

    python -m benchmarks.vllm_engine modes|batching|ordering|parity|adapter|parallel …

Real passages (docstrings of the standard library), the default model. Each question starts its own engines; the prefix cache is emptied
before each pass, or off. Prints JSON lines: windows and tokens a second, seconds a window, or how far scores are apart. Needs vllm: run it
in the virtual environment of `make test-vllm`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import parser_of
from firstrank.reranker import Reranker
from firstrank.reranker.errors import FirstrankError
from firstrank.reranker.models.loaded import load_model
from firstrank.reranker.scorers.backends import open_scorer
from tests.reranker.scorers.served import served
from tests.reranker.scorers.windows import assert_agree, log_softmax, score_all, windows

LONG, SHORT = 44, 5
"""passages of about 29 tokens, and a frame of 50: windows of about 1,350 and 200 tokens"""
PASSES = 3


async def timed(scorer, asked, at_once):
    """Seconds for all windows, from an empty prefix cache; and their scores."""
    await scorer.engine.reset_prefix_cache()
    started = time.perf_counter()
    scores = await score_all(scorer, asked, at_once)
    return time.perf_counter() - started, scores


def report(what, seconds, scores, at_once):
    tokens = sum(one.prompt_tokens for one in scores)
    line = {"what": what, "at once": at_once, "windows": len(scores), "tokens a window": round(tokens / len(scores))}
    line |= {"seconds a window": round(seconds / len(scores), 3), "windows/s": round(len(scores) / seconds, 3)}
    print(json.dumps(line | {"prompt tokens/s": round(tokens / seconds)}), flush=True)


def with_scorer(run, **options):
    """Runs `run(scorer)` on an engine of its own."""
    with asyncio.Runner() as loop:
        scorer, _ = open_scorer("first-smollm2", "vllm", **options)
        try:
            loop.run(score_all(scorer, windows(2, seed=99), 2))
            return loop.run(run(scorer))
        finally:
            scorer.close()


def modes():
    """generate against pooling: long windows, one at a time and 8 at once."""
    for mode in ("generate", "pooling"):

        async def run(scorer, mode=mode):
            for at_once, count in ((1, 8), (8, 16)):
                seconds, scores = await timed(scorer, windows(count, LONG, seed=at_once), at_once)
                report(mode, seconds, scores, at_once)

        with_scorer(run, engine={"mode": mode, "max_model_len": 4096})


def batching():
    """64 requests at once through the executor against one at a time, in turn, on short windows and on long ones."""
    for dtype in ("float32", "bfloat16"):
        engine = {"max_model_len": 4096, "enable_prefix_caching": False}  # passes repeat their prompts
        with Reranker("first-smollm2", backend="vllm", strategy="full", dtype=dtype, engine=engine) as reranker:
            for n, count in ((SHORT, 64), (LONG, 12)):
                requests = windows(count, n, seed=n)
                passes = [(ranked(reranker, requests, 1), ranked(reranker, requests, 64)) for _ in range(1 + PASSES)]
                alone, together = (statistics.median(seconds for seconds, _ in way) for way in zip(*passes[1:], strict=True))
                [(_, one_by_one), (_, at_once)] = passes[-1]
                tokens = sum(ranking.trace.prompt_tokens for ranking in at_once)
                found = {"dtype": dtype, "windows": count, "tokens a window": round(tokens / count)}
                found |= {"tokens/s alone": round(tokens / alone), "together": round(tokens / together), "gain": round(alone / together, 3)}
                found["gains"] = [round(one[0] / other[0], 3) for one, other in passes[1:]]
                print(json.dumps(found | agreement(at_once, one_by_one)), flush=True)


def ranked(reranker, requests, at_once):
    """Seconds for all requests, one after another or all submitted together; and their rankings."""
    started = time.perf_counter()
    if at_once == 1:
        rankings = [ranking for request in requests for ranking in reranker.rank_many([request])]
    else:
        rankings = list(reranker.rank_many(requests))
    return time.perf_counter() - started, rankings


def agreement(rankings, others):
    """Windows with the same best passage, pairs ordered otherwise, and how far apart the furthest of these are."""
    swapped, pairs, apart = 0, 0, 0.0
    for one, other in zip(rankings, others, strict=True):
        scores = {result.docid: (result.score, other.score_of(result.docid)) for result in one}
        for (a, b), (c, d) in itertools.combinations(scores.values(), 2):
            pairs += 1
            if (a > c) != (b > d):
                swapped, apart = swapped + 1, max(apart, abs(a - c), abs(b - d))
    same = sum(one[0].docid == other[0].docid for one, other in zip(rankings, others, strict=True))
    return {"same best": same, "pairs": pairs, "swapped": swapped, "furthest apart": round(apart, 4)}


def ordering():
    """The whole ordering of 20, free and held to its language: seconds a window and a token."""
    for constrained in (True, False):

        async def run(scorer, constrained=constrained):
            for at_once, count in ((1, 3), (8, 8)):
                seconds, scores = await timed(scorer, windows(count, 20, seed=at_once), at_once)
                report("held" if constrained else "free", seconds, scores, at_once)
                tokens = sum(one.generated_tokens for one in scores)
                malformed = sum(bool(one.notes) for one in scores)
                print(json.dumps({"milliseconds a token": round(1000 * seconds / tokens, 1), "malformed": malformed}), flush=True)

        with_scorer(run, answer="permutation", constrained=constrained, engine={"max_model_len": 4096})


def parity():
    """Long windows: vLLM's two modes, and a server of its own, against transformers."""
    asked = windows(24, LONG, seed=7)
    reference, _ = open_scorer("first-smollm2", dtype="float32")
    expected = asyncio.run(score_all(reference, asked, 1))
    reference.close()

    async def run(scorer):
        return await score_all(scorer, asked, 4)

    def compare(way, found):
        assert_agree(found, expected)
        pairs = [zip(log_softmax(one.values), log_softmax(other.values), strict=True) for one, other in zip(found, expected, strict=True)]
        furthest = max(abs(a - b) for pair in pairs for a, b in pair)
        print(json.dumps({"way": way, "windows": len(found), "largest difference": furthest}), flush=True)

    for mode in ("generate", "pooling"):
        compare(mode, with_scorer(run, engine={"mode": mode, "max_model_len": 4096}))
    with tempfile.TemporaryDirectory() as scratch, served(Path(scratch)) as address:
        remote, _ = open_scorer("first-smollm2", "openai", base_urls=(address,))
        compare("remote", asyncio.run(run(remote)))


def adapter():
    """A LoRA adapter in the engine against the same adapter merged by peft."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = load_model("first-smollm2")
    source, asked = model.path, windows(10, seed=8)
    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(0)
        config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj", "o_proj"], init_lora_weights=False)
        network = get_peft_model(AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32), config)
        network.save_pretrained(f"{scratch}/adapter")
        network.merge_and_unload().save_pretrained(f"{scratch}/merged")
        AutoTokenizer.from_pretrained(source).save_pretrained(f"{scratch}/merged")
        card = {"template": model.spec.template, "context": model.spec.context, "passage_tokens": model.spec.passage_tokens}
        Path(scratch, "merged", "firstrank.yaml").write_text(json.dumps(card))
        merged, _ = open_scorer(f"{scratch}/merged", dtype="float32")
        expected = asyncio.run(score_all(merged, asked, 1))
        plain, _ = open_scorer("first-smollm2", dtype="float32")
        unadapted = asyncio.run(score_all(plain, asked, 1))

        async def run(scorer):
            return await score_all(scorer, asked, 4)

        found = with_scorer(run, engine={"lora": f"{scratch}/adapter", "max_model_len": 4096})
    pairs = [zip(log_softmax(one.values), log_softmax(other.values), strict=True) for one, other in zip(found, expected, strict=True)]
    away = [zip(log_softmax(one.values), log_softmax(other.values), strict=True) for one, other in zip(found, unadapted, strict=True)]
    print(json.dumps({"largest difference to merged": max(abs(a - b) for pair in pairs for a, b in pair)}))
    print(json.dumps({"largest difference to no adapter": max(abs(a - b) for pair in away for a, b in pair)}), flush=True)


def parallel():
    """Pipeline and data parallel on two cores: does it start, and answer the same? (The model's 9 heads and 3 KV heads do not halve.)

    On a machine of one NUMA node vLLM wants VLLM_CPU_OMP_THREADS_BIND="0|1".
    """
    asked = windows(6, seed=9)
    reference, _ = open_scorer("first-smollm2", dtype="float32")
    expected = asyncio.run(score_all(reference, asked, 1))
    for size in ("pipeline_parallel_size", "data_parallel_size"):

        async def run(scorer):
            return await score_all(scorer, asked, 3)

        try:
            found = with_scorer(run, engine={size: 2, "max_model_len": 4096, "kv_cache_memory_bytes": "1GiB"})
        except FirstrankError as error:
            print(json.dumps({size: 2, "error": str(error)}), flush=True)
            continue
        assert_agree(found, expected)
        print(json.dumps({size: 2, "agrees": True}), flush=True)


QUESTIONS = {answer.__name__: answer for answer in (modes, batching, ordering, parity, adapter, parallel)}


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("vllm_engine", __doc__)
    parser.add_argument("questions", nargs="+", choices=QUESTIONS, metavar="QUESTION", help=f"{', '.join(QUESTIONS)}")
    for name in parser.parse_args(words).questions:
        print(f"# {name}", flush=True)
        QUESTIONS[name]()


if __name__ == "__main__":
    sys.exit(main())
