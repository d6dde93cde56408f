"""Cross-entropy over the whole vocabulary without its logits: after Cut Cross-Entropy (Wijmans et al., arXiv 2411.09009).

Only the positions that are given reach the head. Logits exist for a block of the vocabulary at a time, in fp32; the backward
pass computes them again, so that peak memory does not grow with the vocabulary. On CUDA the paper's own kernels take over,
where the package `cut-cross-entropy` is installed, else those of `liger-kernel`.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from packaging.version import Version
from torch import Tensor
from torch.nn.functional import linear

from firstrank.reranker.scorers.transformers.head import Finish

_BLOCK = 4096
"""rows of the vocabulary whose logits exist at once"""


class Head(NamedTuple):
    """A language model's output layer: what `Finish` makes of W h + b."""

    weight: Tensor
    """[vocabulary, hidden]"""
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, network: Any) -> Head:
        """The head of a transformers model; `LabelHead` is what checks heads against the model's own logits."""
        layer = network.get_output_embeddings()
        return cls(layer.weight, getattr(layer, "bias", None), *Finish.of(network))

    def logits(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """[rows, labels], fp32: the logits of those tokens alone."""
        bias = None if self.bias is None else self.bias[ids].float()
        return self.finished(linear(hidden.float(), self.weight[ids].float(), bias))

    def all_logits(self, hidden: Tensor) -> Tensor:
        """[rows, vocabulary], fp32: for few rows."""
        bias = None if self.bias is None else self.bias.float()
        return self.finished(linear(hidden.float(), self.weight.float(), bias))

    def finished(self, raw: Tensor) -> Tensor:
        return Finish(self.scale, self.cap)(raw)


def token_losses(hidden: Tensor, head: Head, ids: Tensor) -> Tensor:
    """[tokens], fp32: minus the log-probability of each token of `ids`, given the hidden state [tokens, hidden] before it."""
    if hidden.is_cuda and (found := _on_cuda(hidden, head, ids)) is not None:
        return found
    found = _TokenLosses.apply(hidden, head.weight, head.bias, ids, head.scale, head.cap)  # type: ignore[no-untyped-call]  # torch says no type
    assert isinstance(found, Tensor)
    return found


def _on_cuda(hidden: Tensor, head: Head, ids: Tensor) -> Tensor | None:
    """The fused kernels, for heads that they know; None where there are none."""
    if head.scale != 1.0 or hidden.dtype == torch.float32:
        return None
    if head.bias is None and find_spec("cut_cross_entropy"):
        from cut_cross_entropy import linear_cross_entropy

        found: Tensor = linear_cross_entropy(hidden, head.weight.to(hidden.dtype), ids, softcap=head.cap, reduction="none")
        return found.float()
    if _has_liger():
        return _by_liger(hidden, head, ids)
    return None


def _has_liger() -> bool:
    """Older versions give wrong gradients for the losses of single tokens."""
    return bool(find_spec("liger_kernel")) and Version(version("liger-kernel")) >= Version("0.8.2")


def _by_liger(hidden: Tensor, head: Head, ids: Tensor) -> Tensor:
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    weight, bias = head.weight.to(hidden.dtype), None if head.bias is None else head.bias.to(hidden.dtype)
    losses: Tensor = liger_fused_linear_cross_entropy(
        hidden, weight, ids, bias, reduction="none", softcap=head.cap, accum_dtype=torch.float32
    )
    return losses


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, scale: float, cap: float | None) -> Tensor:
        head = Head(weight, bias, scale, cap)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        total = hidden.new_full((len(ids),), -torch.inf, dtype=wide)
        target = hidden.new_zeros(len(ids), dtype=wide)
        for start in range(0, len(weight), _BLOCK):
            logits = head.finished(_raw(hidden, weight, bias, start))
            total = torch.logaddexp(total, torch.logsumexp(logits, -1))
            here = (ids >= start) & (ids < start + logits.shape[1])
            target[here] = logits[here, ids[here] - start]
        ctx.save_for_backward(hidden, weight, bias, ids, total)
        ctx.scale, ctx.cap = scale, cap
        return total - target

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, ids, total = ctx.saved_tensors
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.zeros_like(hidden, dtype=total.dtype) if wants_hidden else None
        grad_weight = torch.zeros_like(weight) if wants_weight else None
        grad_bias = torch.zeros_like(bias) if wants_bias and bias is not None else None
        head = Head(weight, bias, ctx.scale, ctx.cap)
        for start in range(0, len(weight), _BLOCK):
            block = slice(start, min(start + _BLOCK, len(weight)))
            logits = head.finished(_raw(hidden, weight, bias, start))
            pull = torch.exp(logits - total.unsqueeze(-1))
            here = (ids >= start) & (ids < block.stop)
            pull[here, ids[here] - start] -= 1.0
            pull *= grads[0].unsqueeze(-1) * ctx.scale
            if ctx.cap:
                pull *= 1.0 - (logits / ctx.cap).square()
            if grad_hidden is not None:
                grad_hidden += (pull.to(weight.dtype) @ weight[block]).to(grad_hidden.dtype)
            if grad_weight is not None:
                grad_weight[block] = pull.to(hidden.dtype).T @ hidden
            if grad_bias is not None:
                grad_bias[block] = pull.sum(0).to(grad_bias.dtype)
        return None if grad_hidden is None else grad_hidden.to(hidden.dtype), grad_weight, grad_bias, None, None, None


def _raw(hidden: Tensor, weight: Tensor, bias: Tensor | None, start: int) -> Tensor:
    """[tokens, a block of the vocabulary] in fp32 (fp64 where the hidden states are)."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    raw = linear(hidden.to(weight.dtype), weight[start : start + _BLOCK]).to(wide)
    return raw if bias is None else raw + bias[start : start + _BLOCK].to(wide)
