"""Settings: flags over environment over file over defaults, and mistakes that say where they are."""

from __future__ import annotations

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from firstrank.reranker.cli import app
from firstrank.reranker.errors import InputError
from firstrank.reranker.setup import Setup
from firstrank.server import cli
from firstrank.server.settings import Settings, load_settings
from firstrank.server.sources import split_pairs


def test_flags_over_environment_over_file_over_defaults(tmp_path, monkeypatch):
    file = tmp_path / "serve.yaml"
    file.write_text("port: 1\ntimeout: 1\nmax_queue: 1\n")
    monkeypatch.setenv("FIRSTRANK_PORT", "2")
    monkeypatch.setenv("FIRSTRANK_TIMEOUT", "2")
    settings = load_settings(config=file, port=3)
    assert (settings.port, settings.timeout, settings.max_queue, settings.max_documents) == (3, 2.0, 1, 1000)
    monkeypatch.setenv("FIRSTRANK_CONFIG", str(file))
    assert load_settings().max_queue == 1


def test_several_models_each_with_its_own_settings(tmp_path):
    file = tmp_path / "serve.yaml"
    file.write_text(
        "device: cpu\nmodel:\n  small:\n    source: default\n    strategy: topdown:k=5\n  big:\n"
        "    source: org/big\n    backend: openai\n    base_url: [http://127.0.0.1:1]\n"
        "    engine_arg: [timeout=5]\n    device: null\nalias:\n  rerank-v3.5: small\n"
    )
    settings = load_settings(config=file)
    small, big = settings.setup("small"), settings.setup("big")
    assert small == Setup.of("default", device="cpu", strategy="topdown:k=5")
    assert big == Setup.of("org/big", backend="openai", base_urls=["http://127.0.0.1:1"], engine={"timeout": 5})


def test_lists_from_the_environment(monkeypatch):
    monkeypatch.setenv("FIRSTRANK_API_KEYS", "a, b")
    monkeypatch.setenv("FIRSTRANK_MODEL", "small=default,org/big")
    monkeypatch.setenv("FIRSTRANK_ALIAS", "x=small")
    settings = load_settings()
    found = settings.keys()
    assert [one.key.get_secret_value() for one in found] == ["a", "b"]
    assert {name: settings.setup(name).model for name in settings.model} == {"small": "default", "org/big": "org/big"}
    assert settings.alias == {"x": "small"}
    assert "a, b" not in repr(settings)
    assert "SecretStr('a')" not in repr(settings)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"port": "x"}, "port: "),
        ({"port": 70000}, "port: "),
        ({"timeout": "nan"}, "timeout: "),
        ({"window": "wide"}, "window"),
        ({"strategy": "bubble"}, "unknown strategy 'bubble'"),
        ({"model": []}, "at least one"),
        ({"alias": ["x=nope"]}, "'nope' is not served"),
        ({"rate_limit": 5}, "--rate-limit: each key has its own count: only with --api-keys or --api-keys-file"),
        ({"threads": 2, "backend": "openai", "base_url": ["http://a"]}, "--threads: only with --backend transformers"),
        ({"base_url": ["http://a"]}, "--base-url: only with --backend openai"),
        ({"defer_budget": 0.5}, "--defer-budget: only with --cascade"),
        ({"prior_depth": 0, "passes": 2}, "--passes: with --prior-depth 0 no model reads anything"),
        ({"strategy": "full", "window": 3}, "--window: the strategy 'full' has no such setting"),
        ({"model": {"a": {"noise": 1}}}, "noise: Extra inputs"),
        ({"model": {"a": {"backend": "openai", "base_url": ["http://a"], "device": "cpu"}, "b": {}}}, "--device: only with --backend"),
        ({"config": "/nowhere.yaml"}, "/nowhere.yaml"),
    ],
)
def test_mistakes_name_the_setting(flags, says):
    with pytest.raises(InputError, match=says):
        load_settings(**flags)


@pytest.mark.parametrize("text", ["port: [", "- 1", "prot: 1", "model:\n  a: {sauce: x}"])
def test_mistakes_in_the_file(tmp_path, text):
    file = tmp_path / "serve.yaml"
    file.write_text(text)
    with pytest.raises(InputError):
        load_settings(config=file)


def test_every_setting_is_a_flag_with_its_help():
    from typer import Typer

    made = Typer()
    made.command()(cli._command())
    command = get_command(made)
    flags = {parameter.name: parameter.help for parameter in command.params if parameter.name != "help"}
    assert flags.keys() >= Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        assert flags[name].startswith(field.description)


def test_a_wrong_flag_is_exit_code_2():
    assert CliRunner().invoke(app, ["serve", "--prot", "1"]).exit_code == 2
    assert CliRunner().invoke(app, ["serve", "--help"]).exit_code == 0


@pytest.mark.parametrize("given", ["k1,k2", ["k1,k2"], ["k1", "k2"], " k1 , k2 "])
def test_lists_are_read_by_one_rule_wherever_they_stand(given, tmp_path, monkeypatch):
    found = [load_settings(api_keys=given, cors_origins=given)]
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump({"api_keys": given, "cors_origins": given}))
    found.append(load_settings(config=file))
    if isinstance(given, str):
        monkeypatch.setenv("FIRSTRANK_API_KEYS", given)
        monkeypatch.setenv("FIRSTRANK_CORS_ORIGINS", given)
        found.append(load_settings())
    for settings in found:
        keys = settings.keys()
        assert [one.key.get_secret_value() for one in keys] == ["k1", "k2"]
        assert settings.cors_origins == ("k1", "k2")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("FIRSTRANK_API_KEY", "x", "did you mean FIRSTRANK_API_KEYS"),
        ("FIRSTRANK_MAX_QEUE", "5", "did you mean FIRSTRANK_MAX_QUEUE"),
        ("FIRSTRANK_API_KEYS", "", "FIRSTRANK_API_KEYS is empty"),
        ("FIRSTRANK_API_KEYS", " , ", "api_keys: is empty"),
        ("FIRSTRANK_PORT", "tcp://10.0.0.1:8000", "enableServiceLinks"),
        ("FIRSTRANK_SERVICE_HOST", "10.0.0.1", "enableServiceLinks"),
        ("FIRSTRANK_TIMEOUT", "soon", "the environment's FIRSTRANK_TIMEOUT"),
    ],
)
def test_a_variable_that_says_nothing_is_refused(monkeypatch, variable, value, says):
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=says):
        load_settings()


def test_a_comma_within_an_engines_argument_divides_nothing(monkeypatch):
    given = "gpu_memory_utilization=0.85,compilation_config={mode: 3, level: 1},quantization=fp8"
    expected = ["gpu_memory_utilization=0.85", "compilation_config={mode: 3, level: 1}", "quantization=fp8"]
    assert split_pairs(given) == split_pairs([given]) == expected
    monkeypatch.setenv("FIRSTRANK_ENGINE_ARG", "gpu_memory_utilization=0.85,quantization=fp8")
    assert load_settings(backend="vllm").engine_arg == ("gpu_memory_utilization=0.85", "quantization=fp8")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"strategies": "sliding,bubble"}, "'bubble' is no strategy"),
        ({"tls_cert": "x.pem"}, "give both or none"),
        ({"model": "a=x,a=y"}, "'a' is given twice"),
        ({"cors_origins": ""}, "cors_origins: is empty"),
        ({"root_path": "x/"}, "root_path"),
    ],
)
def test_more_mistakes_name_the_setting(flags, says):
    with pytest.raises(InputError, match=says):
        load_settings(**flags)
