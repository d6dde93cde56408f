"""docs/server.md and docs/grafana.json say what the code does. FIRSTRANK_WRITE_DOCS=1 renews the tables."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from firstrank.server.metrics import Metrics
from firstrank.server.schemas import RerankRequest
from firstrank.server.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "server.md"


def settings_table() -> str:
    lines = ["| setting | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, (), {}) else "default" if name == "model" else str(field.default)
        lines.append(f"| `{name}` | {f'`{default}`' if default else ''} | {field.description.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def families() -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """name -> kind, help, labels."""
    metrics = Metrics()
    found = {}
    for metric in metrics._registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        owner = next(one for one in metrics._registry._collector_to_names if getattr(one, "_name", "") == metric.name)
        found[name] = (metric.type, metric.documentation, owner._labelnames)
    return found


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
