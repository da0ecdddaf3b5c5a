"""EV-CMS notifications, preferences, alerts and push tokens."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool
from pydantic.alias_generators import to_camel

from api.evcms.envelope import Done, Named, Out, Page, Time
from api.fields import Storable, Text
from storage.queries.notifications import Notification
from stream.notify import Type, preferences_of

MESSAGE_CHARACTERS_MAX = 2_000
USERS_MAX = 10_000  # whom one alert or bulk message names
PUSH_TOKEN_CHARACTERS_MAX = 512

ReadStatus = Literal["read", "unread"]
Message = Annotated[str, Field(min_length=1, max_length=MESSAGE_CHARACTERS_MAX), Storable]
UserIds = Annotated[list[Text], Field(min_length=1, max_length=USERS_MAX)]


class NotificationOut(Out):
    """A notification; `data` says what it is about, as in `{"bookingId": "7"}`."""

    id: str
    user_id: str
    type: Type
    title: str
    message: str
    data: dict[str, Any]
    is_read: bool
    created_at: Time

    @classmethod
    def of(cls, notification: Notification) -> "NotificationOut":
        """Show `notification`."""
        return cls.model_validate(
            {
                "id": str(notification.id),
                "user_id": str(notification.user_id),
                "type": notification.type,
                "title": notification.title,
                "message": notification.message,
                "data": notification.data,
                "is_read": notification.read_at is not None,
                "created_at": notification.created_at,
            }
        )


class NamedNotification(NotificationOut, Named):
    """`data` of an answer about one notification."""

    notification: NotificationOut


class NotificationPage(Page[NotificationOut]):
    """One page of notifications, newest first; `unread_count` is of all that the user has."""

    notifications: list[NotificationOut]
    unread_count: int


class _Preferences(BaseModel):
    """What a user wants to hear; unknown names are refused, so that a misspelt one is not lost."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class EmailPreferences(_Preferences):
    """By e-mail."""

    booking_confirmation: StrictBool | None = None
    session_complete: StrictBool | None = None
    payment_receipt: StrictBool | None = None
    promotions: StrictBool | None = None


class PushPreferences(_Preferences):
    """By push."""

    booking_reminder: StrictBool | None = None
    session_start: StrictBool | None = None
    low_balance: StrictBool | None = None


class SmsPreferences(_Preferences):
    """By text message."""

    booking_confirmation: StrictBool | None = None
    payment_confirmation: StrictBool | None = None


class InAppPreferences(_Preferences):
    """In the app while it is open."""

    all: StrictBool | None = None


class PreferencesIn(_Preferences):
    """Changes; what is left out stays as it is."""

    email: EmailPreferences | None = None
    push: PushPreferences | None = None
    sms: SmsPreferences | None = None
    in_app: InAppPreferences | None = None

    @property
    def changes(self) -> dict[str, dict[str, bool]]:
        """What is to change, by channel and name."""
        return self.model_dump(by_alias=True, exclude_none=True)


class EmailOut(Out):
    """By e-mail; promotions only for those who asked for them."""

    booking_confirmation: bool
    session_complete: bool
    payment_receipt: bool
    promotions: bool


class PushOut(Out):
    """By push, to the phones that are registered."""

    booking_reminder: bool
    session_start: bool
    low_balance: bool


class SmsOut(Out):
    """By text message, where the account has a phone."""

    booking_confirmation: bool
    payment_confirmation: bool


class InAppOut(Out):
    """Whether new notifications are announced on the socket; the list has all of them either way."""

    all: bool


class PreferencesOut(Out):
    """What a user wants to hear by which channel."""

    email: EmailOut
    push: PushOut
    sms: SmsOut
    in_app: InAppOut

    @classmethod
    def of(cls, changed: dict[str, Any]) -> "PreferencesOut":
        """Show the defaults with what the user changed of them."""
        return cls.model_validate(preferences_of(changed))


class NamedChannelPreferences(PreferencesOut, Named):
    """`data` of an answer about preferences."""

    preferences: PreferencesOut


class AlertIn(BaseModel):
    """An admin's own words. Without `targetUsers` everybody of the family is told."""

    model_config = ConfigDict(populate_by_name=True)

    title: Text
    message: Message
    type: Type
    target_users: Annotated[UserIds | None, Field(alias="targetUsers")] = None


class BulkIn(BaseModel):
    """An admin's own words to many users; ids that are nobody's are passed over."""

    model_config = ConfigDict(populate_by_name=True)

    title: Text
    message: Message
    user_ids: Annotated[UserIds, Field(alias="userIds")]


class CountOut(Out):
    """How many users are told."""

    count: int


class BulkDone(Done):
    """`count` beside `success`, as the documentation has it, and in `data`, where clients look."""

    count: int
    data: CountOut


PushToken = Annotated[str, Field(min_length=1, max_length=PUSH_TOKEN_CHARACTERS_MAX), Storable]


class PushTokenIn(BaseModel):
    """What the phone's push service calls this installation of the app."""

    token: PushToken


class NewPushToken(PushTokenIn):
    """The same, and what kind of phone it is."""

    platform: Literal["android", "ios", "web"]
