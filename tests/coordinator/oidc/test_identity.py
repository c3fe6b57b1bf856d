"""Claims, as providers send them and as they should not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.oidc.config import ProviderConfig
from coordinator.oidc.identity import (
    claim_values,
    identity_key,
    is_true,
    make_identity,
    merged_claims,
    policy_groups,
)
from coordinator.tailnet.errors import InvalidError, UnauthenticatedError


def config(**changes: Any) -> ProviderConfig:
    values: dict[str, Any] = {"name": "p", "title": "P", "issuer": "https://id.example", "client_id": "c"}
    return ProviderConfig(**values | changes)


def test_an_identity_is_issuer_and_subject() -> None:
    assert identity_key("https://id.example/", "1") == identity_key("https://id.example", "1")
    assert make_identity(config(), {"sub": "a|b"}).identifier == "https://id.example/a|b"


@pytest.mark.parametrize("subject", ["", " ", "a b", "a\n", "x" * 256, "a\0"])
def test_a_subject_nobody_can_have(subject: str) -> None:
    with pytest.raises(InvalidError):
        identity_key("https://id.example", subject)
    with pytest.raises(UnauthenticatedError):
        make_identity(config(), {"sub": subject})


@pytest.mark.parametrize("claims", [{}, {"sub": 7}, {"sub": None}])
def test_without_a_subject_there_is_nobody(claims: dict[str, Any]) -> None:
    with pytest.raises(UnauthenticatedError):
        make_identity(config(), claims)


def test_an_address_that_nobody_verified_is_not_kept() -> None:
    claims: dict[str, Any] = {"sub": "1", "email": "a@b.c"}
    assert make_identity(config(), claims).email == ""
    assert make_identity(config(), claims | {"email_verified": "true"}).email == "a@b.c"
    assert make_identity(config(email_verified_required=False), claims).email == "a@b.c"
    assert make_identity(config(), {"sub": "1", "email": "a@b@c", "email_verified": True}).email == ""


def test_what_counts_as_verified() -> None:
    assert [is_true(value) for value in (True, "true", " True ")] == [True] * 3
    assert [is_true(value) for value in (False, "false", 1, None, "yes", [True])] == [False] * 6


def test_groups_come_from_any_path() -> None:
    claims = {"groups": "one", "realm_access": {"roles": ["a", "b", "a", 7, ""]}, "https://x.y/g": ["z"]}
    assert claim_values(claims, "groups") == ("one",)
    assert claim_values(claims, "realm_access.roles") == ("a", "b")
    assert claim_values(claims, "https://x.y/g") == ("z",)
    assert claim_values(claims, "realm_access.none.deeper") == ()
    assert claim_values({"groups": {"a": 1}}, "groups") == ()


def test_groups_are_prefixed_or_mapped() -> None:
    assert policy_groups(config(groups_prefix="idp-"), ("b", "a")) == ("group:idp-a", "group:idp-b")
    mapping = {"Staff (all)": "staff", "x": "group:x"}
    assert policy_groups(config(groups_map=mapping), ("Staff (all)", "unmapped", "x")) == (
        "group:staff",
        "group:x",
    )


def test_userinfo_knows_better_and_must_speak_of_the_same_person() -> None:
    token = {"sub": "1", "email": "old", "iss": "i"}
    merged = merged_claims(token, {"sub": "1", "email": "new", "iss": "evil", "groups": ["g"]}, "groups")
    assert merged == {"sub": "1", "email": "new", "iss": "i", "groups": ["g"]}
    assert merged_claims(token, {}, "groups") == token
    with pytest.raises(UnauthenticatedError, match="another subject"):
        merged_claims(token, {"sub": "2"}, "groups")


@pytest.mark.parametrize(
    ("token", "userinfo", "believed"),
    [
        ({"email": "a@x.y", "email_verified": True}, {"email": "b@x.y"}, ""),
        ({"email": "a@x.y", "email_verified": True}, {"email": "b@x.y", "email_verified": True}, "b@x.y"),
        ({"email": "a@x.y", "email_verified": True}, {"email": "a@x.y"}, "a@x.y"),
        ({"email": "a@x.y", "email_verified": True}, {"email": "a@x.y", "email_verified": False}, ""),
        ({"email": "a@x.y"}, {"email_verified": True}, ""),
        ({}, {"email": "b@x.y", "email_verified": True}, "b@x.y"),
    ],
)
def test_an_address_and_its_proof_come_from_one_answer(
    token: dict[str, Any], userinfo: dict[str, Any], believed: str
) -> None:
    merged = merged_claims({"sub": "1"} | token, {"sub": "1"} | userinfo, "groups")
    assert make_identity(config(), merged).email == believed


def test_pictures_are_web_addresses() -> None:
    pictures = ("https://x/y.png", "javascript:alert(1)", "data:image/png,x", "https://[", 7)
    made = [make_identity(config(), {"sub": "1", "picture": each}).picture for each in pictures]
    assert made == ["https://x/y.png", "", "", "", ""]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.dictionaries(
        st.sampled_from(["sub", "email", "name", "picture", "groups", "realm_access"]), json_values
    )
)
def test_no_claims_break_it(claims: dict[str, Any]) -> None:
    try:
        made = make_identity(config(groups_claim="realm_access.roles"), claims)
    except UnauthenticatedError:
        return
    assert made.identifier.startswith("https://id.example/")
    assert all(group.startswith("group:") for group in made.groups)
