"""`policy`."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.cli.policy import _destination
from tests.coordinator.cli.conftest import POLICY, CommandLine
from tests.support.fake_gateway import FakeGateway
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import running_server
from tests.support.wireguard_records import public_key


async def test_get_prints_the_text_itself(cli: CommandLine) -> None:
    assert await cli.ok("policy", "get") == POLICY


async def test_check_underlines_every_problem(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "p.hujson"
    path.write_text(
        '{\n  "acls": [\n    {"action": "deny", "src": ["tag:x"], "dst": ["*:*"]},\n  ],\n  "grups": {},\n}\n'
    )
    shown = await cli.refused("policy", "check", str(path))
    assert f"{path}:3:16" in shown
    assert "^^^^^^" in shown
    assert "tag:x" in shown
    assert ":5:" in shown
    path.write_text(POLICY)
    assert "Policy is valid" in await cli.ok("policy", "check", "--file", str(path))


async def test_set_needs_database_mode(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "p.hujson"
    path.write_text(POLICY)
    assert "policy.path" in await cli.refused("policy", "set", "-f", str(path))
    path.write_text("{")
    assert ":1:" in await cli.refused("policy", "set", "-f", str(path))
    assert "cannot read" in await cli.refused("policy", "set", "-f", str(tmp_path / "none"))
    assert "say which file" in await cli.refused("policy", "check")


async def test_review_before_it_counts(cli: CommandLine, tmp_path: Path) -> None:
    """test, explain and diff against a snapshot, and against the server."""
    client = FakeTailscaled(cli.server.url, hostname="laptop")
    other = FakeTailscaled(cli.server.url, hostname="web")
    for each, user in ((client, "alice"), (other, "bobby")):
        await each.connect()
        await each.register(await cli.server.auth_key(user))
        await each.close()
    snapshot = tmp_path / "nodes.json"
    snapshot.write_text(await cli.ok("policy", "snapshot"))
    assert "nodekey" not in snapshot.read_text()
    old, new = tmp_path / "old.hujson", tmp_path / "new.hujson"
    rule = '{"action": "accept", "src": ["alice@"], "dst": ["bobby@:%s"], "proto": "tcp"}'
    old.write_text(f'{{"acls": [{rule % 22}]}}')
    test = '{"src": "alice@", "accept": ["bobby@:80"]}'
    new.write_text(f'{{\n // wider\n "acls": [{rule % "22,80"}],\n "tests": [{test}]}}')
    assert "1 test(s) passed" in await cli.ok("policy", "test", str(new), "--nodes", str(snapshot))
    code, out, _ = await cli.run("policy", "diff", str(old), str(new), "--nodes", str(snapshot))
    assert (code, out) == (3, "+ laptop -> web: tcp:80\n")
    code, out, _ = await cli.run("policy", "diff", str(new), str(old), "--server")
    assert (code, out) == (0, "- laptop -> web: tcp:80\n")
    assert "No difference" in await cli.ok("policy", "diff", str(old), str(old), "--server")
    code, out, _ = await cli.run("policy", "diff", str(old))
    assert code == 0
    assert "- web -> laptop: any:*" in out
    shown = await cli.ok("policy", "explain", "laptop", "web:80", "-f", str(new))
    assert shown.startswith("allowed by acls[0]")
    code, out, _ = await cli.run("policy", "explain", "web", "laptop:80/tcp", "-f", str(new))
    assert (code, out[:8]) == (1, "denied: ")
    assert "allowed" in await cli.ok("policy", "explain", "web", "100.64.0.1:80")


async def test_explain_and_diff_know_profiles_and_open_windows(tmp_path: Path) -> None:
    policy = """{"acls": [], "groups": {"group:ops": ["alice@"]}, "tagOwners": {"tag:mgmt": []},
      "access": {"profiles": {
        "mgmt": {"src": ["group:ops"], "dst": ["tag:mgmt:22"], "approvers": ["bobby@"]}}}}"""
    wider = tmp_path / "wider.hujson"
    wider.write_text(policy.replace("tag:mgmt:22", "tag:mgmt:22,80"))
    async with running_server(tmp_path, policy) as server:
        cli = CommandLine(server)
        for name, fields in (("laptop", {}), ("target", {"aclTags": ["tag:mgmt"]})):
            client = FakeTailscaled(server.url, hostname=name)
            await client.connect()
            await client.register(await server.auth_key("alice", **fields))
            await client.close()
        code, out, _ = await cli.run("policy", "explain", "laptop", "target:22/tcp")
        assert (code, out) == (
            1,
            "denied: no rule lets `laptop` reach `target` on port 22; "
            "not now, but through profile `mgmt` (the policy in force:3), approved by bobby@\n",
        )
        code, out, _ = await cli.run("policy", "diff", str(wider))
        assert (code, out) == (3, "+ alice -> tag:mgmt: any:80 on request through mgmt\n")
        asked = await cli.json("access", "request", "mgmt", "--user", "alice")
        await cli.ok("access", "approve", asked["id"])
        shown = await cli.ok("policy", "explain", "laptop", "target:22/tcp")
        assert shown.startswith("allowed until ")
        assert f"by request {asked['id']} through profile `mgmt` at the policy in force:3" in shown


async def test_declared_profiles_count_everywhere(tmp_path: Path) -> None:
    policy = """{"acls": [], "groups": {"group:ops": ["alice@"]}, "tagOwners": {"tag:mgmt": []}%s}"""
    file, declared = tmp_path / "p.hujson", tmp_path / "wireguard.yaml"
    tested = '"src": "alice@", "accept": ["tag:mgmt:22"]'
    file.write_text(policy % f', "access": {{"tests": [{{"profile": "db", {tested}}}]}}')
    declared.write_text(
        'profiles:\n  db: {src: ["group:ops"], dst: ["tag:mgmt:22"], approvers: ["alice@"]}\n'
    )
    async with running_server(tmp_path, more="policy: {mode: database}") as server:
        cli = CommandLine(server)
        (tmp_path / "first.hujson").write_text(policy % "")
        await cli.ok("policy", "set", "-f", str(tmp_path / "first.hujson"))
        for name, fields in (("laptop", {}), ("target", {"aclTags": ["tag:mgmt"]})):
            client = FakeTailscaled(server.url, hostname=name)
            await client.connect()
            await client.register(await server.auth_key("alice", **fields))
            await client.close()
        assert "profile `db` not found" in await cli.refused("policy", "check", str(file))
        assert "valid" in await cli.ok("policy", "check", str(file), "--profiles", str(declared))
        assert await cli.ok("wireguard", "apply", str(declared)) == "+ profile db\n"
        assert " apply" in await cli.ok("access", "profiles")
        assert "1 test(s) passed" in await cli.ok("policy", "test", str(file), "--server")
        snapshot = tmp_path / "nodes.json"
        snapshot.write_text(await cli.ok("policy", "snapshot"))
        assert "1 test(s) passed" in await cli.ok("policy", "test", str(file), "--nodes", str(snapshot))
        explained = ("policy", "explain", "laptop", "target:22/tcp")
        code, out, _ = await cli.run(*explained)
        assert (code, out) == (
            1,
            "denied: no rule lets `laptop` reach `target` on port 22; not now, but through profile `db` "
            "(declared with `wireguard apply`), approved by alice@\n",
        )
        assert "No difference" in await cli.ok("policy", "diff", str(file))
        narrower = tmp_path / "narrower.hujson"
        narrower.write_text((policy % "").replace('["alice@"]', "[]"))
        assert "- alice -> tag:mgmt: any:22 on request through db" in await cli.ok(
            "policy", "diff", str(narrower)
        )
        await cli.ok("policy", "set", "-f", str(file))
        assert "access" in await cli.ok("policy", "export")
        asked = await cli.json("access", "request", "db", "--user", "alice")
        await cli.ok("access", "approve", asked["id"])
        assert "through profile `db`, declared with `wireguard apply`" in await cli.ok(*explained)
        error = await cli.refused("wireguard", "apply", str(empty(tmp_path)))
        assert f"{tmp_path / 'empty.yaml'}: in the policy, line 1" in error
        await cli.ok("policy", "set", "-f", str(tmp_path / "first.hujson"))
    async with running_server(tmp_path, more="policy: {mode: database}") as server:
        cli = CommandLine(server)
        assert [each["source"] for each in await cli.json("access", "profiles")] == ["apply"]
        assert await cli.ok("wireguard", "apply", str(empty(tmp_path))) == "- profile db\n"
        assert await cli.json("access", "profiles") == []


def empty(folder: Path) -> Path:
    """A declaration of nothing."""
    path = folder / "empty.yaml"
    path.write_text("profiles: {}\n")
    return path


async def test_explain_knows_what_is_open_for_plain_peers(tmp_path: Path) -> None:
    policy = """{"acls": [{"action": "accept", "src": ["wg:alone", "wg:inside"], "dst": ["10.9.0.9:80"]}],
      "access": {"profiles": {"db": {"src": ["alice@"], "dst": ["10.9.0.5:5432"], "proto": "tcp"}}}}"""
    async with running_server(tmp_path, policy) as server:
        cli = CommandLine(server)
        await server.call("POST", "/api/v1/user", json={"name": "alice"})
        for number, name in enumerate(("alone", "inside"), start=1):
            body = {"name": name, "host": "vpn.example.com", "pools": [f"10.9{number}.0.0/24"]}
            made = await server.call(
                "POST", "/api/v1/wireguard/gateways", json={**body, "tailnet": name == "inside"}
            )
            await FakeGateway(server.url, str(made["token"]), name).start()
            peer = ("--user", "alice", "--profile", "db", "--gateway", name, "--name", name)
            await cli.ok("wireguard", "peers", "create", public_key(number), *peer)
            shown = await cli.ok("policy", "explain", f"wg:{name}", "10.9.0.5:5432/tcp")
            assert shown.startswith("allowed by access.profiles[db]")
            await cli.refused("policy", "explain", f"wg:{name}", "10.9.0.5:22")
        # Rules mean no peer of a gateway that is no node.
        assert "allowed by acls[0]" in await cli.ok("policy", "explain", "wg:inside", "10.9.0.9:80")
        await cli.refused("policy", "explain", "wg:alone", "10.9.0.9:80")
        narrower = tmp_path / "narrower.hujson"
        narrower.write_text(policy.replace('"wg:inside"', '"wg:other"'))
        assert "- wg:inside -> 10.9.0.9/32: any:80" in await cli.ok("policy", "diff", str(narrower))


async def test_a_failing_test_is_underlined(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "p.hujson"
    path.write_text('{"acls": [],\n "tests": [{"src": "100.64.0.1", "accept": ["100.64.0.2:22"]}]}')
    shown = await cli.refused("policy", "test", str(path))
    assert f"{path}:2:" in shown
    assert "^^^" in shown


async def test_formatting(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "p.hujson"
    path.write_text('{"acls":[ ] // none\n}')
    code, out, _ = await cli.run("policy", "fmt", "--check", str(path))
    assert code == 1
    assert "would be reformatted" in out
    await cli.ok("policy", "fmt", str(path))
    assert path.read_text() == '{\n  "acls": [], // none\n}\n'
    assert "Nothing to do" in await cli.ok("policy", "fmt", "--check", str(path))
    path.write_text('{"acls": ')
    assert "p.hujson:1:" in await cli.refused("policy", "fmt", str(path))


async def test_export_leaves_a_section_out(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "other.hujson"
    path.write_text('{\n  // kept\n  "acls": [],\n  "access": {"profiles": {}},\n}\n')
    out = await cli.ok("policy", "export", str(path), "--without", "access")
    assert out == '{\n  // kept\n  "acls": [],\n}\n'
    assert '"tagOwners"' in await cli.ok("policy", "export")
    assert "tagOwners" not in await cli.ok("policy", "export", "--without", "tagOwners", "--without", "acls")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web", ("web", 0, "")),
        ("web:22", ("web", 22, "")),
        ("web:22/tcp", ("web", 22, "tcp")),
        ("tag:web", ("tag:web", 0, "")),
        ("tag:web:22/udp", ("tag:web", 22, "udp")),
        ("wg:phone", ("wg:phone", 0, "")),
        ("wg:phone:22", ("wg:phone", 22, "")),
        ("fd7a::1", ("fd7a::1", 0, "")),
        ("[fd7a::1]:22", ("fd7a::1", 22, "")),
        ("100.64.0.1:443", ("100.64.0.1", 443, "")),
    ],
)
def test_destinations_of_explain(text: str, parts: tuple[str, int, str]) -> None:
    assert _destination(text) == parts
