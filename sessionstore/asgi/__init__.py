"""Sessions for Starlette, FastAPI and any other ASGI application."""

from sessionstore.asgi.middleware import SessionMiddleware
from sessionstore.asgi.session import ASGISession

__all__ = ["ASGISession", "SessionMiddleware"]
