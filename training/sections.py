"""The sections of a recipe, each with its keys, their defaults and what they may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from firstrank.reranker.errors import InputError
from firstrank.reranker.prompt.template import Excerpt
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

    @field_validator("random_negatives", "first_stage")
    @classmethod
    def _share(cls, ramp: Ramp) -> Ramp:
        if ramp.most > 1:
            raise ValueError(f"{ramp.most:g} is more than 1: it is a share")
        return ramp

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


class Doubt(Section):
    """Passages that may be relevant though nobody said so are left out of the ranking loss (denoised negatives, RocketQA)."""

    margin: NonNegativeFloat = Field(default=2.0, description="a worst-graded passage is left out if its logit is so far above the best's")
    begin: float = Field(default=0.3, ge=0, le=1, description="progress from which the model is trusted to doubt")


class RankLoss(Section):
    """The ranking loss on the label logits of the first position."""

    name: str = "weighted_ranknet"
    weight: Ramp = Field(default=Ramp(10.0), description="λ, which means the same for every loss; 0 turns it off; may move")
    unit: PositiveFloat | None = Field(
        default=None,
        description="what the loss is multiplied by beside λ; by default so that it pulls on this run's windows as FIRST's does",
    )
    options: Mapping[str, Any] = Field(default={}, description="of the loss: temperature, margin …")
    targets: Literal["grades", "scores"] = Field(
        default="grades", description="scores: the teacher's own numbers, which examples then need"
    )
    head: Literal["labels", "own"] = Field(
        default="labels", description="own: a head of its own, dropped after training; labels then learn by the LM loss alone"
    )
    doubt: Doubt | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.name != "weighted_ranknet" or self.options:
            from firstrank.training.losses import loss_of  # imports torch

            try:
                loss_of(self.name, self.options)
            except InputError as error:
                raise ValueError(str(error)) from error
        return self


class LMLoss(Section):
    """The language-model loss on the target ordering."""

    weight: Ramp = Field(default=Ramp(1.0), description="0 turns it off, and with it all logits but the labels'; may move")
    importance: Literal["uniform", "rank"] = Field(default="uniform", description="rank: the identifier at rank r counts 1 + 1/log2(r + 1)")
    ties: Literal["ignored", "likeliest", "first-stage"] = Field(
        default="ignored", description="identifiers of passages that tie count 0; or stand in the order that the model finds likeliest"
    )


class ZLoss(Section):
    """Keeps label logits from drifting: the square of the log of their softmax's denominator (PaLM, arXiv 2204.02311)."""

    weight: NonNegativeFloat = Field(default=0.0, description="0 turns it off; 1e-4 in PaLM")


class StartLoss(Section):
    """Keeps the label distribution near that of the weights before training: their Kullback-Leibler divergence. Adapters only."""

    weight: NonNegativeFloat = Field(default=0.0, description="0 turns it off")


class ProbeLoss(Section):
    """The same ranking loss where each passage has been read, at a middle layer: a signal for every passage. With `answer: marks` it is
    kept after training, and all that is kept."""

    weight: NonNegativeFloat = Field(default=0.0, description="0 turns it off")
    layer: PositiveInt = Field(default=1, description="after so many layers; two thirds of them leave room for what reads the marks")
    distill: Ramp = Field(
        default=Ramp(0.0),
        description="weight of its softmax's divergence from that of the label logits, which do not move for it; may move",
    )

    @property
    def is_on(self) -> bool:
        return bool(self.weight or self.distill.ever)


class Loss(Section):
    """L = lm.weight · LM + rank.weight · rank + probe.weight · probe + probe.distill · distill + z.weight · z + start.weight · start."""

    rank: RankLoss = RankLoss()
    lm: LMLoss = LMLoss()
    probe: ProbeLoss = ProbeLoss()
    z: ZLoss = ZLoss()
    start: StartLoss = StartLoss()

    @property
    def reads_end(self) -> bool:
        """Whether anything is learned from the last layer."""
        return bool(self.rank.weight.ever or self.lm.weight.ever or self.probe.distill.ever or self.z.weight or self.start.weight)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.rank.weight.ever or self.lm.weight.ever or self.probe.weight):
            raise ValueError("rank.weight and lm.weight are both 0: nothing would be learned that an answer shows")
        if self.rank.head == "own" and not self.lm.weight.ever:
            raise ValueError("rank.head: own: the labels would learn nothing without the LM loss; give lm.weight")
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
    fused: bool | None = Field(default=None, description="weights and change in one step of autograd a layer; by default on a CPU")
    bits: Literal[4, 8] | None = Field(
        default=None, description="the frozen weights of linear layers are held in so many bits (QLoRA): 4 (NF4) or 8, by bitsandbytes"
    )
    start: Path | None = Field(default=None, description="an adapter's folder to go on from, of the same rank, modules and layers")

    @model_validator(mode="after")
    def _held(self) -> Self:
        if self.bits and self.fused:
            raise ValueError("fused: multiplies whole weights, and bits holds them in few: leave one of them out")
        return self


class Lisa(Section):
    """Layerwise importance sampling: full tuning of a few layers at a time (arXiv 2403.17919)."""

    layers: PositiveInt = 2
    every: PositiveInt = Field(default=20, description="steps until others are drawn")


class Tuning(Section):
    """Which weights move."""

    method: Literal["lora", "full", "lisa"] = "lora"
    lora: Adapter = Adapter()
    lisa: Lisa = Lisa()
    precision: Literal["auto", "float32", "mixed", "bfloat16"] = Field(
        default="auto",
        description="mixed: fp32 weights that move, and bf16 arithmetic; bfloat16: weights too, with fp32 masters in the optimiser; "
        "auto: mixed on CUDA, and for LoRA on a CPU with bf16 units; else float32",
    )
    attention: Literal["auto", "windows", "sdpa", "eager", "flash_attention_2", "flex_attention"] = Field(
        default="auto", description="windows: each window of a packed row on its own; auto: that where the network allows it"
    )
    gradient_checkpointing: bool = False
    compile: bool = Field(
        default=False, description="norms, rotations and gates by torch.compile: faster steps after a minute; needs a C++ compiler"
    )
    neftune: NonNegativeFloat = Field(default=0.0, description="noise on embeddings (arXiv 2310.05914); 5 in FIRST")

    @model_validator(mode="after")
    def _frozen(self) -> Self:
        if self.lora.bits and self.method != "lora":
            raise ValueError(f"lora.bits: holds weights that do not move in few bits, and with method={self.method} they move; say lora")
        return self


class Optimiser(Section):
    """The optimiser and its schedule, by transformers' names."""

    name: str = Field(default="adamw_torch", description="also frugal, adamw_bnb_8bit (CUDA), galore_adamw, apollo_adamw …")
    args: str = Field(default="", description="its own options: 'rank=128, update_proj_gap=200'")
    target_modules: tuple[str, ...] | None = Field(default=None, description="for galore_… and apollo_…: names of the matrices to project")
    lr: PositiveFloat = 5e-6
    schedule: str = "cosine"
    warmup: int = Field(default=0, ge=0, description="steps")
    weight_decay: NonNegativeFloat = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: NonNegativeFloat = Field(default=1.0, description="largest gradient norm; 0 does not clip")


class Batching(Section):
    """A step's examples: windows × accumulation × processes."""

    windows: PositiveInt = Field(default=1, description="of one forward pass, in each process (where tokens does not say)")
    accumulation: PositiveInt = 8
    tokens: PositiveInt | None = Field(
        default=None, description="of one forward pass at most, a longer window alone: a step's windows are shared out so, packed"
    )
    packing: bool | None = Field(default=None, description="windows one after another in one row; by default where attention is `windows`")
    workers: int | None = Field(default=None, ge=0, description="processes that read and encode; by default 2 beside a GPU, else none")

    @property
    def step(self) -> int:
        """Windows of a step in one process."""
        return self.windows * self.accumulation


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
    insight: PositiveInt | None = Field(
        default=None, description="steps: how often label_mass and entanglement are logged, at the price of some of the head's work"
    )
    tensorboard: bool = False
    wandb: str | None = Field(default=None, description="a project's name")


class Export(Section):
    merged: bool = Field(default=True, description="a folder with whole weights")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
