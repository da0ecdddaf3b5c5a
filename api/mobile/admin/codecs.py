"""Payload codecs in the portal: /api/mobile/admin/codecs. A stored version never changes.

A codec is run here as ingest runs it, in worker processes of its own that end with the request.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Path, Request

from api.context import Ctx, Db
from api.errors import Problem, not_found
from api.mobile.admin.callers import Admin
from api.mobile.admin.paging import Paging
from api.mobile.admin.schemas.codecs import (
    AssignedOut,
    Assignment,
    CodecDetail,
    CodecOut,
    CodecPage,
    CodecTest,
    CodecVersions,
    NewCodec,
    TestOut,
    TriedOut,
)
from api.routing import Router
from protocols.mapping import MeterMapping, codec_measurements, read_mapping
from protocols.measurements import Measurement
from protocols.samples import DecodeError
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import codecs, profiles
from storage.queries.codecs import Codec
from stream.codecs.examples import Examination, Tried
from stream.codecs.pool import CodecPool, PoolLimits

router = Router(prefix="/codecs")

VERSIONS_MAX = 200
POOLS_MAX = 2  # requests that run codecs at a time; more wait


async def _codec_pool(request: Request, context: Ctx) -> AsyncIterator[CodecPool]:
    state = request.app.state
    if not hasattr(state, "codec_pools"):
        state.codec_pools = asyncio.Semaphore(POOLS_MAX)
    async with state.codec_pools, CodecPool(context.clock, PoolLimits(workers_max=1)) as pool:
        yield pool


# "function": the worker ends before the answer leaves
Codecs = Annotated[CodecPool, Depends(_codec_pool, scope="function")]
Name = Annotated[str, Path(alias="name", max_length=80)]
Version = Annotated[int, Path(alias="version", ge=1, le=2**31 - 1)]


@router.post("", status_code=201)
async def upload(body: NewCodec, caller: Admin, pool: Codecs, db: Db) -> CodecDetail:
    """Store a codec as the next version of its name; refused where it does not load or an example fails."""
    found = _passed(await pool.examine(body.source, body.examples))
    try:
        stored = await codecs.insert_codec(
            db, name=body.name, source=body.source, examples=body.examples, is_stateful=found.is_stateful,
            created_by=caller.id,
        )  # fmt: skip
    except AlreadyExistsError as error:
        raise Problem(409, "Codec already exists", str(error)) from error
    return CodecDetail.of(stored)


@router.get("")
async def list_codecs(caller: Admin, db: Db, paging: Annotated[Paging, Depends()]) -> CodecPage:
    """List codecs, each by its newest version; `q` looks into their names."""
    found = await codecs.list_codecs(db, query=paging.q, after_id=paging.after, limit=paging.limit)
    return CodecPage(codecs=[CodecOut.of(each) for each in found], next_after=paging.next_after(found))


@router.post("/test")
async def test(body: CodecTest, caller: Admin, pool: Codecs, db: Db) -> TestOut:
    """Run a codec on examples or given bytes and show what it gives; nothing is stored."""
    source, examples = body.source, body.examples
    if source is None:
        if body.name is None:
            raise Problem(400, "Validation failed", "source: give a source, or the name of a stored codec")
        stored = await _find(db, body.name, body.version)
        source, examples = stored.source, stored.examples if examples is None else examples
    try:
        mapping = read_mapping(body.mapping)
    except DecodeError as error:
        raise Problem(400, "Validation failed", str(error)) from error
    found = await pool.examine(source, examples or [])
    results = [TriedOut.of(each, _measurements(each, mapping)) for each in found.tried]
    return TestOut(error=found.error, is_stateful=found.is_stateful, results=results)


@router.get("/{name}")
async def versions(name: Name, caller: Admin, db: Db) -> CodecVersions:
    """List the versions of a codec."""
    found = await codecs.list_versions(db, name, limit=VERSIONS_MAX)
    if not found:
        raise _missing(name)
    return CodecVersions(versions=[CodecOut.of(each) for each in found])


@router.get("/{name}/versions/{version}")
async def detail(name: Name, version: Version, caller: Admin, db: Db) -> CodecDetail:
    """Show a version of a codec with its source and examples."""
    return CodecDetail.of(await _find(db, name, version))


@router.post("/{name}/versions/{version}/assign")
async def assign(name: Name, version: Version, body: Assignment, caller: Admin, db: Db) -> AssignedOut:
    """Let a version of a codec decode a profile's payloads from now on."""
    codec = await _find(db, name, version)
    profile = await profiles.set_profile_codec(db, body.profile_id, codec.id)
    if profile is None:
        raise not_found("Profile", f"Profile with ID {body.profile_id} not found")
    return AssignedOut(
        profile_id=profile.id, profile_name=profile.name, codec=codec.name, version=codec.version
    )


def _passed(found: Examination) -> Examination:
    """Return `found`; raises 400 where the codec does not load or an example fails, with all that do."""
    if found.error is not None:
        raise Problem(400, "Codec refused", found.error)
    failed = [
        f"example {index} ({each.description or 'without a description'}): {each.difference}"
        for index, each in enumerate(found.tried, 1)
        if each.difference is not None
    ]
    if failed:
        raise Problem(400, "Codec refused", "; ".join(failed))
    return found


def _measurements(tried: Tried, mapping: MeterMapping) -> tuple[Measurement, ...]:
    try:
        return codec_measurements(tried.output.get("data"), tried.normalized, mapping)
    except DecodeError as error:
        raise Problem(400, "Validation failed", str(error)) from error


async def _find(db: Connection, name: str, version: int | None) -> Codec:
    found = await codecs.find_codec(db, name, version)
    if found is None:
        raise _missing(name if version is None else f"{name}, version {version},")
    return found


def _missing(what: str) -> Problem:
    return not_found("Codec", f"Codec {what} not found")
