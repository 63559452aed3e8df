"""SIGHUP: never lost, from the moment the process listens to the moment it ends."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from neuralbits import artifact
from neuralbits.app import signals
from neuralbits.app.main import create_app
from neuralbits.app.settings import Settings
from neuralbits.app.signals import Hangup
from tests.support.homes import make_artifact
from tests.support.services import Server, environment, started
from tests.support.waiting import until

# A process that sends itself SIGHUP at a moment of its start, before which the artifact's file has
# changed. The process never sends another.
AT_A_MOMENT = """
import os, pathlib, signal, sys
from neuralbits.app import command, server
import uvicorn

def hang_up_then(go_on):
    def hung_up(*args, **kwargs):
        pathlib.Path({served!r}).write_bytes(pathlib.Path({other!r}).read_bytes())
        os.kill(os.getpid(), signal.SIGHUP)
        return go_on(*args, **kwargs)
    return hung_up

{step} = hang_up_then({step})
command.serve()
"""
MOMENTS = {
    "before it listens": "server._listen",
    "before the server runs": "uvicorn.Server.run",
    "before the application starts": "uvicorn.Server.startup",
    "before requests are taken": "uvicorn.Server.main_loop",
}


def reload_of(server: Server) -> dict[str, str]:
    """How the last reload ended; waits for one."""
    return until(lambda: server.get("/readyz").json()["reload"])  # type: ignore[no-any-return]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_hangup_at_any_moment_of_the_start_is_honoured(
    artifact_path: Path, tmp_path: Path, moment: str
) -> None:
    served, other = tmp_path / "served.safetensors", tmp_path / "other.safetensors"
    served.write_bytes(artifact_path.read_bytes())
    artifact.write(make_artifact(threshold=0.4), other)
    program = AT_A_MOMENT.format(served=str(served), other=str(other), step=MOMENTS[moment])
    with started(tmp_path, ["-c", program], environment(artifact=served, port=0)) as server:
        assert reload_of(server)["status"] == "loaded"
        assert server.get("/model").json()["threshold"] == 0.4


def test_a_hangup_sent_on_the_line_that_it_is_serving_is_honoured(
    artifact_path: Path, tmp_path: Path
) -> None:
    with started(
        tmp_path, ["-m", "neuralbits.app"], environment(artifact=artifact_path, port=0)
    ) as server:
        server.process.send_signal(signal.SIGHUP)
        assert reload_of(server)["status"] == "loaded"


def test_a_hangup_during_a_reload_brings_another_one() -> None:
    hangup = Hangup()

    async def reload_twice() -> int:
        reloads = 0
        hangup.receive()
        while reloads < 2:
            await asyncio.wait_for(hangup.wait(), 60)
            reloads += 1
            if reloads == 1:
                hangup.receive()  # while the first is under way
        return reloads

    assert asyncio.run(reload_twice()) == 2


def test_a_hangup_wakes_a_loop_that_sleeps() -> None:
    async def wait(hangup: Hangup) -> None:
        waiting = asyncio.create_task(hangup.wait())
        await asyncio.sleep(0)  # it waits now, and the loop has nothing else to do
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(waiting, 60)

    with signals.handled() as hangup:
        asyncio.run(wait(hangup))


def test_handlers_are_put_back() -> None:
    numbers = signal.SIGHUP, signal.SIGINT, signal.SIGTERM
    before = [signal.getsignal(number) for number in numbers]
    with signals.handled():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


def test_the_application_leaves_the_signals_of_its_process_alone(artifact_path: Path) -> None:
    app = create_app(Settings(artifact=artifact_path))

    async def start() -> None:
        async with app.router.lifespan_context(app):
            assert signal.getsignal(signal.SIGHUP) is before

    before = signal.getsignal(signal.SIGHUP)
    asyncio.run(start())
