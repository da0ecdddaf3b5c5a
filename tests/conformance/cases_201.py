"""The reusable states of the OCPP 2.0.1 cases, and what they look at afterwards; used by `test_oca_201_*`."""

import itertools
from typing import Any

from tests.conformance.station import Station, at, sessions

TOKEN = {"idToken": "TAG-1", "type": "ISO14443"}
EVSE = {"id": 1, "connectorId": 1}


async def boot(cs: Station, reason: str = "PowerUp") -> dict[str, Any]:
    """Reusable state Booted."""
    about = {"vendorName": "V", "model": "M", "firmwareVersion": "1.0", "serialNumber": "S1"}
    answer: dict[str, Any] = await cs.call("BootNotification", {"chargingStation": about, "reason": reason})
    await status(cs, "Available")
    return answer


async def status(cs: Station, name: str, connector: int = 1) -> None:
    payload = {"timestamp": at(), "connectorStatus": name, "evseId": 1, "connectorId": connector}
    assert await cs.call("StatusNotification", payload) == {}


async def authorize(cs: Station, token: dict[str, Any] = TOKEN) -> dict[str, Any]:
    """Reusable state Authorized; the idTokenInfo."""
    answer = await cs.call("Authorize", {"idToken": token})
    info: dict[str, Any] = answer["idTokenInfo"]
    return info


def reading(wh: float, context: str = "Sample.Periodic", **more: Any) -> list[dict[str, Any]]:
    """One register value in Wh."""
    sampled = {"value": wh, "context": context, "measurand": "Energy.Active.Import.Register", **more}
    return [{"timestamp": at(), "sampledValue": [sampled]}]


class Transaction:
    """A transaction of a station: its id, and the sequence numbers of its events."""

    def __init__(self, cs: Station, name: str = "TX-1") -> None:
        self.cs = cs
        self.id = name
        self._numbers = itertools.count()

    async def event(self, kind: str, trigger: str, state: str | None = None, **more: Any) -> dict[str, Any]:
        """Send a TransactionEvent; `info` adds to transactionInfo, the rest to the event itself."""
        info = {"transactionId": self.id, **more.pop("info", {})}
        if state is not None:
            info["chargingState"] = state
        payload = {
            "eventType": kind,
            "timestamp": more.pop("timestamp", at()),
            "triggerReason": trigger,
            "seqNo": more.pop("seq_no", next(self._numbers)),
            "transactionInfo": info,
            **more,
        }
        answer: dict[str, Any] = await self.cs.call("TransactionEvent", payload)
        return answer

    async def start(self, trigger: str = "Authorized", state: str | None = "EVConnected", **more: Any) -> Any:
        facts = {"idToken": TOKEN, "evse": EVSE, "meterValue": reading(0, "Transaction.Begin"), **more}
        return await self.event(
            "Started", trigger, state, **{k: v for k, v in facts.items() if v is not None}
        )

    async def update(self, trigger: str, state: str | None = None, **more: Any) -> Any:
        return await self.event("Updated", trigger, state, **more)

    async def end(
        self, trigger: str, reason: str, wh: float = 1_000, state: str | None = "Idle", **more: Any
    ) -> Any:
        facts = {"meterValue": reading(wh, "Transaction.End"), **more}
        return await self.event("Ended", trigger, state, info={"stoppedReason": reason}, **facts)


async def charging(cs: Station, name: str = "TX-1") -> Transaction:
    """Reusable state EnergyTransferStarted."""
    transaction = Transaction(cs, name)
    assert (await authorize(cs))["status"] == "Accepted"
    answer = await transaction.start()
    assert answer["idTokenInfo"]["status"] == "Accepted"
    await status(cs, "Occupied")
    await transaction.update("ChargingStateChanged", "Charging")
    return transaction


async def only_session(cs: Station) -> dict[str, Any]:
    (session,) = await sessions(cs.running, cs.device)
    return session


async def ended_with(cs: Station, reason: str, wh: int = 1_000) -> None:
    """The one session is over, for this reason, with this energy."""
    session = await only_session(cs)
    assert session["status"] == "completed", session
    assert session["stop_reason"] == reason
    assert session["meter_stop_wh"] - session["meter_start_wh"] == wh
