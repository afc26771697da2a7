"""What is said first on every connection: does the server speak this protocol, who are we, and how
large may an item be. A flow, so that both transports say the same. No I/O.

A password is sent only to a server that has asked for one. To an open server, the log-in of the
text protocol is the command to store an item, whose value would be the password.
"""

from __future__ import annotations

from copy import copy
from typing import Final

from sessionstore.core.errors import StoreUnavailable
from sessionstore.core.flow import Command, Flow
from sessionstore.stores.attempts import Failure, refused
from sessionstore.stores.credentials import Credential
from sessionstore.stores.facts import whole_number
from sessionstore.stores.memcached.failures import from_reply
from sessionstore.stores.memcached.messages import ERRORS, Outcome, Reply, Request, Verb

DEFAULT_ITEM_SIZE: Final = 1 << 20
"""Bytes: memcached's own default, where the server does not tell."""

MECHANISM: Final = b"PLAIN"


class Greeting:
    """Greets one server.

    :param protocol: ``"binary"`` or ``"meta"``
    :param credential: None: the server wants none
    :param optional: whether a server that wants none is right even if there is a credential
    :param items: whether sessions will be stored there: else the log-in is all that is said
    """

    def __init__(
        self,
        protocol: str,
        credential: Credential | None,
        *,
        optional: bool,
        node: str,
        items: bool = True,
    ) -> None:
        self._protocol = protocol
        self._credential = credential
        self._optional = optional
        self._node = node
        self._items = items

    def flow(self) -> Flow[int]:
        """Say it all; returns how many bytes an item may have.

        :raises Failure: the connection must be closed
        """
        if self._items or self._credential is not None:
            yield from self._binary() if self._protocol == "binary" else self._meta()
        return (yield from self._item_size()) if self._items else DEFAULT_ITEM_SIZE

    # -- the binary protocol: SASL --

    def _binary(self) -> Flow[None]:
        credential = self._credential
        if credential is not None:
            mechanisms = yield from _ask(Request(Verb.MECHANISMS))
            if mechanisms.outcome is Outcome.UNKNOWN:
                self._not_asked()
            else:
                self._expect_ok(mechanisms)
                if MECHANISM not in (mechanisms.value or b"").upper().split():
                    raise refused("the server offers no SASL mechanism PLAIN", self._node)
                yield from self._sasl(credential)
        self._expect_ok((yield from _ask(Request(Verb.NOOP))))

    def _sasl(self, credential: Credential) -> Flow[None]:
        request = Request(Verb.AUTH, MECHANISM, self._plain(credential))
        reply = yield from _ask(request)
        if reply.outcome is Outcome.CONTINUE:
            # An empty challenge, from a server that has not looked at what came along with AUTH.
            reply = yield from _ask(request._replace(verb=Verb.STEP))
        if reply.outcome is Outcome.CONTINUE:
            raise self._login_refused()
        self._expect_login(reply)

    def _plain(self, credential: Credential) -> bytes:
        """RFC 4616: no identity to act as, the user, the password."""
        user = self._user(credential)
        if "\0" in user or "\0" in credential.password:
            raise refused("SASL PLAIN takes no NUL in user name or password", self._node)
        return b"\0%b\0%b" % (user.encode(), credential.password.encode())

    # -- the meta protocol: "memcached -Y" --

    def _meta(self) -> Flow[None]:
        hello = yield from _ask(Request(Verb.HELLO))
        if hello.outcome is Outcome.UNKNOWN:
            raise refused(
                "the server does not know the meta protocol, which memcached has from 1.6 on",
                self._node,
            )
        if hello.outcome is not Outcome.UNAUTHENTICATED or self._credential is None:
            self._expect_ok(hello)
            if self._credential is not None:
                self._not_asked()
            return
        login = yield from _ask(Request(Verb.AUTH, value=self._two_words(self._credential)))
        self._expect_login(login)
        self._expect_ok((yield from _ask(Request(Verb.NOOP))))

    def _two_words(self, credential: Credential) -> bytes:
        words = self._user(credential), credential.password
        if any(set(word) & set("\0\t\r\n ") for word in words):
            raise refused(
                "memcached -Y takes no space in user name or password; SASL does", self._node
            )
        return " ".join(words).encode()

    # -- both --

    def _item_size(self) -> Flow[int]:
        reply = yield from _ask(Request(Verb.STATS, b"settings"))
        # Managed services may refuse this: they have CAS, and the size is the default.
        stats = reply.stats or {}
        if stats.get("cas_enabled") == "no":
            raise refused("the server was started without CAS (-C)", self._node)
        size = whole_number(stats.get("item_size_max"))
        return DEFAULT_ITEM_SIZE if size is None else size

    def _user(self, credential: Credential) -> str:
        if not credential.username:
            raise refused("Memcached's log-in needs a user name", self._node)
        return credential.username

    def _not_asked(self) -> None:
        if not self._optional:
            raise refused(
                "credentials are given, and the server does not ask for any: whoever reaches it"
                " can read and write everything; auth_optional=1 accepts that",
                self._node,
            )

    def _expect_login(self, reply: Reply) -> None:
        if reply.outcome is Outcome.UNAUTHENTICATED:
            raise self._login_refused()
        self._expect_ok(reply)

    def _login_refused(self) -> Failure:
        failure = refused("user name or password refused", self._node)
        failure.login = True
        return failure

    def _expect_ok(self, reply: Reply) -> None:
        if reply.outcome in ERRORS:
            raise from_reply(reply, self._node)


def _ask(request: Request) -> Flow[Reply]:
    return (yield from Command(request))


def before_the_command(failure: Failure, *, first: bool) -> Failure:
    """What a failure of the greeting is to the command that it was meant for: that was not sent.

    Without its cause, in whose frames the password can be seen.

    :param first: the server has not said a word yet
    """
    error = copy(failure.error)
    if first and failure.lost and isinstance(error, StoreUnavailable):
        error.args = (f"{error}: does it speak TLS, or another protocol (SASL)?",)
    # Not Failure.again, by which everything that was not executed may be tried again: a server
    # that speaks something else will do so the next time as well.
    return Failure(error, retry=failure.retry, login=failure.login, silent=failure.silent)
