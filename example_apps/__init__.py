"""One small shop three times: with Flask, with Django and with Starlette, one session for all."""
