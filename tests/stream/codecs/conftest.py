"""A pool of real worker processes."""

import time
from collections.abc import AsyncIterator

import pytest

from stream.codecs.pool import CodecPool


@pytest.fixture
async def codecs() -> AsyncIterator[CodecPool]:
    async with CodecPool(lambda: time.time_ns() // 1000) as pool:
        yield pool
