"""The locked requirements agree with pyproject.toml, and name no place to fetch from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("runtime.txt", "dev.txt")

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?P<rest>(.*\\\n)*.*)$", re.M
)


def wanted(name: str) -> set[str]:
    """The requirements written in one .in file, in one spelling."""
    lines = (REQUIREMENTS / name).read_text().splitlines()
    return {str(Requirement(line)) for line in lines if line and not line.startswith(("#", "-"))}


def pins(name: str) -> dict[str, tuple[Version, str]]:
    """Package name to version and to the text with its hashes."""
    text = (REQUIREMENTS / name).read_text()
    return {
        canonicalize_name(found["name"]): (Version(found["version"]), found["rest"])
        for found in _PIN.finditer(text)
    }


def spelled(requirements: list[str]) -> set[str]:
    return {str(Requirement(text)) for text in requirements}


def test_runtime_in_lists_the_project_dependencies_and_the_build_back_end() -> None:
    expected = spelled(PROJECT["project"]["dependencies"]) | spelled(PROJECT["build-system"]["requires"])
    assert wanted("runtime.in") == expected


def test_dev_in_lists_the_dev_extra() -> None:
    assert wanted("dev.in") == spelled(PROJECT["project"]["optional-dependencies"]["dev"])


@pytest.mark.parametrize(("source", "lock"), [("runtime.in", "runtime.txt"), ("dev.in", "dev.txt")])
def test_each_wanted_package_is_locked_to_a_version_it_allows(source: str, lock: str) -> None:
    locked = pins(lock)
    for text in wanted(source):
        requirement = Requirement(text)
        version, _ = locked[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, f"{lock} has {version} for `{text}`: run `make requirements`"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes(lock: str) -> None:
    locked = pins(lock)
    assert len(locked) > 20
    assert [name for name, (_, rest) in locked.items() if "--hash=sha256:" not in rest] == []


def test_tests_run_against_the_versions_the_server_gets() -> None:
    dev = pins("dev.txt")
    differing = {name for name, (version, _) in pins("runtime.txt").items() if dev[name][0] != version}
    assert differing == set()


@pytest.mark.parametrize("name", [*LOCKS, "runtime.in", "dev.in"])
def test_no_index_no_address_no_path(name: str) -> None:
    text = (REQUIREMENTS / name).read_text()
    assert re.findall(r"://|--index-url|--extra-index-url|--find-links|--trusted-host|/tmp/", text) == []
