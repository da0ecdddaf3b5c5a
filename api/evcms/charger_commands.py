"""EV-CMS durable commands: /api/v1/chargers/{id}/commands and /api/v1/commands, extensions of ours.

A command is stored before anybody is told of it, so an offline charger gets it when it is back, and nothing
that stops loses it. The gateway delivers (`ingest.ocpp.delivery`).
"""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends, Response

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import FieldError, Problem, invalid, not_found
from api.evcms.callers import BrandOrAdmin
from api.evcms.charger_access import charger_of
from api.evcms.envelope import Answer, Id, Paging
from api.evcms.schemas.commands import (
    ActionOut,
    ActionRows,
    CommandOrder,
    CommandOut,
    CommandPage,
    NamedCommand,
)
from api.evcms.waiting import until
from api.fields import IdempotencyKey
from api.routing import Router
from protocols.ocpp.command_rules import is_repeatable, supersede_key, ttl_s_default
from protocols.ocpp.frames import serialise_call
from protocols.ocpp.schemas import SchemaError, check_call
from protocols.ocpp.surface import TO_CHARGER, Version
from storage.database import Connection
from storage.errors import AlreadyExistsError, TooManyCommandsError
from storage.queries import commands
from storage.queries.charger_views import ChargerView
from storage.queries.commands import Command, NewCommand, State
from stream.bus import nudge_charger
from stream.charger_commands import tell

router = Router()

PATH = "/api/v1"
PAYLOAD_BYTES_MAX = 131_072  # of its JSON: half of what a charger may be sent in one frame
_OPEN = frozenset({"queued", "sent"})


@router.post(
    "/chargers/{id}/commands",
    status_code=202,
    responses={200: {"model": Answer[NamedCommand], "description": "It has ended: with its result"}},
)
async def send(
    charger_id: Id,
    body: CommandOrder,
    caller: BrandOrAdmin,
    context: Ctx,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Answer[NamedCommand]:
    """Keep a command for a charger and send it as soon as the charger is connected.

    Answers 202 with the command as it waits; with `wait`, 200 and its result if the charger gives one soon.
    The same order again with the same `Idempotency-Key` answers with the command that it made, as long as
    that is kept; another order with it is refused with 409.
    """
    async with context.pool.connection() as db:
        charger = await charger_of(db, caller, charger_id)
        try:
            command, changed = await _kept(context, db, caller, charger, body, idempotency_key)
        except TooManyCommandsError as error:
            raise Problem(409, "Too many commands wait", str(error)) from error
        except AlreadyExistsError as error:
            raise Problem(409, "Idempotency key already used", str(error)) from error
    await tell(context.bus, changed)
    await nudge_charger(context.bus, charger.device_id)
    if body.wait and charger.is_connected:
        command = await _ended(context, command.id) or await _stands(context, command)
    if command.state not in _OPEN:
        response.status_code = 200
    return _answer(command)


@router.get("/chargers/{id}/commands")
async def list_commands(
    charger_id: Id,
    caller: BrandOrAdmin,
    db: Db,
    paging: Annotated[Paging, Depends()],
    state: State | None = None,
) -> CommandPage:
    """List a charger's commands, newest first."""
    charger = await charger_of(db, caller, charger_id)
    found, total = await commands.list_commands(
        db, charger.device_id, state=state, limit=paging.limit, offset=paging.offset
    )
    rows = [CommandOut.of(command) for command in found]
    return CommandPage(success=True, data=rows, commands=rows, pagination=paging.of(total))


@router.get("/chargers/{id}/actions")
async def actions(charger_id: Id, caller: BrandOrAdmin, db: Db) -> ActionRows:
    """List what may be sent to a charger, by the version of OCPP that it spoke last."""
    version = _version_of(await charger_of(db, caller, charger_id))
    rows = [ActionOut(action=action, block=block) for action, block in TO_CHARGER[version].items()]
    return ActionRows(success=True, data=rows, version=version.value, actions=rows)


@router.get("/commands/{id}")
async def command(command_id: Id, caller: BrandOrAdmin, db: Db) -> Answer[NamedCommand]:
    """Show a command: where it stands, and its result."""
    return _answer(await _command_of(db, caller, command_id))


@router.delete("/commands/{id}")
async def cancel(command_id: Id, caller: BrandOrAdmin, context: Ctx) -> Answer[NamedCommand]:
    """Cancel a command that has not been sent; 409 for any other."""
    async with context.pool.connection() as db:
        found = await _command_of(db, caller, command_id)
        cancelled = await commands.cancel(db, found.id, context.now())
        if cancelled is None:
            now = await commands.get_command(db, found.id) or found
            details = f"Command {found.id} is {now.state}: only one that is queued can be cancelled"
            raise Problem(409, "Command is not queued", details)
    await tell(context.bus, [cancelled])
    return _answer(cancelled)


async def _kept(
    context: Context,
    db: Connection,
    caller: Caller,
    charger: ChargerView,
    body: CommandOrder,
    key: str | None,
) -> tuple[Command, list[Command]]:
    """The command of this order, and all that have changed by it: none where it was kept before."""
    digest = None if key is None else _digest(context, charger, body)
    kept = await commands.kept_before(db, caller.id, key, digest)
    if kept is not None:
        return kept, []  # whatever may be sent to the charger by now
    _check(_version_of(charger), body)
    new = replace(_new(context, caller, charger, body), idempotency_key=key, order_digest=digest)
    command, superseded = await commands.enqueue(db, new)
    return command, [*superseded, command] if command.id == new.id else []


def _digest(context: Context, charger: ChargerView, body: CommandOrder) -> str:
    """What tells an order from others. Keyed: a short password in it could be found by trying otherwise."""
    order = json.dumps([charger.device_id, body.model_dump()], sort_keys=True).encode()
    return hmac.new(context.config.secret_key.encode(), order, hashlib.sha256).hexdigest()


def _answer(command: Command) -> Answer[NamedCommand]:
    return Answer.of(NamedCommand.around(CommandOut.of(command)))


async def _command_of(db: Connection, caller: Caller, reference: str) -> Command:
    """The command with this id; raises 404, or 403 for one to another owner's charger."""
    try:
        found = await commands.get_command(db, UUID(reference))
    except ValueError:
        found = None
    if found is None:
        raise not_found("Command", f"No command has the id {reference}")
    await charger_of(db, caller, str(found.device_id))
    return found


def _version_of(charger: ChargerView) -> Version:
    if charger.ocpp_version is None:
        details = f"Charger {charger.identity} has never connected: its version of OCPP is not known yet"
        raise Problem(409, "Charger's OCPP version is not known", details)
    return Version(charger.ocpp_version)


def _check(version: Version, body: CommandOrder) -> None:
    """Raise 422 unless the command may be sent; names the field."""
    try:
        check_call(version, body.action, body.payload)
    except SchemaError as error:
        where, _, message = str(error).partition(": ")
        if body.action not in TO_CHARGER[version]:
            raise invalid(PATH, [FieldError("action", str(error))]) from error
        path = where.removeprefix(body.action).strip(".").replace("/", ".")
        raise invalid(PATH, [FieldError(f"payload.{path}".rstrip("."), message)]) from error
    problem = _unfit(body)
    if problem is not None:
        raise invalid(PATH, [FieldError("payload", problem)])


def _unfit(body: CommandOrder) -> str | None:
    """What of a payload cannot be stored or sent as it is: schemas do not see it."""
    try:
        size = len(json.dumps(body.payload, ensure_ascii=False, allow_nan=False).encode())
        serialise_call("", body.action, body.payload)
    except (ValueError, TypeError) as error:
        return f"cannot be sent: {error}"
    return None if size <= PAYLOAD_BYTES_MAX else f"has {size} bytes, at most {PAYLOAD_BYTES_MAX} may be sent"


def _new(context: Context, caller: Caller, charger: ChargerView, body: CommandOrder) -> NewCommand:
    now = context.now()
    ttl_s = ttl_s_default(body.action) if body.ttl_s is None else body.ttl_s
    return NewCommand(
        id=uuid4(),
        device_id=charger.device_id,
        action=body.action,
        payload=body.payload,
        priority=body.priority,
        is_repeatable=is_repeatable(body.action),
        supersede_key=supersede_key(body.action, body.payload),
        created_at=now,
        expires_at=now + timedelta(seconds=ttl_s),
        requested_by=caller.id,
    )


async def _ended(context: Context, command_id: UUID) -> Command | None:
    """Wait for the command's end, as long as a charger may take to answer."""

    async def look(db: Connection) -> Command | None:
        found = await commands.get_command(db, command_id)
        return found if found is not None and found.state not in _OPEN else None

    return await until(context, look, context.config.charger_answer_s)


async def _stands(context: Context, command: Command) -> Command:
    async with context.pool.connection() as db:
        return await commands.get_command(db, command.id) or command
