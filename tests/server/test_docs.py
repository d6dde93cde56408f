"""docs/server.md and docs/grafana.json say what the code does. FIRSTRANK_WRITE_DOCS=1 renews the tables."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from firstrank.server.metrics import Metrics
from firstrank.server.paths import OPEN
from firstrank.server.settings import Settings
from firstrank.server.shapes.rerank import RerankRequest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "server.md"
DEPLOY = DOCS.parent / "deploy"


def settings_table() -> str:
    lines = ["| setting | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, (), {}, "") else "default" if name == "model" else str(field.default)
        default = ",".join(field.default) if default and isinstance(field.default, tuple) else default
        lines.append(f"| `{name}` | {f'`{default}`' if default else ''} | {field.description.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def families() -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """name -> kind, help, labels."""
    metrics = Metrics()
    found = {}
    for metric in metrics._registry.collect():
        if not metric.name.startswith("firstrank_"):
            continue  # the process's own, which have the names that they have everywhere
        name = metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")
        owner = next(one for one in metrics._registry._collector_to_names if getattr(one, "_name", "") == metric.name)
        found[name] = (metric.type, metric.documentation, owner._labelnames)
    return found


def test_the_alerts_ask_for_metrics_that_there_are():
    rules = [rule for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"(?:firstrank|process)_\w+", rule["expr"])}
    known = set(families()) | {"process_resident_memory_bytes", "process_cpu_seconds_total"}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= known
    assert all(rule["labels"]["severity"] in ("critical", "warning") and rule["annotations"]["summary"] for rule in rules)


@pytest.mark.parametrize("file", ["firstrank.yaml", "gpu.yaml"])
def test_the_kubernetes_examples_ask_for_routes_and_settings_that_there_are(file):
    *_, deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes" / file).read_text())
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in OPEN
    said = {one["name"].removeprefix("FIRSTRANK_").lower(): one["value"] for one in container["env"]}
    settings = Settings.model_validate(said)
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + settings.drain + 5
    assert pod["enableServiceLinks"] is False
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_the_router_asks_all_engines_that_there_are():
    names, engines, router, _ = yaml.safe_load_all((DEPLOY / "kubernetes/gpu.yaml").read_text())
    name, service = engines["metadata"]["name"], names["metadata"]["name"]
    [container] = router["spec"]["template"]["spec"]["containers"]
    asked = next(one["value"] for one in container["env"] if one["name"] == "FIRSTRANK_BASE_URL")
    assert Settings.model_validate({"base_url": asked}).base_url == tuple(
        f"http://{name}-{i}.{service}:8000" for i in range(engines["spec"]["replicas"])
    )
    assert engines["spec"]["serviceName"] == service
    [engine] = engines["spec"]["template"]["spec"]["containers"]
    model = yaml.safe_load((DEPLOY.parent / "configs/models/first-mistral.yaml").read_text())
    assert engine["command"][-1] == model["weights"]["hub"]
    assert engine["args"][1] == str(model["context"])
    assert (
        f"vllm serve {model['weights']['hub']} --max-model-len 4096 --hf-overrides '{engine['args'][3]}'" in (DOCS / "vllm.md").read_text()
    )


def test_the_compose_file_sets_settings_that_there_are():
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["firstrank"]
    said = {
        name.removeprefix("FIRSTRANK_").lower(): value for name, value in service["environment"].items() if name.startswith("FIRSTRANK_")
    }
    assert said.keys() <= Settings.model_fields.keys()
    assert int(service["stop_grace_period"].removesuffix("s")) > float(said["drain"]) + 5


def test_the_image_holds_what_is_installed_and_runs_as_nobody_special():
    lines = (DEPLOY.parent / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    told = [line.split(maxsplit=1) for line in lines if line and not line.startswith(("#", " "))]
    let_in = {line.removeprefix("!") for line in (DEPLOY.parent / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for word, rest in told if word == "COPY" for name in rest.split()[:-1]}
    assert copied == let_in
    assert all((DEPLOY.parent / name).exists() for name in copied)
    [user] = [int(rest) for word, rest in told if word == "USER"]
    assert user > 0
    [check] = [rest for word, rest in told if word == "HEALTHCHECK"]
    assert any(f"8000{path}'" in check for path in OPEN)
    said = dict(re.findall(r"FIRSTRANK_(\w+)=(\S+)", " ".join(rest for word, rest in told if word == "ENV")))
    assert {name.lower() for name in said} - {"cache"} <= Settings.model_fields.keys()


def metrics_table() -> str:
    rows = [f"| `{name}` | {kind} | {', '.join(labels)} | {text} |" for name, (kind, text, labels) in families().items()]
    return "\n".join(["| metric | kind | labels | what |", "|---|---|---|---|", *rows])


@pytest.mark.parametrize(("name", "table"), [("settings", settings_table), ("metrics", metrics_table)])
def test_the_tables_are_the_codes_own(name, table):
    text = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name}: .*? -->\n)(.*?)(<!-- end -->)", re.S)
    if os.environ.get("FIRSTRANK_WRITE_DOCS"):
        text = pattern.sub(lambda match: f"{match[1]}\n{table()}\n\n{match[3]}", text)
        PAGE.write_text(text, encoding="utf-8")
    found = pattern.search(text)
    assert found is not None
    assert found[2].strip() == table()


def test_every_field_of_a_request_is_told():
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in RerankRequest.model_fields if f"| `{name}` |" not in text] == []


def test_the_dashboard_asks_for_metrics_that_there_are():
    known = set(families())
    dashboard = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked = {name for query in queries for name in re.findall(r"firstrank_\w+", query)}
    assert len(queries) >= 10
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= known
    assert known - {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} == set()
    assert all(query.count("(") == query.count(")") for query in queries)
