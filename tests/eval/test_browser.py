"""The pages in Chromium, offline: no error, nothing asked of a network, and the view of single queries works."""

from __future__ import annotations

import shutil

import pytest

from firstrank.eval.study import Study
from tests.eval import collection

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    work = tmp_path_factory.mktemp("report")
    folder = collection.make(work / "small")
    runs = [collection.write_run(work / f"{name}.trec", seed, quality=seed / 4) for seed, name in enumerate(("base", "better", "best"))]
    traces = [
        f"better={collection.write_trace(work / 'b.jsonl', 0.5)}",
        f"best={collection.write_trace(work / 'c.jsonl', 2, generated=40)}",
    ]
    Study(str(folder), None, runs, traces, (), work / "out").run()
    return work / "out/report.html"


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=["light", "dark"])
def opened(request, chromium, report):
    """The report, offline; with all that the browser complained of and asked for."""
    context = chromium.new_context(color_scheme=request.param, viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    complaints, asked = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: asked.append(one.url))
    context.set_offline(True)
    page.goto(report.as_uri())
    yield page, request.param
    assert complaints == []
    assert asked == [report.as_uri()]
    context.close()


def test_it_opens_in_both_schemes(opened):
    page, scheme = opened
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    shade = sum(map(int, paper.removeprefix("rgb(").removesuffix(")").split(",")))
    assert (shade < 200) == (scheme == "dark")
    assert page.locator("svg circle").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_single_query_is_shown_before_and_after(opened):
    page, _ = opened
    page.select_option("#query", label=page.locator("#query option").nth(1).inner_text())
    page.select_option("#after", label="better")
    assert page.locator("#before-list li").count() == page.locator("#after-list li").count() == 8
    assert page.locator("#shown-query").inner_text().startswith("what is number")
    assert "better" in page.locator("#after option:checked").inner_text()
    assert "grade" in page.locator("#after-list li").first.inner_text()


def test_a_passages_markup_is_text(opened):
    page, _ = opened
    page.select_option("#query", index=0)
    assert "<b>bold</b>" in page.locator("#before-list").inner_text()


def test_on_paper_it_is_light_and_without_selectors(opened):
    page, _ = opened
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#query").is_visible()
    assert page.locator("#after-name").inner_text().startswith("best")
