"""JSON shapes."""

from __future__ import annotations

from coordinator.services.nodes import NodeView
from coordinator.web.api.views import node_view, preauth_key_view, user_view
from tests.support.builders import NOW, make_key, make_node, make_user


def test_ids_are_text_and_unset_times_null() -> None:
    assert user_view(make_user(7))["id"] == "7"
    key = preauth_key_view(make_key(expiration=None)[0], None)
    assert (key["id"], key["expiration"], key["user"]) == ("1", None, None)


def test_an_expired_node_is_never_shown_online() -> None:
    view = NodeView(
        node=make_node(1, online=True, expiry=NOW),
        user=None,
        preauth_key=None,
        available_routes=(),
        subnet_routes=(),
        fqdn="a.b.",
        expired=True,
    )
    assert node_view(view)["online"] is False
    assert node_view(view)["expiry"] == "2026-06-01T12:00:00Z"
