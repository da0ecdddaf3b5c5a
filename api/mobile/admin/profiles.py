"""Device profiles in the portal: /api/mobile/admin/profiles."""

from typing import Annotated

from fastapi import Depends, Path

from api.context import Db
from api.errors import Problem, not_found
from api.fields import TEXT_CHARACTERS_MAX, Storable
from api.mobile.admin.callers import Admin
from api.mobile.admin.paging import Paging
from api.mobile.admin.schemas.profiles import NewProfile, ProfileOut, ProfilePage
from api.routing import Router
from protocols.mapping import read_mapping
from protocols.payloads import DECODERS
from protocols.payloads.binary import layout_of
from protocols.samples import DecodeError
from storage.database import Connection
from storage.queries import codecs, profiles

router = Router(prefix="/profiles")

JS = "js"  # the decoder that is a codec
BINARY = "binary"  # the one with a layout in its options

Name = Annotated[str, Path(min_length=1, max_length=TEXT_CHARACTERS_MAX, examples=["acme-water"]), Storable]


@router.put("/{name}")
async def put(name: Name, body: NewProfile, caller: Admin, db: Db) -> ProfileOut:
    """Write a profile, in the place of the one with this name; its devices follow within seconds."""
    await check_profile(db, body)
    return ProfileOut.of(await profiles.put_profile(db, name=name, **body.model_dump()))


@router.get("")
async def list_profiles(caller: Admin, db: Db, paging: Annotated[Paging, Depends()]) -> ProfilePage:
    """List profiles; `q` looks into their names."""
    found = await profiles.list_profiles(db, query=paging.q, after_id=paging.after, limit=paging.limit)
    return ProfilePage(
        profiles=[ProfileOut.of(profile) for profile in found], next_after=paging.next_after(found)
    )


@router.get("/{name}")
async def detail(name: Name, caller: Admin, db: Db) -> ProfileOut:
    """Show a profile."""
    found = await profiles.find_profile(db, name)
    if found is None:
        raise not_found("Profile", f"Profile {name} not found")
    return ProfileOut.of(found)


async def check_profile(db: Connection, body: NewProfile) -> None:
    """Raises `Problem` (400) for a profile that could decode nothing; also used by the command line."""
    if body.decoder != JS and body.decoder not in DECODERS:
        raise _invalid(f"decoder: {body.decoder!r} is none of {JS}, {', '.join(sorted(DECODERS))}")
    if (body.decoder == JS) != (body.codec_id is not None):
        raise _invalid(f"codec_id: belongs to decoder {JS}, and to no other")
    if body.codec_id is not None and await codecs.get_codec_text(db, body.codec_id) is None:
        raise _invalid(f"codec_id: there is no codec {body.codec_id}")
    try:
        read_mapping(body.mapping)
        if body.decoder == BINARY:
            layout_of(body.options)
    except DecodeError as error:
        raise _invalid(str(error)) from error


def _invalid(details: str) -> Problem:
    return Problem(400, "Validation failed", details)
