"""Where settings come from, and what is refused."""

from __future__ import annotations

import gc
import weakref
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, Response, request

from sessionstore import ConfigurationError, MemoryStore, WeakSecretWarning
from sessionstore.flask import SessionStore, StoreSessionInterface, session
from sessionstore.flask.settings import OPTIONS, Settings
from tests.flask_adapter.support import KEY, OLD_KEY, World, cookie_of, untouched

THIRD_KEY = "the secret before that one, also of 32 bytes"


def app_with(**config: Any) -> Flask:
    app = Flask("shop")
    app.config.update({"SECRET_KEY": KEY, **config})
    return app


def settings_of(app: Flask) -> Settings:
    interface = app.session_interface
    assert isinstance(interface, StoreSessionInterface)
    settings = interface.settings.read(app)
    assert settings is not None
    return settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSIONSTORE_URL", raising=False)
    monkeypatch.delenv("SESSIONSTORE_SECRET_KEY", raising=False)


def test_init_app_is_the_same_for_several_apps() -> None:
    extension = SessionStore(url="memory://")
    first, second = app_with(), app_with()
    extension.init_app(first)
    extension.init_app(second)
    assert first.extensions["sessionstore"] is extension
    assert settings_of(first).manager is settings_of(second).manager
    extension.close()


def test_no_store_is_an_error_at_start_up() -> None:
    with pytest.raises(ConfigurationError, match="SESSIONSTORE_URL"):
        SessionStore(app_with())


def test_the_url_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSTORE_URL", "memory://?prefix=env")
    app = app_with()
    SessionStore(app)
    assert settings_of(app).manager.store.prefix == "env"


def test_the_config_goes_before_the_environment_and_the_code_before_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SESSIONSTORE_URL", "memory://?prefix=env")
    app = app_with(SESSIONSTORE_URL="memory://?prefix=config")
    SessionStore(app)
    assert settings_of(app).manager.store.prefix == "config"
    SessionStore(app, url="memory://?prefix=code")
    assert settings_of(app).manager.store.prefix == "code"


@pytest.mark.parametrize("url", ["reddis://localhost", "memory://?tmeout=1", "localhost:6379"])
def test_an_unknown_scheme_or_option_is_an_error_at_start_up(url: str) -> None:
    with pytest.raises(ConfigurationError):
        SessionStore(app_with(SESSIONSTORE_URL=url))


def test_a_url_and_a_store_are_one_too_many() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        SessionStore(app_with(SESSIONSTORE_URL="memory://", SESSIONSTORE_STORE=MemoryStore()))


def test_a_store_that_is_none_is_said() -> None:
    with pytest.raises(ConfigurationError, match="SESSIONSTORE_STORE is a str"):
        SessionStore(app_with(SESSIONSTORE_STORE="memory://"))


def test_an_unknown_name_is_an_error_at_start_up() -> None:
    with pytest.raises(ConfigurationError, match="SESSIONSTORE_REDIS_URL"):
        SessionStore(app_with(SESSIONSTORE_URL="memory://", SESSIONSTORE_REDIS_URL="x"))
    with pytest.raises(ConfigurationError, match="ur1"):
        SessionStore(ur1="memory://")
    with pytest.raises(ConfigurationError, match="KEEP_EMPTY"):
        SessionStore(app_with(SESSIONSTORE_URL="memory://", SESSIONSTORE_KEEP_EMPTY=True))


VALUES: dict[str, Any] = {
    "idle_timeout": 60.0,
    "absolute_timeout": 3600.0,
    "touch_interval": 1.0,
    "rotation_grace": 3.0,
    "clock_skew": 2.0,
    "max_size": 1000,
    "compress_over": 10,
    "compression": "none",
    "merge": (("cart", max),),
    "subject_key": "user",
    "identity_keys": ("user",),
    "on_unavailable": "anonymous",
    "assurance": "aal1",
    "secret_key": b"k" * 40,
    "secret_key_fallbacks": (b"f" * 40,),
    "encryption_keys": (b"e" * 40,),
    "encrypt": False,
}


@pytest.mark.parametrize("lifetime", [3601, timedelta(days=2)])
def test_a_lifetime_above_the_assurance_level_is_refused(lifetime: Any) -> None:
    app = app_with(
        SESSIONSTORE_URL="memory://",
        SESSIONSTORE_ASSURANCE="aal2",
        PERMANENT_SESSION_LIFETIME=lifetime,
    )
    with pytest.raises(ConfigurationError, match=r"PERMANENT_SESSION_LIFETIME=.*at most 3600"):
        SessionStore(app)


def test_flasks_own_lifetime_gives_way_to_the_assurance_level_and_a_shorter_one_counts() -> None:
    app = app_with(SESSIONSTORE_URL="memory://", SESSIONSTORE_ASSURANCE="aal2")
    SessionStore(app)
    for lifetime in (3600, 600):
        settings = settings_of(app)
        assert settings.permanent_lifetime == settings.manager.config.idle_timeout == lifetime
        app.config["PERMANENT_SESSION_LIFETIME"] = 600


def test_there_is_a_value_for_every_option() -> None:
    assert VALUES.keys() | {"url", "store", "touch_on_read"} == OPTIONS


@pytest.mark.parametrize("name", VALUES)
def test_a_setting_reaches_the_core_from_the_config_and_from_code(name: str) -> None:
    needed = {"secret_key": "s" * 40} if name == "secret_key_fallbacks" else {}
    prefixed = {f"SESSIONSTORE_{key.upper()}": value for key, value in needed.items()}
    by_config = app_with(
        SESSIONSTORE_URL="memory://", **{f"SESSIONSTORE_{name.upper()}": VALUES[name]}, **prefixed
    )
    SessionStore(by_config)
    by_code = app_with(SESSIONSTORE_URL="memory://")
    SessionStore(by_code, **{name: VALUES[name]}, **needed)
    for app in (by_config, by_code):
        assert getattr(settings_of(app).manager.config, name) == VALUES[name]


def test_touch_on_read() -> None:
    world = World(SESSIONSTORE_TOUCH_ON_READ=False)
    world.get(lambda session: session.update(a=1))
    world.clock.advance(10 * 86400)
    assert world.read("a") == 1
    assert world.store.verbs == ["load"]


def test_a_value_that_cannot_work_is_an_error_at_start_up() -> None:
    with pytest.raises(ConfigurationError, match="max_size"):
        SessionStore(app_with(SESSIONSTORE_URL="memory://", SESSIONSTORE_MAX_SIZE=0))


def test_a_weak_secret_is_warned_of() -> None:
    with pytest.warns(WeakSecretWarning):
        SessionStore(app_with(SECRET_KEY="dev", SESSIONSTORE_URL="memory://"))


# -- keys --


def test_the_key_comes_from_the_config_the_environment_or_flask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = app_with(SESSIONSTORE_URL="memory://")
    SessionStore(app)
    assert settings_of(app).manager.config.keys == (KEY.encode(),)
    monkeypatch.setenv("SESSIONSTORE_SECRET_KEY", OLD_KEY)
    SessionStore(app)
    assert settings_of(app).manager.config.keys == (OLD_KEY.encode(),)
    app.config["SESSIONSTORE_SECRET_KEY"] = THIRD_KEY
    assert settings_of(app).manager.config.keys == (THIRD_KEY.encode(),)


def test_fallbacks_come_from_the_source_of_the_key() -> None:
    app = app_with(SESSIONSTORE_URL="memory://", SECRET_KEY_FALLBACKS=[OLD_KEY])
    SessionStore(app)
    assert settings_of(app).manager.config.keys == (KEY.encode(), OLD_KEY.encode())
    app.config["SESSIONSTORE_SECRET_KEY"] = THIRD_KEY
    assert settings_of(app).manager.config.keys == (THIRD_KEY.encode(),)


def test_fallbacks_verify_and_the_newest_key_signs() -> None:
    """Flask's CVE-2025-47278 is this order, wrong: it signed with the oldest fallback."""
    world = World(SECRET_KEY=OLD_KEY)
    world.get(lambda session: session.update(a=1))
    old = world.token
    world.app.config.update(SECRET_KEY=KEY, SECRET_KEY_FALLBACKS=[OLD_KEY, THIRD_KEY])
    assert world.read("a") == 1
    assert cookie_of(world.get(lambda session: session.update(b=1))).value != old
    # What is signed now is good without any fallback: so it was the newest that signed.
    world.app.config["SECRET_KEY_FALLBACKS"] = None
    assert (world.read("a"), world.read("b")) == (1, 1)
    assert old is not None
    world.client.set_cookie("session", old)
    assert world.read("a") is None
    assert world.store.verbs == []


def test_each_fallback_is_as_good_as_the_first() -> None:
    for key in (OLD_KEY, THIRD_KEY):
        world = World(SECRET_KEY=key)
        world.get(lambda session: session.update(a=1))
        world.app.config.update(SECRET_KEY=KEY, SECRET_KEY_FALLBACKS=[OLD_KEY, THIRD_KEY])
        assert world.read("a") == 1


def test_a_fallback_that_is_appended_in_place_counts() -> None:
    world = World(SECRET_KEY=OLD_KEY)
    world.get(lambda session: session.update(a=1))
    world.app.config.update(SECRET_KEY=KEY, SECRET_KEY_FALLBACKS=[THIRD_KEY])
    assert world.read("a") is None
    world.app.config["SECRET_KEY_FALLBACKS"].append(OLD_KEY)
    assert world.read("a") == 1


def test_encryption() -> None:
    world = World(SESSIONSTORE_ENCRYPTION_KEYS=["e" * 32])
    world.get(lambda session: session.update(a=1))
    assert world.read("a") == 1
    world.app.config["SESSIONSTORE_ENCRYPTION_KEYS"] = []
    assert world.read("a") is None  # void: the record is left alone
    world.app.config["SESSIONSTORE_ENCRYPTION_KEYS"] = ["n" * 32, "e" * 32]
    assert world.read("a") == 1


def test_the_config_is_read_for_each_request() -> None:
    world = World()
    manager = settings_of(world.app).manager
    world.get(lambda session: session.update(a=1))
    assert settings_of(world.app).manager is manager
    world.app.config["SESSION_COOKIE_NAME"] = "sid"
    assert world.read("a") is None
    world.app.config["SESSION_COOKIE_NAME"] = "session"
    assert world.read("a") == 1
    world.app.config["SESSIONSTORE_MAX_SIZE"] = 10
    assert settings_of(world.app).manager is not manager


# -- the null session --


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_there_is_flasks_null_session(secret: Any) -> None:
    world = World(SECRET_KEY=secret)
    seen: list[Any] = []
    response = world.get(lambda session: seen.extend([session.get("a"), dict(session)]))
    assert seen == [None, {}]
    assert untouched(response)
    with pytest.raises(RuntimeError, match="no secret key was set"):
        world.get(lambda session: session.update(a=1))
    world.app.secret_key = KEY
    world.get(lambda session: session.update(a=1))
    assert world.read("a") == 1


def test_the_interface_may_be_subclassed() -> None:
    class Interface(StoreSessionInterface):
        def get_cookie_name(self, app: Flask) -> str:
            return f"mine{len(request.path)}"

    class Extension(SessionStore):
        interface_class = Interface

    app = app_with(SESSIONSTORE_URL="memory://")
    Extension(app)
    app.add_url_rule("/", "view", lambda: session.update(a=1) or "done")
    assert app.test_client().get("/").headers["Set-Cookie"].startswith("mine1=")


def test_an_app_is_freed_as_soon_as_it_is_dropped() -> None:
    app = app_with(SESSIONSTORE_URL="memory://")
    SessionStore(app)
    SessionStore(app)
    app.add_url_rule("/", "view", lambda: session.update(a=1) or "done")
    app.test_client().get("/")
    freed = weakref.ref(app)
    gc.disable()
    try:
        del app
        assert freed() is None
    finally:
        gc.enable()


def test_another_extension_may_have_replaced_handle_exception_before() -> None:
    app = app_with(SESSIONSTORE_URL="memory://")
    app.handle_exception = lambda e: Response(f"theirs: {e}", 500)  # type: ignore[method-assign]
    SessionStore(app)

    @app.get("/")
    def view() -> str:
        raise RuntimeError("ours")

    assert app.test_client().get("/").text == "theirs: ours"
