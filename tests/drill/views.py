"""What both of the drill's sites do with a session."""

from __future__ import annotations

from typing import Any


def respond(path: str, session: Any) -> tuple[int, dict[str, Any]]:
    """Status and body. Every answer shows the session as this request found it.

    ``/visit/VALUE`` writes without a login, ``/login/USER/VALUE`` logs in, ``/write/VALUE``
    and ``/logout`` want somebody logged in, ``/read`` shows who is. 401: nobody is logged in.
    """
    if path == "/":
        return 200, {}
    action, *arguments = path.strip("/").split("/")
    found = {"user": session.get("user"), "value": session.get("value")}
    if session.subject is not None and session.subject != found["user"]:
        found["user"] = f"{found['user']} as {session.subject}"
    if action == "visit":
        session["value"] = int(arguments[0])
    elif action == "login":
        session["user"], session["value"] = arguments[0], int(arguments[1])
        session.login(arguments[0])
    elif action in {"write", "logout"}:
        if found["user"] is None:
            return 401, found
        if action == "write":
            session["value"] = int(arguments[0])
        else:
            session.logout()
    return 200, found
