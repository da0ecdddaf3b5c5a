"""What a simulated charger does for minutes on order, and tells step by step: firmware, logs.

Used by `simulators.charger` and the commands. OCPP 1.6 sections 4.5 and 4.4, the security whitepaper
(L01, N01 of 2.0.1 brought back to 1.6), OCPP 2.0.1 part 2, blocks L and N.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from simulators.charger_queue import Payload
from simulators.charger_settings import FIRMWARE
from simulators.dialect import Message
from simulators.faults import happens

if TYPE_CHECKING:
    from simulators.charger import ChargePoint

STEP_S = 2.0  # from one status to the next
IDLE_POLL_S = 5.0
_DOWNLOAD, _SIGNATURE = ("Downloading", "Downloaded"), ("SignatureVerified",)
_INSTALL = ("Installing", "Installed")
_FAILURES = {"Downloaded": "DownloadFailed", "Installed": "InstallationFailed"}
_SCHEDULED = "DownloadScheduled"


class Job:
    """One kind of work: its statuses, told under one action, with the id of the request if there is one."""

    def __init__(self, charger: "ChargePoint", name: str) -> None:
        self._charger = charger
        self._name = name
        self.action = ""
        self.status = "Idle"
        self.request_id: int | None = None
        self.more: Payload = {}

    @property
    def is_running(self) -> bool:
        """Whether a status is still to come."""
        return self._charger.timers.holds(self._name)

    def begin(self, action: str, request_id: int | None, more: Payload | None = None) -> None:
        """Take up new work, instead of the old if there was one. `more`: said with the last status."""
        self._charger.timers.cancel(self._name)
        self.action, self.status, self.request_id, self.more = action, "Idle", request_id, more or {}

    def later(self, delay_s: float, run: Callable[[], None]) -> None:
        """The next step."""
        self._charger.timers.set(self._name, delay_s, run)

    def walk(self, statuses: Sequence[str], done: Callable[[], None]) -> None:
        """Tell these, a step apart, then go on; the first is due now."""
        if not statuses:
            done()
            return
        self.tell(statuses[0])
        self.later(STEP_S, lambda: self.walk(statuses[1:], done))

    def tell(self, status: str) -> None:
        """Say a new status."""
        self.status = status
        self.repeat(self.action)

    def repeat(self, action: str) -> None:
        """Say under that action how things stand: idle, if the work goes on under another."""
        is_mine = action == self.action and self.status != "Idle"
        payload: Payload = {"status": self.status if is_mine else "Idle"}
        if is_mine:
            payload |= {} if self.request_id is None else {"requestId": self.request_id}
            payload |= self.more if self.status == "Published" else {}
        self._charger.tell(Message(action, payload))

    def finish(self) -> None:
        """Nothing is left to do."""
        self.status = "Idle"


class Jobs:
    """`firmware` is the version that runs."""

    def __init__(self, charger: "ChargePoint") -> None:
        self._charger = charger
        self.firmware = FIRMWARE
        self.update = Job(charger, "firmware")
        self.upload = Job(charger, "log")
        self.publication = Job(charger, "publication")
        self.published: set[str] = set()
        self._updates = 0

    def update_firmware(
        self, action: str, request_id: int | None, retrieve_us: int, *, is_signed: bool, has_schedule: bool
    ) -> str:
        """Fetch at `retrieve_us`, check, install once nobody charges, restart.

        `has_schedule`: the version knows the status DownloadScheduled. Returns Accepted or AcceptedCanceled.
        """
        status = "AcceptedCanceled" if self.update.is_running else "Accepted"
        self.update.begin(action, request_id)
        wait_s = max(0.0, (retrieve_us - self._charger.timers.now_us) / 1_000_000)
        if wait_s > 0 and has_schedule:
            self.update.later(STEP_S, lambda: self._schedule(wait_s, is_signed=is_signed))
        else:
            self.update.later(max(STEP_S, wait_s), lambda: self._download(is_signed=is_signed))
        return status

    def _schedule(self, wait_s: float, *, is_signed: bool) -> None:
        self.update.tell(_SCHEDULED)
        self.update.later(max(STEP_S, wait_s - STEP_S), lambda: self._download(is_signed=is_signed))

    def _download(self, *, is_signed: bool) -> None:
        statuses, fails = (*_DOWNLOAD, *(_SIGNATURE if is_signed else ())), None
        if happens(self._charger.settings.faults.firmware_fails, self._charger.rng):
            fails = self._charger.rng.choice(sorted(_FAILURES))
        if fails == "Downloaded":
            self.update.walk((_DOWNLOAD[0], _FAILURES[fails]), self.update.finish)
        else:
            self.update.walk(statuses, lambda: self._install(fails))

    def _install(self, fails: str | None) -> None:
        if self._charger.is_charging:
            self.update.later(IDLE_POLL_S, lambda: self._install(fails))
        elif fails is not None:
            self.update.walk((_INSTALL[0], _FAILURES[fails]), self.update.finish)
        else:
            self.update.walk(_INSTALL, self._installed)

    def _installed(self) -> None:
        self._updates += 1
        self.firmware = f"{FIRMWARE.rpartition('.')[0]}.{self._updates}"
        self.update.finish()
        self._charger.security_event("FirmwareUpdated", f"now {self.firmware}")
        self._charger.reset("Soft", "FirmwareUpdate")

    def upload_log(self, action: str, request_id: int | None, location: str) -> str:
        """Send a log there; returns the LogStatusEnumType. A location that is none fails by a status."""
        status = "AcceptedCanceled" if self.upload.is_running else "Accepted"
        if status == "AcceptedCanceled" and self._charger.version.is_2:
            self.upload.tell("AcceptedCanceled")
        self.upload.begin(action, request_id)
        failure = "UploadFailed" if action == "DiagnosticsStatusNotification" else "UploadFailure"
        statuses = ("Uploading", "Uploaded" if "://" in location else failure)
        self.upload.later(STEP_S, lambda: self.upload.walk(statuses, self.upload.finish))
        return status

    def publish(self, request_id: int, checksum: str, location: str) -> None:
        """PublishFirmware (L03): fetch it, and offer it to others here."""

        def published() -> None:
            self.published.add(checksum)
            self.publication.finish()

        self.publication.begin("PublishFirmwareStatusNotification", request_id, {"location": [location]})
        statuses = (*_DOWNLOAD, "ChecksumVerified", "Published")
        self.publication.later(STEP_S, lambda: self.publication.walk(statuses, published))
