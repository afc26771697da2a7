"""The demo driven in a real headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from tests.demo.conftest import FRAMEWORKS, Demo
from tests.support.children import require_binary

pytestmark = pytest.mark.once

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PHONE, DESKTOP = (375, 740), (1100, 800)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium; nothing is downloaded."""
    path = require_binary("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """A person at a browser, with cookies of their own.

    :param complaints: what the consoles of the pages say of errors
    """

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.complaints: list[str] = []

    def open(self, path: str) -> Page:
        """A page of the demo, in a new tab."""
        page = self.context.new_page()
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200
        return page

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest.fixture
def visitor(chromium: Browser, demo: Demo) -> Iterator[Visitor]:
    """Somebody whose browser has found nothing wrong in the end: no script, policy or file."""
    context = chromium.new_context(base_url=demo.url)
    visitor = Visitor(context)
    yield visitor
    context.close()
    assert visitor.complaints == []


@pytest.mark.parametrize("first", FRAMEWORKS)
def test_log_in_at_one_log_out_at_another(first: str, visitor: Visitor) -> None:
    pages = {name: visitor.open(f"/{name}/") for name in FRAMEWORKS}
    page = pages[first]
    page.get_by_label("Your name").fill("Ada <Lovelace>")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".who")).to_have_text("You are Ada <Lovelace>.")
    assert page.url.endswith(f"/{first}/")
    handle = page.locator("code").inner_text()
    for other in pages.values():
        other.reload()
        expect(other.locator(".who")).to_have_text("You are Ada <Lovelace>.")
        expect(other.locator("code")).to_have_text(handle)

    last = pages[FRAMEWORKS[FRAMEWORKS.index(first) - 1]]
    last.get_by_role("button", name="Log out").click()
    expect(last.locator(".who")).to_have_text("Nobody is logged in.")
    for other in pages.values():
        other.reload()
        expect(other.locator(".who")).to_have_text("Nobody is logged in.")
        expect(other.locator("code")).to_have_count(0)
    assert visitor.context.cookies() == []


def test_two_tabs_add_to_the_cart_at_once(visitor: Visitor, demo: Demo) -> None:
    # The session is there first: two tabs of a visitor without a cookie are two sessions.
    visitor.open("/django/").get_by_role("button", name="Count one more").click()
    one, other = visitor.open("/flask/"), visitor.open("/starlette/")
    for _ in range(5):
        with one.expect_navigation(), other.expect_navigation(), demo.hold_writes(2):
            # Not by Playwright's click, which waits for the answer.
            for tab in (one, other):
                tab.evaluate("document.querySelector('button[value=tea]').click()")
    page = visitor.open("/django/")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody td").first).to_have_text("10")
    assert page.locator("tbody .tag").all_inner_texts() == ["flask", "starlette"]


def test_the_front_page_shows_all_three(visitor: Visitor) -> None:
    front = visitor.open("/")
    for name in FRAMEWORKS:
        expect(front.locator(f"[data-app={name}]")).to_have_text("Nobody · 0 in the cart")
    page = visitor.open("/starlette/")
    page.get_by_label("Your name").fill("ada")
    page.get_by_role("button", name="Log in").click()
    front.reload()
    for name in FRAMEWORKS:
        expect(front.locator(f"[data-app={name}]")).to_have_text("You are ada · 0 in the cart")
    for round_number in (1, 2, 3):
        front.get_by_role("button", name="Add six teas at once").click()
        expected = f"You are ada · {6 * round_number} in the cart"
        expect(front.locator("[data-app=flask]")).to_have_text(expected)
        expect(front.get_by_role("status")).to_have_text("6 accepted, 6 arrived in the cart.")


def test_another_sites_form_is_refused(visitor: Visitor, demo: Demo) -> None:
    page = visitor.open("/flask/")
    page.get_by_label("Your name").fill("ada")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".who")).to_have_text("You are ada.")
    for name in FRAMEWORKS:
        evil = visitor.context.new_page()
        # An origin of its own, "null" to whom it posts to.
        form = f'<form method="post" action="{demo.url}/{name}/logout"><button>go</button></form>'
        evil.goto(f"data:text/html,{form}")
        with evil.expect_navigation() as navigation:
            evil.get_by_role("button").click()
        assert navigation.value is not None
        assert navigation.value.status == 403
        evil.close()
    page.reload()
    expect(page.locator(".who")).to_have_text("You are ada.")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_page_fits(size: tuple[int, int], visitor: Visitor) -> None:
    page = visitor.open("/flask/")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.get_by_label("Your name").fill("W" * 40)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.get_by_role("button", name="+ tea").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    for path in ("/", "/flask/", "/django/", "/starlette/"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, path
        low = page.evaluate(
            "[...document.querySelectorAll('button, input, .button, nav a')]"
            ".filter((e) => e.getBoundingClientRect().height < 40).length"
        )
        assert low == 0, f"{path}: too low for a finger"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(scheme: str, visitor: Visitor) -> None:
    """WCAG 2.2 AA, 1.4.3: a contrast of 4.5 for every colour that text has."""
    page = visitor.context.new_page()
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # a Literal, from a list
    page.goto("/flask/")
    for name in FRAMEWORKS:
        ratios = page.evaluate(CONTRASTS, name)
        assert min(ratios.values()) >= 4.5, (name, ratios)


CONTRASTS = """(name) => {
  document.body.className = name;
  const style = getComputedStyle(document.body);
  const light = (variable) => {
    let hex = style.getPropertyValue(variable).trim().slice(1);
    if (hex.length === 3) hex = [...hex].map((c) => c + c).join("");
    const [r, g, b] = hex.match(/../g).map((c) => parseInt(c, 16) / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const accent = `--${name}`;
  const pairs = [["--ink", "--page"], ["--ink", "--card"], ["--soft", "--page"],
    ["--soft", "--card"], [accent, "--page"], [accent, "--card"], ["--on-accent", accent]];
  return Object.fromEntries(pairs.map(([a, b]) => [`${a} on ${b}`, contrast(a, b)]));
}"""
