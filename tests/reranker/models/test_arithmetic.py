"""Which numbers a network computes in, by processor and by what was asked for."""

from __future__ import annotations

import pytest

from firstrank.reranker.errors import ModelError
from firstrank.reranker.models import arithmetic


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ((), "float32"),
        (("avx512_bf16",), "bfloat16"),
        (("amx_bf16",), "bfloat16"),
        (("avx512_vnni",), "float32"),
        (("avx_vnni",), "float32"),
        (("amx_int8", "amx_bf16"), "bfloat16"),
        (("avx512_vnni", "avx512_bf16"), "bfloat16"),
    ],
)
def test_the_fastest_that_the_processor_has_units_for(units, expected, monkeypatch):
    monkeypatch.setattr(arithmetic, "units", lambda: units)
    assert arithmetic.chosen(None, None, on_cpu=True) == expected
    assert arithmetic.chosen("auto", "bfloat16", on_cpu=True, width=576) == expected
    assert arithmetic.chosen("auto", None, on_cpu=True, width=64) == "float32"


@pytest.mark.parametrize("name", arithmetic.KNOWN)
def test_what_was_asked_for_is_taken(name):
    assert arithmetic.chosen(name, None, on_cpu=name != "fp8", width=64) == name


def test_fp8_is_for_gpus_and_comes_from_bf16_weights():
    import torch

    assert arithmetic.chosen("auto", "fp8", on_cpu=False) == "fp8"
    assert arithmetic.dtype_of("fp8") == torch.bfloat16
    with pytest.raises(ModelError, match="--dtype fp8: works on GPUs only"):
        arithmetic.chosen("fp8", None, on_cpu=True)


def test_off_the_cpu_the_model_s_own_type_or_bf16():
    assert arithmetic.chosen(None, None, on_cpu=False) == "bfloat16"
    assert arithmetic.chosen("auto", "float16", on_cpu=False) == "float16"
    with pytest.raises(ModelError, match="--dtype int8: works on CPUs only"):
        arithmetic.chosen("int8", None, on_cpu=False)


def test_int8_on_another_kind_of_processor_is_refused(monkeypatch):
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: "aarch64")
    assert arithmetic.chosen("bfloat16", None, on_cpu=True) == "bfloat16"
    with pytest.raises(ModelError, match="--dtype int8: it needs an x86 processor, and this one is aarch64"):
        arithmetic.chosen("int8", None, on_cpu=True)


@pytest.mark.parametrize(("asked", "own", "said"), [("float8", None, "--dtype float8"), (None, "fp16", "model's settings fp16")])
def test_an_unknown_name_says_what_there_is(asked, own, said):
    with pytest.raises(ModelError, match=f"{said}: unknown; use auto, float32, bfloat16, float16, int8"):
        arithmetic.chosen(asked, own, on_cpu=True)


def test_this_machine_s_units_are_named():
    assert set(arithmetic.units()) <= set(arithmetic._UNITS)
    assert arithmetic.described(()) == "none"
    assert arithmetic.described(("avx512_vnni", "avx_vnni", "avx512_bf16")) == "VNNI, AVX-512 bf16"
