"""Versions of codecs: numbered without gaps, never changed, listed by the newest."""

import asyncio

import pytest

from storage.database import Pool
from storage.errors import AlreadyExistsError
from storage.queries import codecs, profiles
from storage.queries.codecs import Codec, hash_source

EXAMPLES = [{"input": {"bytes": [1]}, "output": {"data": {"n": 1.5}}}]


async def store(pool: Pool, name: str = "acme", source: str = "a") -> Codec:
    async with pool.connection() as db:
        return await codecs.insert_codec(
            db, name=name, source=source, examples=EXAMPLES, is_stateful=False
        )  # fmt: skip


async def test_versions_count_up_and_keep_their_source(pool: Pool) -> None:
    first, second, other = await store(pool), await store(pool, source="b"), await store(pool, "other")
    assert [each.version for each in (first, second, other)] == [1, 2, 1]
    assert second.sha256 == hash_source("b")
    async with pool.connection() as db:
        assert await codecs.find_codec(db, "acme") == second
        assert await codecs.find_codec(db, "acme", 1) == first
        assert await codecs.find_codec(db, "acme", 3) is None
        text = await codecs.get_codec_text(db, first.id)
        assert text is not None
        assert (text.name, text.version, text.source, text.is_stateful) == ("acme", 1, "a", False)
        assert first.examples == EXAMPLES


async def test_the_same_text_is_no_new_version(pool: Pool) -> None:
    await store(pool)
    with pytest.raises(AlreadyExistsError, match="version 1 of acme"):
        await store(pool)
    await store(pool, source="b")
    assert (await store(pool)).version == 3  # back to the first is a change


async def test_two_at_one_time_get_two_versions(pool: Pool) -> None:
    made = await asyncio.gather(*(store(pool, source=str(n)) for n in range(8)))
    assert sorted(each.version for each in made) == list(range(1, 9))


async def test_lists_have_the_newest_and_who_uses_it(pool: Pool) -> None:
    first, second = await store(pool), await store(pool, source="b")
    await store(pool, "zulu")
    async with pool.connection() as db:
        profile = await profiles.put_profile(db, name="p", decoder="js", codec_id=first.id)
        listed = await codecs.list_codecs(db, limit=10)
        assert [(each.name, each.version, each.examples) for each in listed] == [
            ("acme", 2, 1),
            ("zulu", 1, 1),
        ]
        assert [each.name for each in await codecs.list_codecs(db, query="ZU", limit=10)] == ["zulu"]
        assert [each.name for each in await codecs.list_codecs(db, after_id=second.id, limit=10)] == ["zulu"]
        versions = await codecs.list_versions(db, "acme", limit=10)
        assert [(each.version, each.profiles) for each in versions] == [(2, 0), (1, 1)]
        await profiles.set_profile_codec(db, profile.id, second.id)
        versions = await codecs.list_versions(db, "acme", limit=10)
        assert [(each.version, each.profiles) for each in versions] == [(2, 1), (1, 0)]


async def test_a_leak_marks_every_codec_of_that_source(pool: Pool) -> None:
    await store(pool)
    await store(pool, "copy")
    await store(pool, "other", "b")
    async with pool.connection() as db:
        await codecs.mark_stateful(db, hash_source("a"))
        listed = await codecs.list_codecs(db, limit=10)
    assert {each.name: each.is_stateful for each in listed} == {"acme": True, "copy": True, "other": False}
