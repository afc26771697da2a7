"""Django behind a real server, and a pool that is warm before gunicorn forks.

Flask's and ASGI's sites are those of the drill: ``tests/drill/wsgi_app.py``, ``asgi_app.py``.
"""
