"""`gridwire up` as a stranger runs it: ready, devices heard, commands, Ctrl-C, on with the same data."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.temporary import free_port

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(240)]

CHARGERS, BATTERIES = 8, 12
READY_WITHIN_S = 60
HEARD_WITHIN_S = 60


class Up:
    """A running `gridwire up` with a log of what it printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = {f"GRIDWIRE_{name}_PORT": str(free_port()) for name in ("HTTP", "OCPP", "MQTT", "NATS")}
        self.url = f"http://127.0.0.1:{ports['GRIDWIRE_HTTP_PORT']}"
        limits = ("GRIDWIRE_EVCMS_REQUESTS_PER_15_MINUTES", "GRIDWIRE_IENERZY_REQUESTS_PER_MINUTE")
        more = {"GRIDWIRE_DATA_DIR": str(folder), **dict.fromkeys(limits, "100000")}
        self.environment = {**os.environ, **ports, **more, "PYTHONUNBUFFERED": "1"}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, chargers: int, batteries: int) -> None:
        size = ("--chargers", str(chargers), "--batteries", str(batteries))
        output = (self.folder.parent / "up.log").open("wb")
        with output:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "gridwire", "up", *size),
                env=self.environment, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.until(lambda: "all ready" in self.text(), READY_WITHIN_S)

    def stop(self) -> int:
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(90)
        _, alive = psutil.wait_procs(children, timeout=5)
        assert alive == []
        self.process = None
        return code

    def text(self) -> str:
        return (self.folder.parent / "up.log").read_text()

    def until(self, true: object, seconds: float) -> None:
        assert callable(true)
        deadline = time.monotonic() + seconds
        while not true():
            assert self.process is not None
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.5)


@pytest.fixture
def up(server_folder: Path) -> Iterator[Up]:
    folder = server_folder / "up"
    running = Up(folder)
    yield running
    if running.process is not None:
        running.process.kill()
        running.process.wait()


def admin(up: Up) -> httpx.Client:
    client = httpx.Client(base_url=up.url, timeout=90)
    found = re.search(r"admin@example\.com\s+(\S+)", up.text())
    assert found is not None
    body = {"email": "admin@example.com", "password": found[1]}
    answer = client.post("/api/v1/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['data']['accessToken']}"
    return client


def dealer(up: Up) -> httpx.Client:
    client = httpx.Client(base_url=up.url, timeout=30)
    phone = "+919800000001"
    assert client.post("/api/auth/login", json={"phone": phone, "userType": "dealer"}).status_code == 200
    code = re.findall(r'"code": "(\d{6})"', (up.folder / "logs" / "api.log").read_text())[-1]
    token = client.post("/api/auth/verify-otp", json={"phone": phone, "otp": code}).json()["token"]
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def test_up_runs_everything_and_goes_on_with_the_same_data(up: Up) -> None:
    up.start(CHARGERS, BATTERIES)
    with closing(admin(up)) as ev, closing(dealer(up)) as ie:
        began = time.monotonic()

        def heard() -> bool:
            chargers = ev.get("/api/v1/chargers", params={"limit": 100}).json()["data"]
            powers = [
                ev.get(f"/api/v1/chargers/{row['id']}/status").json()["data"]["temperature"] is not None
                for row in chargers
            ]
            serials = [row["serial_number"] for row in ie.get("/api/batteries").json()]
            told = [ie.get(f"/api/batteries/{serial}").json()["telemetry"] is not None for serial in serials]
            share = (sum(powers) + sum(told)) / (CHARGERS + BATTERIES)
            return share >= 0.9

        up.until(heard, HEARD_WITHIN_S)
        print(f"90 % of devices in the API after {time.monotonic() - began:.1f} s")
        check_commands(up, ev)
        control = ie.post("/api/batteries/SIM-BAT-0001/control", json={"action": "deactivate"})
        assert control.json()["status"] == "inactive", control.text
        assert "pending_status" not in control.json()
        check_command_line(up, ev)
        sessions = ev.get("/api/v1/sessions").json()["pagination"]["total"]
    assert up.stop() == 0
    up.start(0, 0)
    with closing(admin(up)) as ev:
        after = ev.get("/api/v1/sessions").json()["pagination"]["total"]
        assert after >= sessions > 0
        charger = ev.get("/api/v1/chargers").json()["data"][0]
        assert charger["status"] == "Offline"
        answer = ev.post(f"/api/v1/chargers/{charger['id']}/command", json={"command": "Reset"})
        assert answer.status_code == 400
        assert "offline" in answer.json()["message"]
    assert up.stop() == 0


def check_command_line(up: Up, ev: httpx.Client) -> None:
    """Other commands find the running servers by the data folder, as the README promises."""

    def gridwire(*words: str) -> str:
        argv = (sys.executable, "-m", "gridwire", *words)
        environment = {**up.environment, "GRIDWIRE_NEW_PASSWORD": "a secret of its own"}
        done = subprocess.run(argv, check=False, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "active" in gridwire("devices", "register", "charger", "CP-0042")
    assert "CP-0042" in gridwire("devices", "list", "--kind", "charger")
    assert ev.get("/api/v1/chargers/CP-0042").json()["data"]["status"] == "Offline"
    user = ("--system", "evcms", "--role", "brand", "--name", "Asha", "--email", "asha@example.com")
    assert "id" in gridwire("users", "create", *user)
    assert "chargers connected" in gridwire("status")


def check_commands(up: Up, ev: httpx.Client) -> None:
    """A remote start, an unlock and a reset reach a simulated charger and bring back its answer."""
    me = ev.get("/api/v1/auth/me").json()["data"]["id"]
    ev.post("/api/v1/profile/wallet/topup", json={"amount": 1000, "paymentMethod": "upi"})

    def free() -> tuple[str, int] | None:
        for charger in ev.get("/api/v1/chargers", params={"limit": 100}).json()["data"]:
            for connector in charger["connectors"]:
                if connector["status"] == "Available" and "currentSession" not in connector:
                    return charger["chargerId"], connector["connectorId"]
        return None

    started = None
    deadline = time.monotonic() + 60
    while started is None and time.monotonic() < deadline:
        place = free()
        if place is None:  # every connector is taken: make room as an operator would
            session = ev.get("/api/v1/sessions/active").json()["data"][0]
            ev.post(f"/api/v1/sessions/{session['id']}/stop")
            continue
        body = {"chargerId": place[0], "connectorId": place[1], "userId": me, "vehicleId": "KA-01-1234"}
        answer = ev.post("/api/v1/sessions", json=body)
        if answer.status_code == 201:
            started = answer.json()["data"]
    assert started is not None
    stopped = ev.post(f"/api/v1/sessions/{started['id']}/stop", json={"reason": "test"})
    assert stopped.status_code == 200, stopped.text
    assert stopped.json()["data"]["cdr"]["vehicleInfo"] == "KA-01-1234"
    charger = ev.get(f"/api/v1/chargers/{started['chargerId']}").json()["data"]["id"]
    unlock = ev.post(f"/api/v1/chargers/{charger}/command", json={"command": "Unlock", "connectorId": 1})
    # a charger of 2.x does neither while a driver charges at it, and says so
    status = unlock.json()["data"]["result"]["status"]
    assert status in {"Unlocked", "OngoingAuthorizedTransaction"}, unlock.text
    reset = ev.post(f"/api/v1/chargers/{charger}/command", json={"command": "Reset"})
    assert reset.json()["data"]["result"]["status"] in {"Accepted", "Scheduled"}, reset.text
