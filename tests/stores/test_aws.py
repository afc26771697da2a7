"""Tokens for ElastiCache by IAM, against the vector that AWS publishes."""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ConnectTimeoutError, MetadataRetrievalError
from botocore.session import Session

from sessionstore.core.errors import ConfigurationError, StoreRefused, StoreUnavailable
from sessionstore.core.flow import Command
from sessionstore.stores.attempts import Failure
from sessionstore.stores.aws import IAMToken
from sessionstore.stores.credentials import from_code
from sessionstore.stores.url import open_store
from tests.stores.carrying import BOTH, carry
from tests.support.servers import RedisServer

SIGNATURE = "9e361603d85874bce06114c6644725ed113e3b11ae6fa92efdf10c6bcf5de8d7"
NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)


class FakeSession:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get_credentials(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def token(session_token: str | None = None, **changes: Any) -> IAMToken:
    keys = Credentials("fakeAccessKeyId", "fakeSecretKey", session_token)
    wanted: dict[str, Any] = {
        "cache": "my-replication-group-id",
        "user": "my-user-id",
        "region": "eu-west-1",
        "session": lambda: FakeSession(keys),
        "clock": lambda: NEW_YEAR,
    }
    return IAMToken(**{**wanted, **changes})


def test_the_published_vector() -> None:
    user, password = token()()
    assert user == "my-user-id"
    assert password == (
        "my-replication-group-id/?Action=connect&User=my-user-id"
        "&X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=fakeAccessKeyId%2F20250101%2Feu-west-1%2Felasticache%2Faws4_request"
        "&X-Amz-Date=20250101T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host"
        f"&X-Amz-Signature={SIGNATURE}"
    )


def parts(provider: IAMToken) -> dict[str, list[str]]:
    return parse_qs(urlsplit(f"http://{provider()[1]}").query)


def test_the_name_is_signed_in_lower_case() -> None:
    assert token(cache="My-Replication-Group-ID")() == token()()


def test_a_serverless_cache_says_so_before_it_is_signed() -> None:
    signed = parts(token(serverless=True))
    assert signed["ResourceType"] == ["ServerlessCache"]
    assert signed["X-Amz-Signature"] != [SIGNATURE]


def test_temporary_credentials_bring_their_token() -> None:
    signed = parts(token("fake/session+token=="))
    assert signed["X-Amz-Security-Token"] == ["fake/session+token=="]
    assert signed["X-Amz-Signature"] != [SIGNATURE]


def test_each_is_signed_anew() -> None:
    times = iter([NEW_YEAR, NEW_YEAR.replace(minute=1)])
    provider = token(clock=lambda: next(times))
    assert parts(provider)["X-Amz-Date"] == ["20250101T000000Z"]
    assert parts(provider)["X-Amz-Date"] == ["20250101T000100Z"]


def test_it_is_written_to_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        token("fakeSessionToken")()
    assert SIGNATURE not in caplog.text
    assert "Signature" not in caplog.text
    assert "fakeSessionToken" not in caplog.text
    assert "fake" not in repr(token())


def test_no_credentials() -> None:
    with pytest.raises(StoreRefused, match="no AWS credentials"):
        token(session=lambda: FakeSession(None))()


@pytest.mark.parametrize(
    "problem",
    [
        MetadataRetrievalError(error_msg="secret"),
        ConnectTimeoutError(endpoint_url="http://secret"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_credentials_that_cannot_be_had_now(problem: Exception) -> None:
    with pytest.raises(StoreUnavailable, match=type(problem).__name__) as raised:
        token(session=lambda: FakeSession(problem))()
    assert "secret" not in str(raised.value)


def test_the_next_connection_asks_again_after_a_failure() -> None:
    keys = Credentials("fakeAccessKeyId", "fakeSecretKey")
    answers = iter([FakeSession(MetadataRetrievalError(error_msg="")), FakeSession(keys)])
    provider = token(session=lambda: next(answers))
    with pytest.raises(StoreUnavailable):
        provider()
    assert SIGNATURE in provider()[1]


def test_what_came_too_late_is_there_for_the_next() -> None:
    """Asking AWS can take longer than a connection may: it is asked once all the same."""
    asked: list[None] = []
    go_on = threading.Event()

    def session() -> FakeSession:
        asked.append(None)
        go_on.wait(10)
        return FakeSession(Credentials("fakeAccessKeyId", "fakeSecretKey"))

    found = from_code(token(session=session), None)
    with pytest.raises(Failure, match="did not come in time"):
        found.ask_by(time.monotonic() + 0.01, "n:1")
    go_on.set()
    assert SIGNATURE in found.ask_by(time.monotonic() + 10, "n:1").password
    assert len(asked) == 1


def test_another_process_finds_its_own_credentials() -> None:
    made: list[int] = []

    def session() -> FakeSession:
        made.append(os.getpid())
        return FakeSession(Credentials("fakeAccessKeyId", "fakeSecretKey"))

    provider = token(session=session)
    provider()
    child = os.fork()
    if child == 0:
        provider()
        os._exit(0 if len(made) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cache": "my-cache.abc123.0001.euw1.cache.amazonaws.com"}, "not the endpoint"),
        ({"cache": ""}, "cache="),
        ({"cache": "a/b"}, "cache="),
        ({"user": ""}, "in the URL"),
        ({"user": "a&Action=other"}, "in the URL"),
        ({"region": "eu west"}, "region="),
        ({"region": ""}, "region="),
    ],
)
def test_what_cannot_be_a_name(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        token(**changes)


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as on a developer's machine; nothing of this one's is looked at."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "fakeAccessKeyId")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "fakeSecretKey")


@pytest.mark.usefixtures("aws_environment")
def test_credentials_come_from_where_aws_tools_find_them() -> None:
    assert token(session=Session)() == token()()


@BOTH
@pytest.mark.usefixtures("aws_environment")
def test_by_url_on_a_real_server(redis_tls_server: RedisServer, how: str, prefix: str) -> None:
    """The server cannot check a signature: its user takes any password, and no other user does."""
    port = redis_tls_server.url.rpartition(":")[2].partition("/")[0]
    assert redis_tls_server.certificates is not None
    url = (
        f"rediss://{prefix}@localhost:{port}/0?auth=iam&cache=my-cache&region=eu-west-1"
        f"&serverless=1&timeout=10&ca={quote(str(redis_tls_server.certificates.ca))}"
    )
    with redis_tls_server.client() as client:
        client.execute_command("ACL", "SETUSER", prefix, "on", "nopass", "+@all")
        store = open_store(url)
        try:
            assert carry(store, how, whoami()) == prefix.encode()
        finally:
            store.close()
            client.acl_deluser(prefix)


def whoami() -> Any:
    return (yield from Command(("ACL", "WHOAMI")))
