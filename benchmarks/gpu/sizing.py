"""What a model needs of a GPU, and gives on it, computed from its shape: the tables of docs/sizing.md.

    python -m benchmarks.gpu.sizing [--write]

Estimates, by the formulas on that page; --write puts them there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.arguments import parser_of
from benchmarks.gpu.plan import SHAPES, Shape

PAGE = Path(__file__).parents[2] / "docs" / "sizing.md"
BATCH = 32_768
"""tokens of a batch, by default"""
WINDOW = 2_100
"""tokens of a window of 20 passages of 100"""
SHARE = 0.45
"""of the peak, assumed"""
GPUS = {"H200": (989e12, 141), "A100": (312e12, 80), "L40S": (362e12, 48), "L4": (121e12, 24)}
"""dense bf16 operations a second and GB, by their data sheets"""
GB = 1e9


def weights(shape: Shape, dtype: str) -> float:
    """Bytes: embeddings and head stay in bf16."""
    return shape.layer_parameters * {"bfloat16": 2, "fp8": 1}[dtype] + shape.end_parameters * 2


def batch(shape: Shape, tokens: int = BATCH) -> float:
    """Bytes of a pass's largest moment: in a layer's second half stand its input, the rest that is added, and three wide products."""
    return 2.0 * tokens * (3 * shape.inner + 6 * shape.hidden)


def state(shape: Shape) -> float:
    """Bytes that vLLM's cache keeps of a token."""
    return 2.0 * 2 * shape.layers * shape.key_heads * shape.head


def operations(shape: Shape, tokens: int = WINDOW) -> float:
    """Of a window."""
    return 2.0 * shape.layer_parameters * tokens + 2.0 * shape.layers * shape.heads * shape.head * tokens**2


def tables() -> str:
    memory = (
        [
            name,
            f"{(shape.layer_parameters + shape.end_parameters) / GB:.2f}",
            f"{weights(shape, 'bfloat16') / GB:.1f}",
            f"{weights(shape, 'fp8') / GB:.1f}",
            f"{batch(shape) / GB:.1f}",
            f"{state(shape) / 1000:.0f}",
            _fits(weights(shape, "bfloat16") + batch(shape)),
        ]
        for name, shape in _real()
    )
    speed = (
        [name, f"{operations(shape) / 1e12:.2f}", *(_rate(shape, peak) for peak, _ in GPUS.values()), "not measured"]
        for name, shape in _real()
    )
    columns = ["model", "10⁹ parameters", "bf16, GB", "fp8, GB", "batch, GB", "vLLM's cache, kB a token", "smallest GPU for bf16"]
    found = [_table(columns, memory), _table(["model", "Tflop a window", *GPUS, "measured"], speed)]
    return "\n\n".join(found)


def main(words: Sequence[str] | None = None) -> None:
    parser = parser_of("gpu.sizing", __doc__)
    parser.add_argument("--write", action="store_true", help="into the page")
    if not parser.parse_args(words).write:
        print(tables())
        return
    text = PAGE.read_text(encoding="utf-8")
    made = re.sub(r"(<!-- sizes -->\n).*?(<!-- end -->)", lambda found: f"{found[1]}{tables()}\n{found[2]}", text, flags=re.S)
    PAGE.write_text(made, encoding="utf-8")


def _real() -> Iterator[tuple[str, Shape]]:
    return ((name, shape) for name, shape in SHAPES.items() if name != "tiny")


def _rate(shape: Shape, peak: float) -> str:
    return f"{peak * SHARE / operations(shape):.3g}"


def _fits(needed: float) -> str:
    """With a tenth of its memory left free."""
    fitting = [(size, name) for name, (_, size) in GPUS.items() if needed <= 0.9 * size * GB]
    return min(fitting)[1] if fitting else "several"


def _table(columns: Sequence[str], rows: Iterator[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
