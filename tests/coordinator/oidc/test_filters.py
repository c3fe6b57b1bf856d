"""Who may log in."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.oidc.config import ProviderConfig
from coordinator.oidc.filters import require_allowed
from coordinator.oidc.identity import make_identity
from coordinator.tailnet.errors import UnauthenticatedError

ADA: dict[str, Any] = {"sub": "1", "email": "Ada@Example.com", "email_verified": True, "groups": ["eng", "x"]}


def judge(claims: dict[str, Any] | None = None, **settings: Any) -> str:
    """What somebody is told; empty for a welcome."""
    config = ProviderConfig(name="p", title="P", issuer="https://i", client_id="c", **settings)
    claims = claims or ADA
    try:
        require_allowed(config, make_identity(config, claims), claims)
    except UnauthenticatedError as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"allowed_domains": ("example.com",)},
        {"allowed_domains": ("@EXAMPLE.com", "other.org")},
        {"allowed_users": ("ada@example.com",)},
        {"allowed_groups": ("x",)},
        {
            "allowed_domains": ("example.com",),
            "allowed_users": ("ada@example.com",),
            "allowed_groups": ("eng",),
        },
    ],
)
def test_who_passes(settings: dict[str, Any]) -> None:
    assert judge(**settings) == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"allowed_domains": ("ample.com",)}, "the domain of"),
        ({"allowed_users": ("bob@example.com",)}, "is not allowed"),
        ({"allowed_groups": ("admins",)}, "none of the groups"),
        ({"allowed_domains": ("example.com",), "allowed_groups": ("admins",)}, "none of the groups"),
        ({"allowed_groups": ("eng",), "groups_claim": "roles"}, "none of the groups"),
    ],
)
def test_each_configured_list_has_to_let_somebody_pass(settings: dict[str, Any], said: str) -> None:
    assert said in judge(**settings)


def test_an_unverified_address_passes_no_list() -> None:
    claims = ADA | {"email_verified": False}
    assert "not verified" in judge(claims, allowed_users=("ada@example.com",))
    assert judge(claims, allowed_users=("ada@example.com",), email_verified_required=False) == ""
    assert "did not say" in judge({"sub": "1"}, allowed_domains=("example.com",))
    assert judge(claims) == ""


def test_the_domain_is_behind_the_last_at() -> None:
    claims = ADA | {"email": "ada@example.com@evil.org"}
    assert judge(claims, allowed_domains=("example.com",)) != ""
