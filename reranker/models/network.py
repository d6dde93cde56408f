"""A model's weights as a network: every tensor of the checkpoint in its place, or a sentence that names those that are not.

transformers draws a tensor that a checkpoint lacks at random, leaves out one that it does not know, and only logs either; peft does
the same with adapters. Both would rank, wrongly.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstrank.reranker.errors import FirstrankError, MachineError, ModelError
from firstrank.reranker.models.folder import is_adapter
from firstrank.reranker.models.layers import cut_config, is_beyond, make_norm_plain
from firstrank.reranker.models.quiet import quiet
from firstrank.reranker.models.spec import Norm
from firstrank.reranker.models.turns import LOADING

if TYPE_CHECKING:
    import torch

_HARMLESS = re.compile(r"rotary_emb\.inv_freq$|\.masked_bias$|\.attn\.bias$|^v_head\.|^value_head\.|(^|\.)mtp\.")
"""left over without a loss: buffers that old versions kept, value heads of training, heads that guess further tokens"""
_EMBEDDINGS = re.compile(r"embed_tokens|lm_head|\.wte\.")
_SHOWN = 4


def hidden_size(folder: Path) -> int | None:
    """What config.json says; None where it says nothing."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    size = found.get("hidden_size", found.get("n_embd")) if isinstance(found, dict) else None
    return size if isinstance(size, int) else None


def load_network(
    name: str, path: Path, dtype: torch.dtype | None, *, base: Path | None = None, layers: int | None = None, norm: Norm = "own"
) -> Any:
    """The causal language model in a folder, on the CPU; of an adapter, merged into the network in `base`.

    `layers` keeps the first so many, `norm="plain"` takes the weights out of the final norm.
    Raises ModelError where it cannot be read, where tensors are missing, left over, of another shape, or not finite, and for more layers
    than it has.
    """
    import torch

    try:
        with LOADING:
            network = _read(name, path, dtype, base, layers)
    except (FirstrankError, torch.OutOfMemoryError):
        raise
    except MemoryError as error:
        raise MachineError(f"model {name!r}: its weights do not fit into this machine's memory") from error
    except Exception as error:  # what safetensors and a model's own code raise has no common root
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"model {name!r}: cannot load the weights in {path}: {reason}") from error
    _check_finite(name, path, network)
    if norm == "plain":
        make_norm_plain(name, network)
    return network


def _read(name: str, path: Path, dtype: torch.dtype | None, base: Path | None, layers: int | None) -> Any:
    if not is_adapter(path):
        return _whole(name, path, dtype, layers)
    assert base is not None
    return merged(path, _whole(name, base, dtype, layers), name, layers)


def merged(adapter: Path, network: Any, name: str = "", layers: int | None = None) -> Any:
    """A folder's adapter merged into `network`, which may have its first `layers` layers only. Raises ModelError where it does not fit."""
    from peft import PeftModel, get_peft_model_state_dict
    from peft.utils.save_and_load import load_peft_weights

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # for whoever maintains peft
        adapted = PeftModel.from_pretrained(network, str(adapter))
    wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
    found = load_peft_weights(str(adapter), device="cpu").keys()
    surplus = {one for one in found - wanted if not (_EMBEDDINGS.search(one) or is_beyond(one, layers))}  # peft may save whole embeddings
    _check_names(name or adapter.name, adapter, "the model that the adapter is for", wanted - found, surplus)
    if not hasattr(adapted, "merge_and_unload"):
        raise ModelError(
            f"model {name or adapter.name!r}: {adapter}: an adapter of this kind cannot be merged into weights; use a LoRA adapter"
        )
    return adapted.merge_and_unload()


def _whole(name: str, path: Path, dtype: torch.dtype | None, layers: int | None) -> Any:
    from transformers import AutoModelForCausalLM

    cut = {} if layers is None else {"config": cut_config(name, path, layers)}
    with quiet():
        found: Any = AutoModelForCausalLM.from_pretrained(
            path,
            **cut,
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # to name them all
        )
    network, told = found
    surplus = [one for one in told["unexpected_keys"] if not _HARMLESS.search(one) and not is_beyond(one, layers)]
    _check_names(name, path, type(network).__name__, told["missing_keys"], surplus, told["mismatched_keys"])
    return network


def _check_names(name: str, path: Path, what: str, missing: Collection[str], surplus: Collection[str], shapes: Iterable[Any] = ()) -> None:
    """Raises ModelError with the names of the tensors that do not fit."""
    other = [f"{one[0]} {tuple(one[1])} for {tuple(one[2])}" if isinstance(one, (tuple, list)) else str(one) for one in shapes]
    found = {"lacks": sorted(missing), "has in another shape": sorted(other), "has no place for": sorted(surplus)}
    said = "; ".join(f"{how} {_listed(names)}" for how, names in found.items() if names)
    if said:
        raise ModelError(f"model {name!r}: the weights in {path} do not fit {what}: {said}. {_mend(missing, surplus)}")


def _mend(missing: Collection[str], surplus: Collection[str]) -> str:
    if missing and all(one.startswith("lm_head") for one in missing):
        return "These weights are not of a model that generates text: give one with its output head"
    if prefixed := [one for one in surplus if any(one.endswith(f".{wanted}") for wanted in missing)]:
        return f"The names begin with {prefixed[0].partition('.')[0]!r}: save the weights without what was wrapped around the model"
    return "The weights and the configuration are not of one model, or the copy is not whole: get both again"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _check_finite(name: str, path: Path, network: Any) -> None:
    odd = [one for one, weight in network.named_parameters() if weight.is_floating_point() and not _finite(weight)]
    if odd:
        dtype = str(next(network.parameters()).dtype).removeprefix("torch.")
        hint = "; --dtype bfloat16 has more room" if dtype == "float16" else ""
        raise ModelError(
            f"model {name!r}: the weights in {path} hold NaN or infinity, read as {dtype}: {_listed(odd)}. "
            f"Get them again, or take an earlier checkpoint{hint}"
        )


def _finite(weight: Any) -> bool:
    """By the sum, which is as fast as memory is read; in fp32 a sum of finite weights does not overflow."""
    import torch

    return bool(torch.isfinite(weight.detach().sum(dtype=torch.float32)))
