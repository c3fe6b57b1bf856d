"""standalone: a whole relay process, in this loop and as a child with its exit codes."""

import asyncio
import signal
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import structlog

from derp.__main__ import main
from derp.settings import parse
from derp.standalone import run, server_context
from tests.derp.fake_client import FakeClient


@pytest.mark.parametrize("tls", [False, True])
async def test_a_relay_alone(tmp_path: Path, tls: bool) -> None:
    arguments = ["--listen", "127.0.0.1:0", "--key-file", str(tmp_path / "relay.key"), "--allow-all"]
    arguments += ["--stun", "127.0.0.1:0", "--metrics", "127.0.0.1:0", *(["--self-signed"] if tls else [])]
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(run(parse(arguments), stop=stop, ready=ready))
        port = await ready
        context = ssl.create_default_context(cafile=tmp_path / "relay.key.crt") if tls else None
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        client = FakeClient(reader, writer)
        await client.upgrade()
        await client.login()
        stop.set()
        assert await client.closed()
        client.close()


async def test_each_kind_of_admission(tmp_path: Path) -> None:
    base = ["--listen", "127.0.0.1:0", "--key-file", str(tmp_path / "relay.key"), "--stun", "off"]
    for more in (["--allow-key", "nodekey:" + "ab" * 32], ["--verify-url", "http://127.0.0.1:1/verify"]):
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(run(parse([*base, *more]), stop=stop, ready=ready))
            client = FakeClient(*await asyncio.open_connection("127.0.0.1", await ready))
            await client.upgrade()
            await client.introduce()
            with pytest.raises(EOFError):
                await client.receive()
            client.close()
            stop.set()


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    yield
    # `main` sends the log to the stderr of its moment, which is gone after the test.
    structlog.reset_defaults()


def test_missing_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        server_context(tmp_path / "none.crt", tmp_path / "none.key")


def test_what_prevents_the_start_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--listen", "x", "--key-file", "k"]) == 2
    assert "--listen" in capsys.readouterr().err
    key_file = tmp_path / "relay.key"
    key_file.write_text("something else")
    arguments = ["--listen", "127.0.0.1:0", "--stun", "off", "--allow-all", "--key-file", str(key_file)]
    assert main(arguments) == 2
    assert "cannot start" in capsys.readouterr().err


async def test_the_process_ends_on_a_signal(tmp_path: Path) -> None:
    arguments = ["--listen", "127.0.0.1:0", "--stun", "off", "--allow-all"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "derp", *arguments, "--key-file", str(tmp_path / "relay.key")),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            assert b"derp relay started" in await process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            assert b"derp relay stopping" in await process.stderr.readline()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_metrics_are_served(tmp_path: Path, unused_tcp_port: int) -> None:
    arguments = ["--listen", "127.0.0.1:0", "--key-file", str(tmp_path / "relay.key"), "--allow-all"]
    arguments += ["--stun", "off", "--metrics", f"127.0.0.1:{unused_tcp_port}"]
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(run(parse(arguments), stop=stop, ready=ready))
        await ready
        url = f"http://127.0.0.1:{unused_tcp_port}/metrics"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            assert "derp_connections 0.0" in await response.text()
        stop.set()
