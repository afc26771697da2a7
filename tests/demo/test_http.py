"""What the demo promises, over HTTP, with two worker processes, on SQLite and on Redis."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from example_apps import shop
from tests.demo.conftest import FRAMEWORKS, Demo, watched_client
from tests.support.leaks import Leaks

Visitor = Callable[[], httpx.Client]

each = pytest.mark.parametrize("framework", FRAMEWORKS)


def whoami(client: httpx.Client, framework: str, **headers: str) -> dict[str, Any]:
    answer = client.get(f"/{framework}/whoami", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def post(client: httpx.Client, framework: str, action: str, **fields: str) -> httpx.Response:
    answer = client.post(f"/{framework}/{action}", data=fields)
    assert answer.status_code == 303, answer.text
    assert answer.headers["Location"] == f"/{framework}/"
    return answer


def token(client: httpx.Client) -> str | None:
    return client.cookies.get(shop.COOKIE)


@each
def test_a_login_at_one_is_known_at_all(framework: str, client: httpx.Client) -> None:
    post(client, framework, "login", user="ada")
    found = [whoami(client, name) for name in FRAMEWORKS]
    assert [answer["framework"] for answer in found] == list(FRAMEWORKS)
    assert {answer["user"] for answer in found} == {"ada"}
    assert len({answer["handle"] for answer in found}) == 1
    for name in FRAMEWORKS:
        assert "You are <strong>ada</strong>" in client.get(f"/{name}/").text


@each
def test_a_logout_at_one_is_a_logout_at_all(framework: str, client: httpx.Client) -> None:
    for start in FRAMEWORKS:
        post(client, start, "login", user="ada")
        old = token(client)
        post(client, framework, "logout")
        assert token(client) is None
        for name in FRAMEWORKS:
            nobody = {"framework": name, "user": None, "visits": 0, "cart": {}, "handle": None}
            assert whoami(client, name) == nobody
            # Whoever kept a copy of the cookie has nothing.
            assert whoami(client, name, Cookie=f"{shop.COOKIE}={old}") == nobody


@each
def test_a_login_keeps_the_cart_and_replaces_the_secret(
    framework: str, client: httpx.Client
) -> None:
    post(client, "flask", "visit")
    post(client, "django", "cart", item="tea")
    before, old = whoami(client, framework), token(client)
    post(client, framework, "login", user="ada")
    after = whoami(client, framework)
    assert after == before | {"user": "ada"}
    assert token(client) != old
    for name in FRAMEWORKS:
        assert whoami(client, name, Cookie=f"{shop.COOKIE}={old}")["user"] is None


def test_another_users_login_leaves_the_first_ones_cart_behind(client: httpx.Client) -> None:
    post(client, "django", "login", user="ada")
    post(client, "flask", "cart", item="tea")
    post(client, "starlette", "login", user="grace")
    for name in FRAMEWORKS:
        found = whoami(client, name)
        assert (found["user"], found["cart"]) == ("grace", {})


def test_every_app_adds_to_one_cart(client: httpx.Client) -> None:
    for name in FRAMEWORKS:
        post(client, name, "cart", item="tea")
        post(client, name, "visit")
    post(client, "django", "cart", item="bread")
    for name in FRAMEWORKS:
        found = whoami(client, name)
        assert found["visits"] == 3
        assert found["cart"] == {
            "tea": {"quantity": 3, "via": sorted(FRAMEWORKS)},
            "bread": {"quantity": 1, "via": ["django"]},
        }


@pytest.mark.parametrize("logged_in", [False, True])
def test_requests_at_once_lose_nothing(logged_in: bool, demo: Demo, client: httpx.Client) -> None:
    post(client, "flask", "visit")
    if logged_in:
        post(client, "flask", "login", user="ada")

    def one(number: int) -> int:
        name = FRAMEWORKS[number % 3]
        if number % 2:
            return client.post(f"/{name}/cart", data={"item": "tea"}).status_code
        return client.post(f"/{name}/visit").status_code

    # As many at once as a browser sends to one host.
    with ThreadPoolExecutor(6) as pool:
        # Under ASGI, Django runs one synchronous view at a time in each process.
        with demo.hold_writes(5):
            answers = pool.map(one, range(6))
        assert list(answers) == [303] * 6
    found = whoami(client, "django")
    assert found["visits"] == 1 + 3
    assert found["cart"]["tea"]["quantity"] == 3


def test_two_processes_answer(client: httpx.Client) -> None:
    def process(_: int) -> str:
        found = re.search(r"process (\d+)", client.get("/flask/").text)
        assert found
        return found[1]

    seen: set[str] = set()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            seen.update(pool.map(process, range(8)))
            if len(seen) == 2:
                break
    assert len(seen) == 2


@each
def test_who_only_looks_gets_no_cookie(framework: str, client: httpx.Client) -> None:
    for path in ("/", f"/{framework}/", f"/{framework}/whoami", f"/{framework}/static/style.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
    assert "Cookie" in client.get(f"/{framework}/whoami").headers["Vary"]


@each
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ],
    ids=str,
)
def test_another_sites_posts_are_refused(
    framework: str, headers: dict[str, str], client: httpx.Client
) -> None:
    post(client, framework, "login", user="ada")
    before, cookie = whoami(client, framework), token(client)
    for action, fields in {
        "login": {"user": "eve"},
        "logout": {},
        "visit": {},
        "cart": {"item": "tea"},
    }.items():
        answer = client.post(f"/{framework}/{action}", data=fields, headers=headers)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
    assert whoami(client, framework) == before
    assert token(client) == cookie


@each
def test_the_sites_own_posts_are_taken(framework: str, client: httpx.Client) -> None:
    origin = str(client.base_url).rstrip("/")
    for headers in (
        {"Origin": origin},
        {"Origin": origin, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {},
    ):
        assert client.post(f"/{framework}/visit", headers=headers).status_code == 303
    assert whoami(client, framework)["visits"] == 4


@each
@pytest.mark.parametrize(
    "value",
    ["", "junk", "." * 300, "x" * 5000, '"a\\015\\012b"', "AAAAAAAAAAAAAAAA." + "B" * 94],
    ids=["empty", "junk", "dots", "long", "escaped", "shaped"],
)
def test_a_junk_cookie_is_a_visitor_without_one(
    framework: str, value: str, visitor: Visitor
) -> None:
    cookie = f"{shop.COOKIE}={value}"
    answer = visitor().get(f"/{framework}/whoami", headers={"Cookie": cookie})
    assert answer.status_code == 200
    assert answer.json()["handle"] is None
    assert "Set-Cookie" not in answer.headers
    # And such a visitor may begin a session, under a handle of our choosing.
    answer = visitor().post(f"/{framework}/visit", headers={"Cookie": cookie})
    assert answer.status_code == 303
    assert shop.COOKIE in answer.cookies


@each
def test_the_session_is_found_beside_junk(framework: str, visitor: Visitor) -> None:
    client = visitor()
    post(client, framework, "login", user="ada")
    good, junk = f"{shop.COOKIE}={token(client)}", f"{shop.COOKIE}=junk"
    for cookies in (f"{good}; {junk}", f"{junk}; {good}"):
        assert whoami(visitor(), framework, Cookie=cookies)["user"] == "ada"


@each
@pytest.mark.parametrize("user", ["", "  ", "x" * 41, "a\x00b", "a\r\nb", "\x85"])
def test_a_bad_name_is_the_forms_fault(framework: str, user: str, client: httpx.Client) -> None:
    for action, field in (("login", "user"), ("cart", "item")):
        answer = client.post(f"/{framework}/{action}", data={field: user})
        assert answer.status_code == 400
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "Set-Cookie" not in answer.headers


@each
def test_a_missing_field_and_a_file_are_the_forms_fault(
    framework: str, client: httpx.Client
) -> None:
    assert client.post(f"/{framework}/login").status_code == 400
    upload = {"user": ("name.txt", b"ada")}
    assert client.post(f"/{framework}/login", files=upload).status_code == 400


@each
def test_a_cart_has_room_for_so_many_items(framework: str, client: httpx.Client) -> None:
    for number in range(shop.MAX_LINES):
        post(client, framework, "cart", item=f"item {number}")
    assert client.post(f"/{framework}/cart", data={"item": "one more"}).status_code == 400
    post(client, framework, "cart", item="item 0")


@each
def test_forms_are_posted(framework: str, client: httpx.Client) -> None:
    for action in ("login", "logout", "visit", "cart"):
        assert client.get(f"/{framework}/{action}").status_code == 405


@each
def test_names_are_escaped(framework: str, client: httpx.Client) -> None:
    name = "<script>alert('é')</script>"
    post(client, framework, "login", user=name)
    post(client, framework, "cart", item=name)
    text = client.get(f"/{framework}/").text
    assert "<script>" not in text
    assert text.count("&lt;script&gt;") == 2
    assert whoami(client, framework)["user"] == name
    assert list(whoami(client, framework)["cart"]) == [name]


@each
def test_nothing_shows_the_token(framework: str, client: httpx.Client) -> None:
    """The pages that show the handle; every other answer is searched by the fixture."""
    post(client, framework, "login", user="ada")
    value = token(client)
    assert value is not None
    handle, _, secret = value.partition(".")
    for path in (f"/{framework}/", f"/{framework}/whoami"):
        text = client.get(path).text
        assert handle in text
        assert secret[:20] not in text


@pytest.mark.parametrize("place", ["page", "header"])
def test_a_page_that_shows_a_token_is_found(client: httpx.Client, place: str) -> None:
    """What is searched for after every test here, put where a page would show it."""
    post(client, "flask", "login", user="ada")
    shown = token(client) or ""

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {
            "Set-Cookie": f"{shop.COOKIE}={shown}",
            "X-Of": shown if place == "header" else "",
        }
        return httpx.Response(200, headers=headers, text=shown if place == "page" else "")

    leaks = Leaks()
    with watched_client(leaks, transport=httpx.MockTransport(answer)) as another:
        another.get("http://demo/")
    with pytest.raises(AssertionError, match=r"^a token's"):
        leaks.check()


@each
def test_a_page_needs_nothing_from_elsewhere(framework: str, client: httpx.Client) -> None:
    for path in ("/", f"/{framework}/"):
        page = client.get(path).text
        assert "default-src 'none'" in page
        for address in re.findall(r'(?:href|src|action)="([^"]*)"', page):
            if address == "data:,":
                continue
            assert re.fullmatch(r"/[a-z/.]*", address), address
            # A form's address answers to GET with 405: it is there.
            assert client.get(address).status_code in (200, 405), address


@each
def test_addresses_outside_the_shop(framework: str, client: httpx.Client) -> None:
    answer = client.get(f"/{framework}", follow_redirects=True)
    assert answer.status_code == 200
    assert answer.url.path == f"/{framework}/"
    for path in (f"/{framework}x/", f"/{framework}/nothing", "/nothing", "//evil.example/"):
        assert client.get(client.base_url.join("/").copy_with(path=path)).status_code == 404


def test_the_cookie_is_for_the_whole_origin(client: httpx.Client) -> None:
    for name in FRAMEWORKS:
        cookie = post(client, name, "login", user=name).headers["Set-Cookie"].lower()
        assert "; path=/;" in f"{cookie};"
        assert "httponly" in cookie
        assert "samesite=lax" in cookie


def test_the_server_wrote_no_traceback(demo: Demo) -> None:
    """The last test here: what all of the above made it print."""
    assert "Traceback" not in demo.child.output
