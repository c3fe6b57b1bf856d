"""`audit`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.coordinator.cli.conftest import CommandLine


async def test_list_shows_who_what_and_why(cli: CommandLine) -> None:
    await cli.ok("users", "create", "alice", "--audit-reason", "ticket 7: für die Neue")
    await cli.ok("users", "rename", "alice", "bob")
    text = await cli.ok("audit", "list")
    assert "user.create" in text
    assert "ticket 7: für die Neue" in text
    assert "name: alice -> bob" in text
    (entry,) = await cli.json(
        "audit", "list", "--action", "user.create", "--object", "user:1", "--actor", "socket"
    )
    assert (entry["reason"], entry["after"]["name"]) == ("ticket 7: für die Neue", "alice")
    assert [entry["id"] for entry in await cli.json("audit", "list", "--limit", "2")] == ["3", "2"]
    assert len(await cli.json("audit", "list", "--since", "1h")) == 3
    assert await cli.json("audit", "list", "--since", "2999-01-01T00:00:00Z") == []
    assert await cli.json("audit", "list", "--until", "1h") == []
    assert "neither a time" in await cli.refused("audit", "list", "--since", "yesterday")


async def test_export_and_verify_against_it(cli: CommandLine, tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        await cli.ok("users", "create", name)
    text = await cli.ok("audit", "export", "--format", "jsonl")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["id"] for line in lines] == ["1", "2", "3"]
    assert len((await cli.ok("audit", "export", "--after", "2")).splitlines()) == 1
    assert "use jsonl" in await cli.refused("audit", "export", "--format", "csv")
    kept = tmp_path / "kept.jsonl"
    kept.write_text(text)
    words = await cli.ok("audit", "verify", "--against", str(kept))
    assert f"3 entries, all as they were written, the last is 3:{lines[-1]['hash']}" in words
    assert (await cli.json("audit", "verify", "--anchor", f"2:{lines[1]['hash']}"))["intact"] is True
    database = tmp_path / "db.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE audit SET actor_name = 'x' WHERE id = 2")
    connection.close()
    assert "modified: entry 2" in await cli.refused("audit", "verify")
    code, out, err = await cli.run("audit", "verify", "-o", "json")
    assert (code, json.loads(out)["findings"][0]["kind"]) == (1, "modified")
    assert "modified: entry 2" in err


async def test_a_log_written_anew_does_not_fit_the_exported_file(cli: CommandLine, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    lines = [json.loads(line) for line in (await cli.ok("audit", "export")).splitlines()]
    kept.write_text(
        "\n".join(json.dumps(line) for line in [lines[0] | {"hash": "0" * 64}, lines[0] | {"id": "9"}])
    )
    words = await cli.refused("audit", "verify", "--against", str(kept))
    assert "rewritten: entry 1" in words
    assert "missing: entry 9" in words
    kept.write_text("not exported")
    assert "does not hold exported entries" in await cli.refused("audit", "verify", "--against", str(kept))
    kept.write_text("")
    assert "holds no entries" in await cli.refused("audit", "verify", "--against", str(kept))
    assert "No such file" in await cli.refused("audit", "verify", "--against", str(tmp_path / "missing"))
    assert "not an anchor" in await cli.refused("audit", "verify", "--anchor", "x&y")
