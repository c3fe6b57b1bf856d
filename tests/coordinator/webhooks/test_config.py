"""One webhook's configuration."""

from __future__ import annotations

from tests.support.webhooks import SECRET, make_hook


def test_answers_need_something_to_know_them_by() -> None:
    assert make_hook().takes_answers
    assert make_hook(kind="mattermost", secret="").takes_answers
    assert not make_hook(kind="slack", secret="").takes_answers
    assert make_hook().channel == "webhook chat"
    assert SECRET not in repr(make_hook())
