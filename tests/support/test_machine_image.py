"""Whether a machine is started, and what Ansible's recap says; the machine itself is tests/interop's."""

import pytest

from tests.support import machine_image
from tests.support.ansible import _recap


def test_a_ci_run_without_kvm_says_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_image, "accelerator", lambda: "tcg")
    monkeypatch.setenv("COORDINATOR_REQUIRE_ALL", "1")
    monkeypatch.delenv("COORDINATOR_EMULATE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED"):
        machine_image.require_machine()


def test_a_ci_run_with_kvm_wants_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_image, "accelerator", lambda: "kvm")
    monkeypatch.setattr(machine_image, "missing_for_machine", lambda: ["no qemu"])
    monkeypatch.setenv("COORDINATOR_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="no qemu"):
        machine_image.require_machine()


def test_the_recap_of_a_playbook_is_read() -> None:
    printed = "ok: [gw]\n\nPLAY RECAP ***\ngw   : ok=11   changed=0    failed=0\nhere : ok=3 changed=2\n"
    assert _recap(printed) == {
        "gw": {"ok": 11, "changed": 0, "failed": 0},
        "here": {"ok": 3, "changed": 2},
    }
