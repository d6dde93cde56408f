"""One recipe: `firstrank train CONFIG.yaml key=value …`. Everything that a run is made of, validated before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError, model_validator

from firstrank.reranker.config import config_dir, explained, read_yaml
from firstrank.reranker.errors import InputError
from firstrank.reranker.prompt.template import Excerpt, Template
from firstrank.reranker.strategies.schedule import Schedule
from firstrank.training.ramps import Ramp, Range


class Section(BaseModel):
    """A part of a recipe; a key that it does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Draw(Section):
    """How a window is drawn from an example, as training goes on."""

    window: Range | None = Field(default=None, description="passages of a window; by default all of the example's")
    random_negatives: Ramp = Field(default=Ramp(0.0), description="share of rivals that come from other examples, the easy ones")
    passage_tokens: Range | None = Field(default=None, description="each window's passages are cut after so many tokens")
    tokens: PositiveInt | None = Field(
        default=None, description="passages are cut so that a window's take about so many together, but not below passage_tokens' least"
    )
    first_stage: Ramp = Field(default=Ramp(0.0), description="share of windows that stand in first-stage order; the others are shuffled")
    alike: PositiveInt = Field(
        default=1, description="so many samples in a row share a size and a cut, so that little of a batch is padding"
    )

    @model_validator(mode="after")
    def _tokens_of_what(self) -> Self:
        if self.tokens is not None and (self.window is None or self.passage_tokens is None):
            raise ValueError("tokens is shared out among window's passages, within passage_tokens: give both")
        return self


class Serve(Section):
    """What the exported model says of itself (`firstrank.yaml`), each in place of the base model's; the dev score ranks so too."""

    strategy: str | None = Field(default=None, description="NAME[:key=value,…]")
    window: int | None = Field(default=None, ge=2, description="passages per window")
    stride: PositiveInt | None = Field(default=None, description="by default the base model's, but half of `window` at most")
    passage_tokens: PositiveInt | None = Field(default=None, description="passages are cut there; in training too, if draw does not before")
    excerpt: Excerpt | None = Field(default=None, description="what is shown of a passage that is cut; in training too")

    @model_validator(mode="after")
    def _legal(self) -> Self:
        try:
            Schedule(self.strategy, self.window, self.stride if self.window else None).build()
        except InputError as error:
            raise ValueError(str(error)) from error
        return self


class RankLoss(Section):
    """The ranking loss on the label logits of the first position."""

    name: str = "weighted_ranknet"
    weight: NonNegativeFloat = Field(default=10.0, description="λ; 0 turns it off")
    options: Mapping[str, Any] = Field(default={}, description="of the loss: temperature, margin …")


class LMLoss(Section):
    """The language-model loss on the target ordering."""

    weight: NonNegativeFloat = Field(default=1.0, description="0 turns it off, and with it all logits but the labels'")
    importance: Literal["uniform", "rank"] = Field(default="uniform", description="rank: the identifier at rank r counts 1 + 1/log2(r + 1)")


class ProbeLoss(Section):
    """The same ranking loss where each passage has been read, at a middle layer: a signal for every passage, dropped after training."""

    weight: NonNegativeFloat = Field(default=0.0, description="0 turns it off")
    layer: PositiveInt = Field(default=1, description="after so many layers; two thirds of them leave room for what reads the marks")


class Loss(Section):
    """L = lm.weight · LM + rank.weight · rank + probe.weight · probe."""

    rank: RankLoss = RankLoss()
    lm: LMLoss = LMLoss()
    probe: ProbeLoss = ProbeLoss()

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.rank.weight or self.lm.weight):
            raise ValueError("rank.weight and lm.weight are both 0: nothing would be learned that an answer shows")
        return self


class Difficulty(Section):
    """Hard samples count less early on (MacAvaney et al., SIGIR 2020)."""

    until: float = Field(default=0.3, gt=0, le=1, description="progress from which all count alike")


class Reweighting(Section):
    """Samples of a step are weighted by their loss (Sow et al., arXiv 2502.06733)."""

    kind: Literal["linupper", "quadratic", "extremes"] = "linupper"
    temperature: PositiveFloat = 1.0


class Adapter(Section):
    """LoRA or DoRA."""

    rank: PositiveInt = 16
    alpha: PositiveFloat = 32.0
    dropout: float = Field(default=0.0, ge=0, lt=1)
    dora: bool = False
    modules: str | tuple[str, ...] = Field(default="all-linear", description="names of the layers' parts")
    layers: tuple[int, int] | None = Field(
        default=None, description="[first, last] layer; by default all. Low layers left out cost no backward pass"
    )
    start: Path | None = Field(default=None, description="an adapter's folder to go on from, of the same rank, modules and layers")


class Lisa(Section):
    """Layerwise importance sampling: full tuning of a few layers at a time (arXiv 2403.17919)."""

    layers: PositiveInt = 2
    every: PositiveInt = Field(default=20, description="steps until others are drawn")


class Tuning(Section):
    """Which weights move."""

    method: Literal["lora", "full", "lisa"] = "lora"
    lora: Adapter = Adapter()
    lisa: Lisa = Lisa()
    precision: Literal["float32", "mixed", "bfloat16"] = Field(
        default="float32", description="mixed: fp32 weights, and bf16 arithmetic (fp32 on a CPU without bf16 units); bfloat16: weights too"
    )
    gradient_checkpointing: bool = False
    compile: bool = Field(default=False, description="layers by torch.compile: faster steps after a minute or two; needs a C++ compiler")
    neftune: NonNegativeFloat = Field(default=0.0, description="noise on embeddings (arXiv 2310.05914); 5 in FIRST")


class Optimiser(Section):
    """The optimiser and its schedule, by transformers' names."""

    name: str = Field(default="adamw_torch", description="also adamw_bnb_8bit (CUDA), galore_adamw, apollo_adamw …")
    args: str = Field(default="", description="its own options: 'rank=128, update_proj_gap=200'")
    target_modules: tuple[str, ...] | None = Field(default=None, description="for galore_… and apollo_…: names of the matrices to project")
    lr: PositiveFloat = 5e-6
    schedule: str = "cosine"
    warmup: int = Field(default=0, ge=0, description="steps")
    weight_decay: NonNegativeFloat = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: NonNegativeFloat = Field(default=1.0, description="largest gradient norm; 0 does not clip")


class Batching(Section):
    """A step's examples: windows of one forward × accumulation × processes."""

    windows: PositiveInt = Field(default=1, description="of one forward pass, in each process")
    accumulation: PositiveInt = 8
    packing: bool = Field(default=False, description="windows one after another in one row, without padding")
    workers: int = Field(default=0, ge=0, description="processes that read and encode")


class Dev(Section):
    """A development set, reranked as `firstrank rerank` would with the exported model."""

    run: Path
    qrels: str
    queries: str
    corpus: str
    depth: PositiveInt = 20
    limit: PositiveInt | None = Field(default=None, description="queries: the first so many of the run")
    every: PositiveInt = Field(default=100, description="steps")
    patience: PositiveInt | None = Field(default=None, description="evaluations without a better nDCG@10 after which training stops")


class Checkpoints(Section):
    every: PositiveInt = Field(default=100, description="steps")
    keep: PositiveInt = 2


class Log(Section):
    every: PositiveInt = Field(default=1, description="steps")
    tensorboard: bool = False
    wandb: str | None = Field(default=None, description="a project's name")


class Export(Section):
    merged: bool = Field(default=True, description="a folder with whole weights")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


class Config(Section):
    """A recipe."""

    model: str = Field(default="default", description="a name, a folder, or a Hugging Face id")
    revision: str | None = None
    answer: Literal["logits", "permutation"] | None = Field(default=None, description="in place of the model's own")
    template: str | Template | None = Field(default=None, description="in place of the model's own")
    context: PositiveInt | None = Field(default=None, description="tokens of a prompt, in place of the model's own")
    chat: Mapping[str, Any] | None = Field(default=None, description="options of the chat template, in place of the model's own")
    train: tuple[Path, ...] = Field(min_length=1, description="files of examples (JSONL)")
    output: Path
    seed: int = 0
    epochs: PositiveFloat = 1.0
    steps: PositiveInt | None = Field(default=None, description="in place of epochs")
    threads: PositiveInt | None = Field(default=None, description="CPU threads; by default torch's own number")
    draw: Draw = Draw()
    serve: Serve = Serve()
    loss: Loss = Loss()
    difficulty: Difficulty | None = None
    reweighting: Reweighting | None = None
    tuning: Tuning = Tuning()
    optimiser: Optimiser = Optimiser()
    batch: Batching = Batching()
    dev: Dev | None = None
    checkpoints: Checkpoints = Checkpoints()
    log: Log = Log()
    export: Export = Export()

    @model_validator(mode="before")
    @classmethod
    def _one_file(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and isinstance(fields.get("train"), (str, Path)):
            return fields | {"train": [fields["train"]]}
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.dev and self.checkpoints.every % self.dev.every:
            raise ValueError("checkpoints.every must be a multiple of dev.every, so that the best weights are kept")
        if self.reweighting and self.batch.windows < 2:
            raise ValueError("reweighting: compares the windows of one forward pass; say batch.windows=8")
        return self


def read_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """A recipe from a file, or by the name of one in `configs/training/`, with `key=value` overrides (`optimiser.lr=1e-4`).

    Raises InputError that names the key.
    """
    path = Path(source)
    shipped = config_dir() / "training" / f"{source}.yaml"
    path = shipped if not path.is_file() and shipped.is_file() else path
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in shipped.parent.glob("*.yaml")))
        raise InputError(f"{source}: no such recipe; give a YAML file, or one of {names}")
    fields = read_yaml(path)
    for override in overrides:
        _set(fields, override)
    try:
        return Config.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"{path}: {explained(error)}") from error


def _set(fields: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise InputError(f"{override!r}: write key=value, say optimiser.lr=1e-4")
    *sections, last = key.split(".")
    for section in sections:
        inner = fields.get(section)
        fields[section] = dict(inner) if isinstance(inner, dict) else {}
        fields = fields[section]
    try:
        fields[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"{override!r}: the value is not YAML: {' '.join(str(error).split())}") from error
