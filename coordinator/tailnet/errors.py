"""What can go wrong in the domain, once, with a stable code for every shell.

`web/errors.py`, `control/errors.py` and `cli/output.py` turn these into HTTP answers,
RegisterResponses and exit codes. The message is always safe to show to the caller.
"""

from __future__ import annotations


class CoordinatorError(Exception):
    """Base of every error a caller can act on.

    Args:
        message: One sentence for a person: what, where, and what to do. Never a secret.
    """

    code = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFoundError(CoordinatorError):
    """The thing named does not exist."""

    code = "not_found"


class ConflictError(CoordinatorError):
    """The change collides with what is there (a name in use, a user who still owns nodes)."""

    code = "conflict"


class InvalidError(CoordinatorError):
    """The input is malformed or not allowed by its own rules."""

    code = "invalid"


class UnauthenticatedError(CoordinatorError):
    """The caller did not prove who it is."""

    code = "unauthenticated"


class ForbiddenError(CoordinatorError):
    """The caller is known but may not do this."""

    code = "forbidden"


class ExpiredError(CoordinatorError):
    """A key or a pending request is past its time."""

    code = "expired"


class RateLimitedError(CoordinatorError):
    """Too many failed attempts; `retry_after` is when to come again, in whole seconds, 1 to 3600."""

    code = "rate_limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(CoordinatorError):
    """The server cannot do this now; the same call may work later."""

    code = "unavailable"


class InDoubtError(UnavailableError):
    """The database did not say whether it took a commit; `mark` is what the commit is found by, if it did.

    Between the store and its writer only, which finds out.
    """

    code = "in_doubt"

    def __init__(self, message: str, mark: str) -> None:
        super().__init__(message)
        self.mark = mark
