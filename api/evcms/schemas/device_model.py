"""EV-CMS: what a charger is made of and holds. Extension: the documentation does not have these."""

from typing import Any, Self

from api.evcms.envelope import Maybe, Out, Page, Time


class _Row(Out):
    """Shows a row of `storage.queries` that has the same fields."""

    @classmethod
    def of(cls, row: object) -> Self:
        """Show `row`."""
        return cls.model_validate(row, from_attributes=True)


class VariableOut(_Row):
    """An attribute of a variable; a 1.6 configuration key has the component "".

    `evse_id` and `connector_id` 0 and an empty instance: none. `value` is None where it is write-only or
    not set, `***` where it is a secret.
    """

    component: str
    component_instance: str
    evse_id: int
    connector_id: int
    variable: str
    variable_instance: str
    attribute: str
    value: str | None
    mutability: str | None
    is_persistent: bool | None
    is_constant: bool | None
    characteristics: dict[str, Any] | None
    updated_at: Time


class VariablePage(Page[VariableOut]):
    """One page of variables, by name."""

    variables: list[VariableOut]


class ProfileOut(_Row):
    """A charging profile; `evse_id` is the connector in 1.6, and 0 the whole charger."""

    profile_id: int
    evse_id: int
    purpose: str
    stack_level: int
    transaction_id: str | None
    source: str
    profile: dict[str, Any]
    updated_at: Time


class ProfilePage(Page[ProfileOut]):
    """One page of charging profiles, by EVSE, purpose and stack level."""

    charging_profiles: list[ProfileOut]


class ReservationOut(_Row):
    """A reservation; `evse_id` is the connector in 1.6, and 0 any.

    `status`: active, used, cancelled, expired or removed (by the charger).
    """

    reservation_id: int
    evse_id: int
    connector_type: str | None
    id_token: str
    token_type: str
    group_token: str | None
    expires_at: Time
    status: str
    created_at: Time
    updated_at: Time


class ReservationPage(Page[ReservationOut]):
    """One page of reservations, newest first."""

    reservations: list[ReservationOut]


class LocalListOut(_Row):
    """The list's facts: the version we sent and the charger took, and the one that it reports."""

    version: int
    is_in_doubt: bool
    sent_at: Time | None
    reported_version: int | None
    reported_at: Time | None


class LocalListEntryOut(_Row):
    """A token on the list, with its IdTagInfo (1.6) or IdTokenInfoType."""

    id_token: str
    token_type: str
    info: dict[str, Any]


class LocalListPage(Page[LocalListEntryOut]):
    """One page of the list's tokens; `local_list` is None where no list was ever sent or reported."""

    entries: list[LocalListEntryOut]
    local_list: LocalListOut | None


class JobOut(_Row):
    """Work of a charger: firmware, an upload or a report.

    `status` is the charger's own word. `request` is None for what it began by itself; `parts` are the
    messages of a report so far, `text` what customer information said in them.
    """

    id: int
    kind: str
    request_id: int | None
    status: str
    is_finished: bool
    is_failed: bool
    request: dict[str, Any] | None
    answer: dict[str, Any]
    parts: int
    text: Maybe[str]
    created_at: Time
    updated_at: Time


class JobPage(Page[JobOut]):
    """One page of jobs, newest first."""

    jobs: list[JobOut]


class DisplayMessageOut(_Row):
    """A message on the charger's display; `message` is OCPP's MessageInfoType."""

    message_id: int
    priority: str
    state: str | None
    transaction_id: str | None
    message: dict[str, Any]
    updated_at: Time


class DisplayMessagePage(Page[DisplayMessageOut]):
    """One page of display messages, by id."""

    display_messages: list[DisplayMessageOut]


class MonitorOut(_Row):
    """A monitor on a variable; `severity` 0 (danger) to 9 (debug)."""

    monitor_id: int
    component: str
    component_instance: str
    evse_id: int
    connector_id: int
    variable: str
    variable_instance: str
    type: str
    value: float
    severity: int
    is_transaction: bool
    kind: str
    updated_at: Time


class MonitorPage(Page[MonitorOut]):
    """One page of monitors, by id."""

    monitors: list[MonitorOut]
