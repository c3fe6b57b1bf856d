"""Who a node is shown under."""

from __future__ import annotations

from collections.abc import Iterable

from coordinator.tailcfg.codec import encode
from coordinator.tailnet.snapshot import Snapshot
from coordinator.tailnet.users import TAGGED_DEVICES_LOGIN, TAGGED_DEVICES_USER_ID, User, UserID


def profile(snapshot: Snapshot, user_id: UserID) -> dict[str, object]:
    """A UserProfile; LoginName is never empty, or clients refuse it."""
    if user_id == TAGGED_DEVICES_USER_ID:
        return {"ID": user_id, "LoginName": TAGGED_DEVICES_LOGIN, "DisplayName": "Tagged Devices"}
    user = snapshot.users.get(user_id)
    if user is None:
        return {"ID": user_id, "LoginName": f"user-{user_id}", "DisplayName": f"user-{user_id}"}
    return user_profile(user)


def user_profile(user: User) -> dict[str, object]:
    """The UserProfile of a user that is there."""
    document: dict[str, object] = {
        "ID": user.id,
        "LoginName": user.login,
        "DisplayName": user.display_name or user.name,
    }
    if user.profile_pic_url:
        document["ProfilePicURL"] = user.profile_pic_url
    return document


def profiles_json(snapshot: Snapshot, user_ids: Iterable[UserID]) -> bytes:
    """The value of `UserProfiles`."""
    return encode([profile(snapshot, user_id) for user_id in user_ids])


def owners(snapshot: Snapshot, visible: int) -> tuple[UserID, ...]:
    """The users whose nodes are in a bit set, by id."""
    return tuple(sorted(user_id for user_id, bits in snapshot.owner_bits.items() if bits & visible))
