"""Liberal reading of request bodies.

Any Content-Type, numbers or texts for ids, snake_case or camelCase names, unknown fields ignored: every
generation of tools is understood. Values of a wrong kind are refused by name.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from coordinator.services.users import UserService
from coordinator.settings.durations import parse_duration
from coordinator.tailnet.errors import InvalidError
from coordinator.tailnet.users import User

MAX_BODY = 16 << 20
"""A policy may be large; everything else is far below."""
MAX_ID_DIGITS = 18
MAX_USER_CHARS = 320
"""A name of 255 characters, or an e-mail."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Body:
    """A JSON object with forgiving accessors."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = {name.replace("_", "").lower(): value for name, value in fields.items()}

    @classmethod
    async def read(cls, request: web.Request) -> Body:
        """Read a request; an empty body is an empty object."""
        raw = await request.read()
        if not raw.strip():
            return cls({})
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            raise InvalidError("the body is not JSON") from None
        if not isinstance(document, dict):
            raise InvalidError("the body must be a JSON object")
        return cls(document)

    def has(self, name: str) -> bool:
        """Whether a value that is not null was given."""
        return self._fields.get(name.lower()) is not None

    def text(self, name: str, default: str = "") -> str:
        """A text, or a number as text."""
        value = self._fields.get(name.lower())
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise InvalidError(f"`{name}` must be text")
        return _storable(name, str(value))

    def flag(self, name: str) -> bool:
        """A boolean, false when absent."""
        value = self._fields.get(name.lower())
        if value is None:
            return False
        if not isinstance(value, bool):
            raise InvalidError(f"`{name}` must be true or false")
        return value

    def number(self, name: str) -> int | None:
        """An id, as number or text; None when absent, empty or 0."""
        text = self.text(name)
        if not text or text == "0":
            return None
        return parse_id(name, text)

    def texts(self, name: str) -> list[str]:
        """A list of texts, empty when absent."""
        value = self._fields.get(name.lower())
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InvalidError(f"`{name}` must be a list of texts")
        return [_storable(name, item) for item in value]

    def scalars(self, name: str) -> dict[str, str | int | float | bool | None]:
        """An object of texts, numbers, booleans and nulls; empty when absent."""
        value = self._fields.get(name.lower())
        if value is None:
            return {}
        if not isinstance(value, dict) or any(isinstance(item, dict | list) for item in value.values()):
            raise InvalidError(f"`{name}` must be an object of texts, numbers, booleans or nulls")
        for key, item in value.items():
            _storable(name, key)
            if isinstance(item, str):
                _storable(name, item)
        return value

    def ids(self, name: str) -> list[int]:
        """A list of ids, as numbers or texts; empty when absent."""
        value = self._fields.get(name.lower())
        if value is None:
            return []
        if not isinstance(value, list) or any(
            isinstance(item, bool) or not isinstance(item, int | str) for item in value
        ):
            raise InvalidError(f"`{name}` must be a list of ids")
        return [parse_id(name, str(item)) for item in value]

    def duration(self, name: str) -> timedelta | None:
        """A length of time such as 30d; None when absent or empty."""
        text = self.text(name)
        if not text:
            return None
        try:
            return parse_duration(text)
        except ValueError as error:
            raise InvalidError(f"`{name}`: {error}") from error

    def moment(self, name: str) -> datetime | None:
        """An RFC 3339 time; None when absent, or when it is Go's zero time."""
        text = self.text(name)
        return parse_moment(name, text) if text and not text.startswith("0001-01-01T") else None


def parse_moment(name: str, text: str) -> datetime:
    """An RFC 3339 time in UTC; InvalidError names the field."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidError(f"`{name}`: `{text}` is not a time such as 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise InvalidError(f"`{name}`: `{text}` has no time zone; append Z for UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidError(f"`{name}`: `{text}` is out of range") from None


def query_flag(request: web.Request, name: str) -> bool:
    """A boolean of the query, false when absent."""
    text = request.query.get(name, "false").lower()
    if text not in ("true", "false", "1", "0", ""):
        raise InvalidError(f"`{name}`: `{text[:40]}` is neither true nor false")
    return text in ("true", "1")


def path_id(request: web.Request, name: str) -> int:
    """An id in the path."""
    return parse_id(name, request.match_info[name])


def parse_id(name: str, text: str) -> int:
    """An id from its text; InvalidError names the field."""
    if not text.isascii() or not text.isdecimal() or len(text) > MAX_ID_DIGITS:
        raise InvalidError(f"`{name}`: `{text[:40]}` is not an id: ids are numbers")
    return int(text)


def find_user(users: UserService, text: str) -> User:
    """A user by id, name or e-mail.

    Raises:
        InvalidError: the text is empty, which would fit every user without an e-mail, or is no name at all.
        NotFoundError: there is no such user.
    """
    if not text:
        raise InvalidError("say which user: `user` is an id, a name or an e-mail")
    if len(text) > MAX_USER_CHARS:
        raise InvalidError(f"`{text[:40]}…` is too long for a user")
    return users.find(text)


def _storable(name: str, text: str) -> str:
    """Refuse what JSON can say and no database can keep: half a surrogate pair, and the zero character."""
    if _UNSTORABLE.search(text):
        raise InvalidError(f"`{name}` holds a character that cannot be stored")
    return text
