"""The playground in a real browser: what a person sees and does. Run by `make test-browser`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.server.serving import live

pytestmark = pytest.mark.browser

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SIZES = {
    "desk": {"viewport": {"width": 1280, "height": 900}},
    "tablet": {"viewport": {"width": 820, "height": 1180}, "has_touch": True},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
VIEWS = {f"{size}-{scheme}": {**view, "color_scheme": scheme} for size, view in SIZES.items() for scheme in ("light", "dark")}
KEY = "sk-page-test"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("no Chromium on PATH: apt-get install chromium (make test-browser does that where it may)")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def server(tiny_model):
    with live("--model", f"default={tiny_model}", "--threads", "1") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tiny_model):
    models = ["--model", f"default={tiny_model}", "--model", f"second={tiny_model}"]
    with live(*models, "--threads", "1", env={"FIRSTRANK_API_KEYS": KEY}) as running:
        yield running


class Watched:
    """A page whose console errors and requests are kept."""

    def __init__(self, browser, url: str, **view) -> None:
        self.url = url
        self.context = browser.new_context(**view)
        self.page = self.context.new_page()
        self.page.set_default_timeout(300_000)
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def __enter__(self) -> Watched:
        self.page.goto(self.url)
        return self

    def __exit__(self, *exception: object) -> None:
        self.context.close()

    def rerank(self, example: int = 1, button: bool = True) -> list[str]:
        """Loads an example, reranks it, and gives the texts in their new order."""
        page = self.page
        page.select_option("#example", index=example)
        page.click("#rerank") if button else page.press("#query", "Control+Enter")
        page.wait_for_selector("#ranking li")
        return page.locator("#ranking .text").all_inner_texts()

    def check_accessible(self) -> None:
        """axe-core finds nothing, and what is touched is large enough."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()
        small = self.page.evaluate(
            "[...document.querySelectorAll('button, select, input, textarea, summary, nav a')].filter((one) => one.offsetParent !== null)"
            ".filter((one) => one.getBoundingClientRect().height < 44).map((one) => one.outerHTML.slice(0, 80))"
        )
        assert small == []

    def check_clean(self) -> None:
        assert self.errors == []
        assert self.hosts == {urlsplit(self.url).netloc}


@pytest.mark.parametrize("view", VIEWS)
def test_load_an_example_rerank_and_see_the_order_change(browser, server, view, tmp_path):
    with Watched(browser, server.url, **VIEWS[view]) as watched:
        page = watched.page
        page.wait_for_selector(".state.ready")
        page.locator("#example option").nth(1).wait_for(state="attached")
        after = watched.rerank()
        before = page.input_value("#passages").split("\n")
        assert sorted(after) == sorted(before)
        assert after != before
        moves = [int(text.split("was ")[1]) for text in page.locator("#ranking .unseen").all_text_contents()]
        assert [before[was - 1] for was in moves] == after
        scores = [float(text) for text in page.locator("#ranking .score").all_inner_texts()]
        assert scores == sorted(scores, reverse=True)
        assert page.locator("#windows li").count() == 1
        assert "tokens" in page.inner_text("#summary")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        folder = Path(os.environ.get("FIRSTRANK_SCREENSHOTS", tmp_path))
        page.screenshot(path=folder / f"page-{view}.png", full_page=True)
        assert page.locator("#before .text").all_inner_texts() == before
        assert "0.5 is an average passage" in page.inner_text("#relative")
        watched.check_accessible()
        watched.check_clean()


def test_keyboard_strategy_top_n_and_the_same_request_as_code(browser, server):
    with Watched(browser, server.url) as watched:
        page = watched.page
        page.locator("#example option").nth(1).wait_for(state="attached")
        page.fill("#strategy", "sliding:window=10,stride=5")
        page.fill("#top_n", "3")
        assert len(watched.rerank(3, button=False)) == 3
        assert page.locator("#windows li").count() == 4
        curl, python = page.text_content("#curl"), page.text_content("#python")
        for text in (curl, python):
            assert "why is the sky blue?" in text
            assert "sliding:window=10,stride=5" in text
            assert f"{server.url}/v2/rerank" in text
        compile(python, "page", "exec")
        watched.check_clean()


def test_the_curl_and_python_it_shows_run(browser, server):
    with Watched(browser, server.url) as watched:
        page = watched.page
        page.locator("#example option").nth(1).wait_for(state="attached")
        page.fill("#query", 'what\'s "quoted" and $HOME?')
        page.fill("#passages", "it's a test\n`date` \\ $(date)\nplain")
        page.click("#rerank")
        page.wait_for_selector("#ranking li")
        order = [int(text.split("was ")[1]) - 1 for text in page.locator("#ranking .unseen").all_text_contents()]
        done = subprocess.run(["bash", "-c", page.text_content("#curl")], capture_output=True, text=True, check=True)
    assert [one["index"] for one in json.loads(done.stdout)["results"]] == order


def test_errors_are_said_on_the_page(browser, server):
    with Watched(browser, server.url) as watched:
        page = watched.page
        page.locator("#example option").nth(1).wait_for(state="attached")
        page.select_option("#example", index=1)
        page.fill("#strategy", "bubble")
        page.click("#rerank")
        page.wait_for_selector("#problem:not([hidden])")
        assert "unknown strategy 'bubble'" in page.inner_text("#problem")
        watched.check_accessible()
        page.fill("#strategy", "")
        page.click("#rerank")
        page.wait_for_selector("#ranking li")
        assert page.is_hidden("#problem")
        page.fill("#strategy", "bubble")
        page.click("#rerank")
        page.wait_for_selector("#problem:not([hidden])")
        assert page.locator("#ranking li, #before li").count() == 0
        assert page.is_hidden("#sides")


def test_passages_are_text_and_never_markup(browser, server):
    with Watched(browser, server.url) as watched:
        page = watched.page
        page.fill("#query", "<b>q</b>")
        page.fill("#passages", "<img src=x onerror=\"document.title='owned'\">\n<script>document.title='owned'</script>")
        page.click("#rerank")
        page.wait_for_selector("#ranking li")
        assert page.locator("#ranking img, #ranking script").count() == 0
        assert page.title() == "Firstrank playground"
        watched.check_clean()


def test_the_key_is_typed_into_its_field(browser, guarded):
    with Watched(browser, guarded.url) as watched:
        page = watched.page
        page.locator("#example option").nth(1).wait_for(state="attached")
        page.select_option("#example", index=1)
        page.click("#rerank")
        page.wait_for_selector("#key-problem:not([hidden])")
        assert "key" in page.inner_text("#key-problem")
        assert page.is_hidden("#problem")
        assert page.evaluate("document.activeElement.id") == "key"
        watched.check_accessible()
        watched.errors.clear()  # the browser itself reports the 401
        page.fill("#key", KEY)
        page.select_option("#model", "second")
        assert len(watched.rerank()) == 10
        assert '"model": "second"' in page.text_content("#curl")
        assert KEY not in page.text_content("#curl") + page.text_content("#python")
        watched.check_clean()


def test_an_example_is_there_and_what_is_served_is_said_and_no_key_is_asked_for(browser, server):
    with Watched(browser, server.url) as watched:
        page = watched.page
        page.wait_for_selector("#facts:not(:empty)")
        page.locator("#count", has_text="10").wait_for()
        assert "float32" in page.inner_text("#facts")
        assert page.is_hidden("#key")
        page.click("#rerank")
        page.wait_for_selector("#ranking li")
        watched.check_clean()


def test_passages_as_lines_json_or_a_file_and_long_ones_clamped(browser, server, tmp_path):
    long = "A long passage. " * 60
    (tmp_path / "passages.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in ("one", "two", "three", "four")))
    with Watched(browser, server.url) as watched:
        page = watched.page
        page.locator("#count", has_text="10").wait_for()
        for given, count in [("one\n two \n\nthree", 3), (json.dumps(["one\nline", long]), 2), ('{"text": "a"}\n{"content": "b"}', 2)]:
            page.fill("#passages", given)
            assert page.inner_text("#count") == str(count)
            page.click("#rerank")
            page.wait_for_selector(f"#ranking > li:nth-child({count}):last-child")
            if long in given:
                [clamped] = page.locator("#ranking .text.clamped").all()
                height = clamped.bounding_box()["height"]
                page.locator("#ranking .whole").click()
                assert page.locator("#ranking .clamped").count() == 0
                assert page.locator("#ranking .text").evaluate_all("all => Math.max(...all.map((one) => one.offsetHeight))") > 2 * height
        page.set_input_files("#file", tmp_path / "passages.jsonl")
        page.locator("#count", has_text="4").wait_for()
        watched.check_clean()


def test_the_reference_is_readable_without_a_key_and_asks_for_one_inside(browser, guarded):
    with Watched(browser, f"{guarded.url}/docs") as watched:
        watched.page.wait_for_selector("#reference .opblock")
        assert watched.page.locator("button.authorize").count() == 1
        assert "nothing is compared between requests" in watched.page.inner_text(".note")
        watched.check_clean()


def test_the_reference_needs_no_other_host(browser, server):
    with Watched(browser, f"{server.url}/docs") as watched:
        watched.page.wait_for_selector("#reference .opblock")
        assert watched.page.locator(".opblock-summary-path").count() >= 8
        watched.check_clean()
