"""The rows of a model's output head that belong to labels, in fp32 whatever the model's dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from firstrank.reranker.errors import ModelError

if TYPE_CHECKING:
    import torch

_BLOCK = 16
"""rows and labels of the product that gives a window's logits: BLAS sums a smaller one in another order than a whole prompt's"""
_TOLERANCE = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 2e-2}  # of 1 + the largest logit


class Finish(NamedTuple):
    """What a head does after its matrix: logits = cap · tanh(scale · raw / cap)."""

    scale: float = 1.0
    """`logit_scale`, or 1 / `logits_scaling`"""
    cap: float | None = None
    """`final_logit_softcapping`"""

    @classmethod
    def of(cls, network: Any) -> Finish:
        """As the configuration of a transformers model has it."""
        config = network.config.get_text_config()
        scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
        return cls(scale, getattr(config, "final_logit_softcapping", None))

    def __call__(self, raw: torch.Tensor) -> torch.Tensor:
        import torch

        scaled = raw * self.scale if self.scale != 1.0 else raw
        return self.cap * torch.tanh(scaled / self.cap) if self.cap else scaled


class LabelHead:
    """hidden states [rows, d], or one [d], and label ids -> logits [rows, n], or [n], in fp32.

    With fp32 weights on a CPU they are those of the model's own full logits, to the bit, whatever rows are beside. Elsewhere all rows are
    one product.

    A head may have a bias, a scale or a soft cap (`Finish`); a head that
    is not a plain matrix (a quantised one) computes its whole row itself, at that one position. What comes out is compared
    once, when this is made, with the model's own logits: a model whose head does more than that is refused, never guessed at.
    """

    def __init__(self, network: Any) -> None:
        import torch

        self._head = network.get_output_embeddings()
        if self._head is None:
            raise ModelError(f"{type(network).__name__} has no output head: it is not a causal language model that can rank")
        self._plain = type(self._head) is torch.nn.Linear and self._head.weight.is_floating_point()
        self._apart = next(network.parameters()).device.type == "cpu"
        self._finish = Finish.of(network)
        self._rows: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor | None]] = {}
        self._check(network)

    def __call__(self, hidden: torch.Tensor, label_ids: tuple[int, ...]) -> torch.Tensor:
        import torch

        if hidden.dim() == 1:
            return self(hidden[None], label_ids)[0]
        if not self._plain:
            logits = self._head(hidden)[:, list(label_ids)].float()
        elif self._apart:
            logits = torch.stack([self._alone(one, label_ids) for one in hidden])
        else:
            weight, bias = self._rows_of(label_ids)
            logits = torch.nn.functional.linear(hidden.float(), weight, bias)[:, : len(label_ids)]
        return self._finish(logits)

    def _alone(self, hidden: torch.Tensor, label_ids: tuple[int, ...]) -> torch.Tensor:
        import torch

        weight, bias = self._rows_of(label_ids)
        rows = hidden.float().expand(_BLOCK, -1).contiguous()
        return torch.nn.functional.linear(rows, weight, bias)[0, : len(label_ids)]

    def _rows_of(self, label_ids: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor | None]:
        if label_ids not in self._rows:
            surplus = -len(label_ids) % _BLOCK
            ids, bias = [*label_ids, *label_ids[:1] * surplus], self._head.bias
            self._rows[label_ids] = (self._head.weight[ids].float(), None if bias is None else bias[ids].float())
        return self._rows[label_ids]

    def _check(self, network: Any) -> None:
        """Compares with the model's own logits after a short input."""
        import torch

        device = next(network.parameters()).device
        labels = tuple(range(64))
        ids = torch.arange(1, 9, device=device).unsqueeze(0)
        with torch.inference_mode():
            own = network(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1, list(labels)].float()
            hidden = network.base_model(input_ids=ids, use_cache=False).last_hidden_state[0, -1]
            difference = float((self(hidden, labels) - own).abs().max())
        self._rows.clear()
        dtype = str(hidden.dtype).removeprefix("torch.")
        if not difference <= _TOLERANCE.get(dtype, 2e-2) * (1.0 + float(own.abs().max())):
            raise ModelError(
                f"{type(network).__name__}: its own label logits differ by {difference:.3g} from those of its head's rows: "
                "the head does something that Firstrank does not know; please report the model"
            )
