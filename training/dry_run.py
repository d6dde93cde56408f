"""`firstrank train --dry-run`: three examples as the model will see them, with labels, targets and masks; no weights are loaded."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from firstrank.reranker.models.loaded import Model
from firstrank.training.config import Config
from firstrank.training.run import fitted, open_model, total_steps
from firstrank.training.samples.batch import Batch, collate
from firstrank.training.samples.examples import Examples
from firstrank.training.samples.sample import Sample

_SHOWN = 3
_EDGE = 700
"""characters of a prompt's head and tail that are shown"""


def show(config: Config) -> None:
    """Raises InputError for what would stop the run before its first step."""
    model, examples = open_model(config), Examples(config.train)
    steps = total_steps(config, examples)
    samples = fitted(config, model, examples, steps * config.batch.step)
    console = Console(highlight=False, soft_wrap=True)
    for line in described(config, model, len(examples), steps, [samples[i] for i in range(min(_SHOWN, len(samples)))]):
        console.print(line)


def described(config: Config, model: Model, examples: int, steps: int, samples: list[Sample]) -> Iterator[str]:
    """The lines of a dry run, with rich's markup: labels green, the answer yellow."""
    rank, lm = config.loss.rank, config.loss.lm
    yield f"{examples} examples, {steps} steps of {config.batch.step} windows in each process"
    yield f"model {model.name}, template {model.spec.template_name}, context {model.prompter.context} tokens"
    if model.spec.answer == "marks":
        yield f"the exported model reads marks after {model.spec.layers} layers"
    yield f"the exported model ranks by {model.spec.strategy}, {model.spec.window} passages a window, stride {model.spec.stride}"
    yield f"loss = {lm.weight} · LM ({lm.importance} importance) + {rank.weight} · {rank.name}"
    for number, sample in enumerate(samples):
        sizes = f"{len(sample.grades)} passages, {len(sample.prompt)} prompt tokens, {len(sample.answer)} answer tokens"
        yield f"\n[bold]sample {number}[/]: query {escape(sample.qid)}, {sizes}"
        answer = f"[yellow]{escape(model.tokenizer.decode(sample.answer))}[/]" if sample.answer else ""
        yield escape(_shortened(model.tokenizer.decode(sample.prompt))) + answer
        yield from _labelled(model, sample, collate([sample], packing=bool(config.batch.packing)))
    yield from _masks(samples, config)


def _labelled(model: Model, sample: Sample, batch: Batch) -> Iterator[str]:
    end = escape(repr(model.tokenizer.decode(sample.prompt[-3:])))
    yield f"label logits are read at position {int(batch.label_rows[0])} (from 0), after {end}"
    pairs = zip(model.prompter.identifiers, sample.grades, sample.places, strict=False)
    yield "targets: " + ", ".join(f"[green]{name}[/] {grade:g} (first stage {place + 1})" for name, grade, place in pairs)
    if sample.answer:
        rows, tokens = batch.answer_rows.tolist(), model.tokenizer.convert_ids_to_tokens(sample.answer)
        yield f"LM loss at positions {rows[0]} to {rows[-1]}, the prompt masked: " + " ".join(
            f"{escape(str(token))}·{weight:.2f}" for token, weight in zip(tokens, sample.importance, strict=True)
        )


def _masks(samples: list[Sample], config: Config) -> Iterator[str]:
    batch = collate(samples, packing=bool(config.batch.packing))
    yield f"\nas one batch: input {tuple(batch.input_ids.shape)}, of it {batch.tokens} tokens; mask of passages:"
    yield from ("".join("1" if there else "0" for there in row) for row in batch.mask.tolist())


def _shortened(text: str) -> str:
    return text if len(text) <= 2 * _EDGE else f"{text[:_EDGE]}\n… {len(text) - 2 * _EDGE} characters …\n{text[-_EDGE:]}"
