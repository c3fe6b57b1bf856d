"""Users: list, create, rename, delete."""

from __future__ import annotations

from dataclasses import replace

from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, NotFoundError
from coordinator.tailnet.users import User, UserID, validate_user_name


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

    async def delete(self, user_id: int, *, actor: Actor) -> None:
        """Delete a user and their pre-auth keys.

        Raises:
            ConflictError: the user still owns nodes.
        """

        def command(directory: Directory) -> None:
            user = directory.user(UserID(user_id))
            nodes = directory.nodes_of_user(user.id)
            if nodes:
                names = ", ".join(node.given_name for node in nodes[:5])
                raise ConflictError(
                    f"user `{user.name}` still owns {len(nodes)} node(s) ({names}); delete them first"
                )
            keys = [key.id for key in directory.preauth_keys_of_user(user.id)]
            for key_id in keys:
                directory.delete_preauth_key(key_id)
            directory.delete_user(user.id)
            now, target = self._tailnet.clock(), f"user:{user_id}"
            before = {"name": user.name, "email": user.email, "preauth_keys": keys}
            directory.audit(now, actor, "user.delete", target, before=before, name=user.name)

        await self._tailnet.execute(command)


def _require_free(directory: Directory, name: str) -> None:
    for user in directory.users():
        if user.name == name and user.provider_identifier is None:
            raise ConflictError(f"user `{name}` exists already (id {user.id})")
