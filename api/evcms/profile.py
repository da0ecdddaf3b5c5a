"""EV-CMS profiles: /api/v1/profile and its preferences (EV-007 to EV-009)."""

from api.context import Ctx, Db
from api.errors import FieldError, invalid
from api.evcms.accounts import show
from api.evcms.callers import AnyUser
from api.evcms.envelope import Answer
from api.evcms.schemas.users import NamedPreferences, NamedUser, PreferencesIn, PreferencesOut, ProfileIn
from api.evcms.uploaded import own_upload
from api.routing import Router
from storage.queries import users

router = Router(prefix="/profile")

PATH = "/api/v1/profile"


@router.get("")
async def profile(caller: AnyUser, db: Db) -> Answer[NamedUser]:
    """Show the caller's account with its vehicles and wallet."""
    return Answer.of(NamedUser.around(await show(db, caller.user)))


@router.put("")
async def update_profile(body: ProfileIn, caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedUser]:
    """Change name, phone or picture. A picture of ours is the `url` of the caller's own upload."""
    picture = body.profile_picture
    is_ours = picture is not None and picture.startswith(("/", f"{context.config.public_url}/"))
    if picture and is_ours and await own_upload(db, caller.id, "profile", picture) is None:
        fault = FieldError("profilePicture", "must be the url of an upload of your own, of type profile")
        raise invalid(PATH, [fault])
    user = await users.update_profile(
        db, caller.id, name=body.name, phone=body.phone, profile_picture=picture, now=context.now()
    )
    return Answer.of(NamedUser.around(await show(db, user)))


@router.put("/preferences")
async def update_preferences(
    body: PreferencesIn, caller: AnyUser, context: Ctx, db: Db
) -> Answer[NamedPreferences]:
    """Change the language, the theme, or whether to be notified at all; what is left out stays."""
    changes = body.model_dump(exclude_none=True)
    user = await users.merge_preferences(db, caller.id, changes, context.now())
    return Answer.of(NamedPreferences.around(PreferencesOut.of(user)))
