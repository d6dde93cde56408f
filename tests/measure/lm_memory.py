"""Peak memory of the LM loss, plain and chunked, on a CPU: `python -m tests.measure.lm_memory [TOKENS VOCABULARY HIDDEN]`.

Each runs in a process of its own. The peak is the resident set's high-water mark beyond what stood before the loss: hidden states,
the head's weights, and room for the gradients of both, which are touched beforehand.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time


def measure(kind: str, tokens: int, vocabulary: int, hidden: int) -> dict[str, float]:
    import torch

    torch.manual_seed(0)
    states = torch.randn(tokens, hidden, requires_grad=True)
    weight = torch.randn(vocabulary, hidden).mul_(hidden**-0.5).requires_grad_()
    ids = torch.randint(vocabulary, (tokens,))
    states.grad, weight.grad = torch.full_like(states, 1e-9), torch.full_like(weight, 1e-9)
    chunked(states[:2].detach(), weight.detach()[:64], ids[:2] % 64)  # what libraries allocate once
    before, watch = _resident(), _Watch()
    started = time.perf_counter()
    losses = (
        torch.nn.functional.cross_entropy(states @ weight.T, ids, reduction="none") if kind == "plain" else chunked(states, weight, ids)
    )
    loss = losses.mean()
    loss.backward()
    seconds = time.perf_counter() - started
    return {"loss": loss.item(), "peak MiB": (watch.stop() - before) / 2**20, "seconds": seconds, "grad": float(states.grad.norm())}


def chunked(states, weight, ids):
    from firstrank.training.lm import Head, token_losses

    return token_losses(states, Head(weight), ids)


class _Watch:
    """The resident set's high-water mark, sampled every millisecond."""

    def __init__(self) -> None:
        self._most, self._going = _resident(), True
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def _sample(self) -> None:
        while self._going:
            self._most = max(self._most, _resident())
            time.sleep(0.001)

    def stop(self) -> int:
        self._going = False
        self._thread.join()
        return self._most


def _resident() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [2048, 152064, 256]
    found = {}
    for kind in ("plain", "chunked"):
        command = [sys.executable, "-m", "tests.measure.lm_memory", "--one", kind, *map(str, sizes)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"MALLOC_TRIM_THRESHOLD_": "0"})
        found[kind] = json.loads(done.stdout)
        print(kind, {name: round(value, 4) for name, value in found[kind].items()}, flush=True)
    share = found["chunked"]["peak MiB"] / found["plain"]["peak MiB"]
    print(f"{sizes[0]} tokens x {sizes[1]} vocabulary: the chunked loss's peak is {share:.3f} of the plain one's")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], *map(int, sys.argv[3:]))))
    else:
        main()
