import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from deploy.messages import SetupError
from deploy.supervisor import Service, Supervisor

LIVES = 'import json, time; print(json.dumps({"event": "ready"}), flush=True); time.sleep(60)'


def service(name: str, program: str, **more: object) -> Service:
    return Service(name, (sys.executable, "-c", program), dict(os.environ), **more)  # type: ignore[arg-type]


async def until(true: object, seconds: float = 10.0) -> None:
    assert callable(true)
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


async def test_a_killed_service_is_started_again_and_said_so(tmp_path: Path) -> None:
    events: list[tuple[str, object]] = []
    supervisor = Supervisor(tmp_path, lambda name, event: events.append((name, event["event"])))
    await supervisor.start(service("sleeper", LIVES))
    first = supervisor.running["sleeper"].process
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: events.count(("sleeper", "ready")) == 2)
    second = supervisor.running["sleeper"].process
    assert second is not None
    assert second.pid != first.pid
    assert int((tmp_path / "sleeper.pid").read_text()) == second.pid
    assert ("sleeper", "restarted") in events
    await supervisor.stop_all()
    assert second.returncode == -signal.SIGTERM


async def test_a_service_that_never_comes_up_is_reported_with_its_last_words(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, lambda *_: None)
    broken = service("broken", "import sys; print('no such table'); sys.exit(7)", start_timeout_s=30.0)
    with pytest.raises(SetupError, match="no such table") as caught:
        await supervisor.start(broken)
    assert "broken.log" in caught.value.remedy
    await supervisor.stop_all()


async def test_a_service_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LIVES}"
    supervisor = Supervisor(tmp_path, lambda *_: None)
    await supervisor.start(service("stubborn", stubborn, stop_timeout_s=0.3))
    process = supervisor.running["stubborn"].process
    assert process is not None
    await supervisor.stop_all()
    assert process.returncode == -signal.SIGKILL


async def test_services_stop_in_reverse_order(tmp_path: Path) -> None:
    said: list[str] = []
    says = (
        "import signal, sys, time, json\n"
        "def end(*_):\n    print(json.dumps({'event': 'ending'}), flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print(json.dumps({'event': 'ready'}), flush=True)\n"
        "time.sleep(60)"
    )
    supervisor = Supervisor(tmp_path, lambda n, event: said.append(n) if event["event"] == "ending" else None)
    for name in ("first", "second", "third"):
        await supervisor.start(service(name, says))
    await supervisor.stop_all()
    assert said == ["third", "second", "first"]
