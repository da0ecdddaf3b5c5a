"""A central system for tests: pure answers, both sides checked against the strict schemas, and its socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from ocpp.messages import get_validator
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from protocols.ocpp.schemas import check_request, check_result
from protocols.ocpp.surface import Version
from simulators.charger import ChargePoint

SUBPROTOCOLS = [Subprotocol(version.subprotocol) for version in Version]
NOW = "2026-01-01T00:00:00.000Z"


@dataclass
class Central:
    """Answers as the version has it; transactions by natural key, as a platform must.

    `is_lenient`: what breaks the schema in form is answered all the same.
    """

    boot_statuses: list[str] = field(default_factory=list)
    boot_interval_s: int = 300
    id_tag_status: str = "Accepted"
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[list[Any]] = field(default_factory=list)
    bad_frames: int = 0
    fail: Callable[[str], bool] = lambda _action: False
    transactions: dict[tuple[Any, ...], int] = field(default_factory=dict)
    version: Version = Version.V16
    is_lenient: bool = False

    def of(self, action: str) -> list[dict[str, Any]]:
        return [payload for name, payload in self.calls if name == action]

    def hear(self, text: str) -> str | None:
        return self.hear_as(self.version, text)

    def hear_as(self, version: Version, text: str) -> str | None:
        try:
            frame = json.loads(text)
            kind, message_id = frame[0], frame[1]
        except (ValueError, LookupError, TypeError):
            kind, message_id = None, ""
        if kind == 3:
            self.answers[message_id] = frame[2]
        elif kind == 4:
            self.errors.append(frame)
        elif kind == 2 and isinstance(frame[2], str):
            return self._answer(version, message_id, frame[2], frame[3])
        else:
            self.bad_frames += 1
        return None

    def _answer(self, version: Version, message_id: str, action: str, payload: dict[str, Any]) -> str:
        if not self.is_lenient:
            assert check_request(version, action, payload), (action, payload)
        self.calls.append((action, payload))
        self.message_ids.append(message_id)
        if self.fail(action):
            return json.dumps([4, message_id, "InternalError", "", {}])
        answer = self._result_2(action) if version.is_2 else self._result(action, payload)
        get_validator(3, action, version.value).validate(answer)
        return json.dumps([3, message_id, answer])

    def _result(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        info = {"idTagInfo": {"status": self.id_tag_status}}
        match action:
            case "BootNotification":
                status = self.boot_statuses.pop(0) if self.boot_statuses else "Accepted"
                return {"status": status, "currentTime": NOW, "interval": self.boot_interval_s}
            case "Heartbeat":
                return {"currentTime": NOW}
            case "Authorize":
                return info
            case "SignCertificate":
                return {"status": "Accepted"}
            case "StartTransaction":
                key = tuple(payload[name] for name in ("connectorId", "idTag", "meterStart", "timestamp"))
                return {
                    **info,
                    "transactionId": self.transactions.setdefault(key, len(self.transactions) + 1),
                }
        return {}

    def _result_2(self, action: str) -> dict[str, Any]:
        info = {"idTokenInfo": {"status": self.id_tag_status}}
        match action:
            case "BootNotification":
                status = self.boot_statuses.pop(0) if self.boot_statuses else "Accepted"
                return {"status": status, "currentTime": NOW, "interval": self.boot_interval_s}
            case "Heartbeat":
                return {"currentTime": NOW}
            case "Authorize" | "TransactionEvent":
                return info
            case "SignCertificate":
                return {"status": "Accepted"}
        return {}


class Bench:
    """A charger and a central system in one thread, without sockets."""

    def __init__(self, charger: ChargePoint, central: Central, now_us: int) -> None:
        self.charger = charger
        self.central = central
        self.now_us = now_us
        self.sent: list[str] = []
        self.is_deaf = False

    def exchange(self) -> None:
        while frames := self.charger.frames_to_send():
            for frame in frames:
                self.sent.append(frame.text)
                answer = None if self.is_deaf else self.central.hear(frame.text)
                if answer is not None:
                    self.charger.receive(answer.encode(), self.now_us)

    def run(self, seconds: float, step_s: float = 1.0) -> None:
        end_us = self.now_us + round(seconds * 1_000_000)
        while self.now_us < end_us:
            self.now_us = min(end_us, self.now_us + round(step_s * 1_000_000))
            self.charger.tick(self.now_us)
            self.exchange()
            if self.charger.wants_close:
                self.charger.disconnected(self.now_us)
                self.charger.connected(self.now_us)

    def connect(self) -> None:
        self.charger.connected(self.now_us)
        self.exchange()

    def order(self, action: str, **payload: Any) -> dict[str, Any]:
        message_id = f"order {len(self.central.answers)}"
        self.charger.receive(json.dumps([2, message_id, action, payload]).encode(), self.now_us)
        self.exchange()
        assert message_id in self.central.answers, self.central.errors[-1:]
        answer = self.central.answers[message_id]
        check_result(self.charger.version, action, answer)
        return answer


class CentralServer:
    """The same over real sockets; each of `dropped_actions` loses its link instead of getting its answer."""

    def __init__(self, central: Central) -> None:
        self.central = central
        self.url = ""
        self.paths: list[str] = []
        self.subprotocols: list[str] = []
        self.authorizations: list[str | None] = []
        self.sockets: list[ServerConnection] = []
        self.dropped_actions: list[str] = []

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        assert socket.subprotocol is not None
        version = Version(socket.subprotocol.removeprefix("ocpp"))
        self.subprotocols.append(socket.subprotocol)
        self.paths.append(socket.request.path)
        self.authorizations.append(socket.request.headers.get("Authorization"))
        self.sockets.append(socket)
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                text = str(message)
                is_own = version is self.central.version
                answer = self.central.hear(text) if is_own else self.central.hear_as(version, text)
                if self._drops():
                    socket.transport.abort()
                    return
                if answer is not None:
                    await socket.send(answer)

    def _drops(self) -> bool:
        if self.dropped_actions and self.central.calls[-1][0] == self.dropped_actions[0]:
            self.dropped_actions.pop(0)
            return True
        return False

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[Server]:
        async with serve(
            self._serve, "127.0.0.1", port, subprotocols=SUBPROTOCOLS, compression=None
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self.url = f"ws://127.0.0.1:{port}/some/where"
            yield server


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)
