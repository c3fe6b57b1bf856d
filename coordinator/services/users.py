"""Users: list, create, rename, give a role, suspend and restore, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from coordinator.services.node_changes import node_summary
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, NotFoundError
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.users import User, UserID, validate_role, validate_user_name

NAMED_NODES = 10
"""How many nodes a refusal names; the number of all is said, too."""


class UserService:
    """Verbs on users."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet

    def list(self) -> list[User]:
        """All users, by id."""
        return sorted(self._tailnet.snapshot.users.values(), key=lambda user: user.id)

    def find(self, text: str | int) -> User:
        """A user by id, name or e-mail, in this order; NotFoundError when there is none."""
        users = self._tailnet.snapshot.users
        if text == "":
            raise NotFoundError("no user is named: give an id, a name or an e-mail")
        if isinstance(text, int) or text.isdecimal():
            user = users.get(UserID(int(text)))
            if user is not None:
                return user
        for attribute in ("name", "email"):
            for user in users.values():
                if getattr(user, attribute) == text:
                    return user
        raise NotFoundError(f"user `{text}` does not exist")

    def login(self, user_id: int) -> str:
        """A user's login; a stand-in for one who was deleted."""
        user = self._tailnet.snapshot.users.get(UserID(user_id))
        return user.login if user is not None else f"user-{user_id}"

    async def create(
        self, name: str, display_name: str = "", email: str = "", picture_url: str = "", *, actor: Actor
    ) -> User:
        """Create a local user.

        Raises:
            InvalidError: the name breaks a rule.
            ConflictError: the name is taken.
        """
        validate_user_name(name)

        def command(directory: Directory) -> User:
            _require_free(directory, name)
            now = self._tailnet.clock()
            user = User(
                id=UserID(directory.next_id("users")),
                name=name,
                display_name=display_name,
                email=email,
                profile_pic_url=picture_url,
                created_at=now,
            )
            directory.put_user(user)
            after = {"name": name, "display_name": display_name, "email": email}
            directory.audit(now, actor, "user.create", f"user:{user.id}", after, name=name)
            return user

        return await self._tailnet.execute(command)

    async def rename(self, user_id: int, new_name: str, *, actor: Actor) -> User:
        """Give a user another name; nodes and keys stay theirs."""
        validate_user_name(new_name)

        def command(directory: Directory) -> User:
            user = directory.user(UserID(user_id))
            if user.name == new_name:
                return user
            _require_free(directory, new_name)
            renamed = replace(user, name=new_name)
            directory.put_user(renamed)
            now, target, before = self._tailnet.clock(), f"user:{user_id}", {"name": user.name}
            directory.audit(
                now, actor, "user.rename", target, {"name": new_name}, before=before, name=new_name
            )
            return renamed

        return await self._tailnet.execute(command)

    async def set_role(self, user_id: int, role: str, *, actor: Actor) -> User:
        """Give a user another role; rules of the policy that name roles follow at once.

        Raises:
            InvalidError: there is no such role.
        """
        validate_role(role)

        def command(directory: Directory) -> User:
            user = directory.user(UserID(user_id))
            if user.role == role:
                return user
            changed = replace(user, role=role)
            directory.put_user(changed)
            now, target, before = self._tailnet.clock(), f"user:{user_id}", {"role": user.role}
            directory.audit(now, actor, "user.role", target, {"role": role}, before=before, name=user.name)
            return changed

        return await self._tailnet.execute(command)

    async def suspend(self, user_id: int, *, actor: Actor) -> User:
        """Shut a user out: their nodes expire now, their keys and logins admit nothing until `restore`.

        Tagged nodes belong to their tags and stay, also those that a key of this user let in.
        """

        def command(directory: Directory) -> User:
            user = directory.user(UserID(user_id))
            if user.suspended_at is not None:
                return user
            now = self._tailnet.clock()
            suspended = replace(user, suspended_at=now)
            directory.put_user(suspended)
            valid = [node for node in directory.nodes_of_user(user.id) if not node.expired(now)]
            for node in valid:
                directory.put_node(replace(node, expiry=now))
            after = {"expired_nodes": [node.id for node in valid]}
            directory.audit(now, actor, "user.suspend", f"user:{user_id}", after, name=user.name)
            return suspended

        return await self._tailnet.execute(command)

    async def restore(self, user_id: int, *, actor: Actor) -> User:
        """End a suspension. Nodes stay expired: each comes back by a login or a key, as the same node."""

        def command(directory: Directory) -> User:
            user = directory.user(UserID(user_id))
            if not user.suspended:
                return user
            restored = replace(user, suspended_at=None, offboarded_at=None)
            directory.put_user(restored)
            now = self._tailnet.clock()
            directory.audit(now, actor, "user.restore", f"user:{user_id}", name=user.name)
            return restored

        return await self._tailnet.execute(command)

    async def delete(self, user_id: int, *, with_nodes: bool = False, actor: Actor) -> None:
        """Delete a user and their pre-auth keys; `with_nodes` their nodes, too, all or nothing.

        Raises:
            ConflictError: the user still owns nodes.
        """

        def command(directory: Directory) -> None:
            user = directory.user(UserID(user_id))
            now = self._tailnet.clock()
            nodes = directory.nodes_of_user(user.id)
            if nodes and not with_nodes:
                raise ConflictError(_still_owns(user, nodes))
            for node in nodes:
                directory.delete_node(node.id)
                directory.audit(
                    now,
                    actor,
                    "node.delete",
                    f"node:{node.id}",
                    before=node_summary(node),
                    name=node.given_name,
                    reason="user deleted",
                )
            for identity in directory.identities_of_user(user.id):
                directory.delete_identity(identity.id)
            keys = directory.preauth_keys_of_user(user.id)
            for key in keys:
                directory.delete_preauth_key(key.id)
            directory.delete_user(user.id)
            before = {"name": user.name, "email": user.email, "preauth_keys": [key.id for key in keys]}
            directory.audit(now, actor, "user.delete", f"user:{user_id}", before=before, name=user.name)

        await self._tailnet.execute(command)


def _still_owns(user: User, nodes: Sequence[Node]) -> str:
    named = ", ".join(f"{node.given_name} (id {node.id})" for node in nodes[:NAMED_NODES])
    if len(nodes) > NAMED_NODES:
        named += f" and {len(nodes) - NAMED_NODES} more"
    return (
        f"user `{user.name}` still owns {len(nodes)} node(s): {named}; move or delete them first, "
        "or delete them with the user (--with-nodes)"
    )


def _require_free(directory: Directory, name: str) -> None:
    for user in directory.users():
        if user.name == name and user.provider_identifier is None:
            raise ConflictError(f"user `{name}` exists already (id {user.id})")
