"""The fixtures of the API's tests, for the clients of npm."""

from tests.api.conftest import (
    admin,
    api,
    brand,
    clock,
    codes,
    config,
    driver,
    make_service,
    password_hash,
    service,
)

__all__ = [
    "admin", "api", "brand", "clock", "codes", "config", "driver", "make_service", "password_hash", "service",
]  # fmt: skip
