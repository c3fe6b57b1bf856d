"""The server as a process: start, signals, garbage."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.ports import free_port
from tests.support.server_in_process import running_server


def start(config: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "coordinator", "serve", "-c", str(config), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def write_config(tmp_path: Path) -> tuple[Path, int]:
    port = free_port()
    config = tmp_path / "config.yaml"
    config.write_text(
        f"""\
server_url: http://127.0.0.1:{port}
listen_addr: 127.0.0.1:{port}
derp: {{server: {{enabled: true, stun_listen_addr: "127.0.0.1:{free_port(kind=socket.SOCK_DGRAM)}",
  tls_listen_addr: "127.0.0.1:{free_port()}"}}}}
dns: {{base_domain: tail.lab, override_local_dns: false}}
unix_socket: s.sock
"""
    )
    return config, port


async def wait_until_up(port: int) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/health") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    config, port = write_config(tmp_path)
    process = start(config)
    try:
        await wait_until_up(port)
        process.send_signal(number)
        out, _ = await asyncio.to_thread(process.communicate, timeout=15)
        assert process.returncode == 0, out
        assert "Traceback" not in out
        assert (config.parent / "noise_private.key").stat().st_mode & 0o777 == 0o600
    finally:
        process.kill()


async def test_a_planned_restart_refuses_nobody(tmp_path: Path) -> None:
    config, port = write_config(tmp_path)
    process = start(config)
    try:
        await wait_until_up(port)
        pid = process.pid
        process.send_signal(signal.SIGUSR2)
        refused = 0
        deadline = time.monotonic() + 4
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/health") as response:
                        assert response.status == 200
                except aiohttp.ClientConnectorError:
                    refused += 1
                except aiohttp.ClientError:
                    # A connection that was open when the old image ended.
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.02)
        assert refused == 0
        assert process.poll() is None
        assert os.getpgid(pid) is not None
        process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.to_thread(process.communicate, timeout=15)
        assert out.count("ready") == 2, out
    finally:
        process.kill()


async def test_a_second_server_on_the_same_socket_is_refused(tmp_path: Path) -> None:
    config, port = write_config(tmp_path)
    process = start(config)
    try:
        await wait_until_up(port)
        second = start(config)
        out, _ = await asyncio.to_thread(second.communicate, timeout=20)
        assert second.returncode == 1
        assert "another server is running" in out
    finally:
        process.kill()


async def test_a_broken_policy_stops_the_start(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path)
    (tmp_path / "p.hujson").write_text('{\n  "acls": 3,\n}')
    config.write_text(config.read_text() + "policy: {path: p.hujson}\n")
    process = start(config)
    out, _ = await asyncio.to_thread(process.communicate, timeout=20)
    assert process.returncode == 1
    assert "line 2" in out


async def test_the_quickstart_creates_a_first_user_and_key_once(tmp_path: Path) -> None:
    port = free_port()
    directory = tmp_path / "var"
    directory.mkdir()
    _, port = write_config(directory)
    command = [sys.executable, "-m", "coordinator", "serve", "--quickstart", str(directory)]
    for expected in ("--auth-key=hskey-auth-", "preauthkeys create --user first"):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            await wait_until_up(port)
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            out, _ = await asyncio.to_thread(process.communicate, timeout=15)
        finally:
            process.kill()
        assert "tailscale up --login-server=" in out
        assert expected in out


JUNK = [
    b"",
    b"\x00" * 100,
    b"GET / HTTP/1.1\r\n",
    b"POST /ts2021 HTTP/1.1\r\nHost: x\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n",
    b"POST /ts2021 HTTP/1.1\r\nHost: x\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n"
    b"X-Tailscale-Handshake: " + b"A" * 136 + b"\r\n\r\n",
    b"GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: upgrade\r\n\r\n" + b"\xff" * 500,
    b"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000,
    b"GET /key?v=" + b"9" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
]


async def test_garbage_disturbs_nobody(tmp_path: Path) -> None:
    """Fifty slow connections and every kind of junk: a client in the middle of it notices nothing."""
    async with running_server(tmp_path) as server:
        client = FakeTailscaled(server.url)
        await client.connect()
        await client.register(await server.auth_key())
        port = int(server.url.rpartition(":")[2])
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
        for _, writer in slow:
            writer.write(b"POST /ts2021 HT")
        async with client.map_stream() as maps:
            assert "Node" in await anext(maps)
            for junk in JUNK:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(junk)
                writer.write_eof()
                async with asyncio.timeout(15):
                    answer = await reader.read(4096)
                assert len(answer) < 4096
                writer.close()
            async with asyncio.timeout(2):
                assert await client.lite_update(Endpoints=["192.0.2.1:1"]) == 200
        for _, writer in slow:
            writer.close()
        await client.close()
