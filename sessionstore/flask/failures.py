"""What a client is told when the store fails, wherever in a request that happens.

In a view Flask asks its error handlers, and ours is one. An error in ``after_request`` functions,
in URL converters or in another error handler never reaches those: Flask makes a 500 of it in
``handle_exception``, so that is where it is met. And an error in ``save_session`` comes when the
response is there already, which is turned into the answer in place.
"""

from __future__ import annotations

import logging
from typing import Final

from flask import Flask, Response, current_app

from sessionstore.answers import answer_to
from sessionstore.core.errors import SessionError, SessionGone, StoreError
from sessionstore.flask.headers import vary

logger = logging.getLogger("sessionstore")

ANSWERED: Final = (StoreError, SessionGone)
_OF_THE_OLD_BODY: Final = (
    *("Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Range"),
    *("Content-Disposition", "Content-Location", "Content-MD5", "Accept-Ranges", "Link"),
    *("ETag", "Last-Modified", "Expires", "Age", "Cache-Control", "Location", "Refresh"),
)


def install(app: Flask) -> None:
    """Have session errors answered. Handlers that the application registers go first."""
    handlers = app.error_handler_spec[None][None]
    for kind in ANSWERED:
        handlers.setdefault(kind, _answer)
    # Neither function refers to the app: without a cycle it is freed as soon as it is dropped.
    earlier = vars(app).get("handle_exception")

    def handle_exception(e: Exception) -> Response:
        app = _this_app()
        if isinstance(e, ANSWERED):
            return app.finalize_request(_ask_handlers(app, e), from_error_handler=True)
        return earlier(e) if earlier is not None else type(app).handle_exception(app, e)

    # Flask has no hook for an exception that leaves the error handlers.
    app.handle_exception = handle_exception  # type: ignore[method-assign]


def _this_app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # Werkzeug's proxy is untyped
    return app


def turn_into_answer(app: Flask, response: Response, error: SessionError) -> None:
    """Make this response the answer to an error, keeping only headers that are not its body's.

    :raises SessionError: the error itself, if it is the application's own doing
    """
    if not isinstance(error, ANSWERED):
        raise error
    answer = _ask_handlers(app, error)
    close = getattr(response.response, "close", None)
    for name in _OF_THE_OLD_BODY:
        response.headers.remove(name)
    for name, value in answer.headers:
        if name.lower() == "set-cookie":
            response.headers.add(name, value)
        elif name.lower() != "vary":
            response.headers.set(name, value)
    response.vary.update(answer.vary)
    response.status = answer.status
    response.response = answer.response
    response.direct_passthrough = answer.direct_passthrough
    response.call_on_close(answer.close)
    if close is not None:
        close()


def _ask_handlers(app: Flask, error: SessionError) -> Response:
    """What the application's handlers say, or ours."""
    try:
        return app.make_response(app.handle_user_exception(error))
    except Exception:
        logger.exception("the error handler for %s failed", type(error).__name__)
        return _answer(error)


def _answer(error: SessionError) -> Response:
    answer = answer_to(error)
    assert answer is not None  # noqa: S101 (it is one of ANSWERED)
    if isinstance(error, SessionGone):
        logger.info("%s", error)
    response = _this_app().response_class(answer.text, answer.status, list(answer.headers))
    vary(response)
    return response
