"""docs/policy.md is what the commands print."""

from __future__ import annotations

from tests.support.policy_transcripts import ROOT, document


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "policy.md").read_text()
    assert page == document(), "run `python -m tests.support.policy_transcripts > docs/policy.md`"
