"""How errors leave as HTTP answers.

Bodies carry two families of fields: `title, status, detail, errors` (problem+json) and `code, message,
details` (what older tools read).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from acl import PolicyError
from coordinator.tailnet.errors import CoordinatorError

STATUS: Mapping[str, int] = {
    "invalid": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "expired": 410,
    "rate_limited": 429,
    "unavailable": 503,
    "in_doubt": 503,
    "internal": 500,
}
_GRPC_CODE = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 410: 9, 413: 8, 500: 13, 503: 14}
_TITLE = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def problem(
    status: int,
    message: str,
    errors: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """An error answer."""
    body = {
        "title": _TITLE.get(status, "Error"),
        "status": status,
        "detail": message,
        "errors": errors or [],
        "code": _GRPC_CODE.get(status, 2),
        "message": message,
        "details": [],
    }
    return web.Response(
        status=status, text=json.dumps(body), content_type="application/problem+json", headers=headers
    )


def from_error(error: CoordinatorError | PolicyError) -> web.Response:
    """The answer to an error of the domain; a policy's problems are all listed, with their places."""
    if isinstance(error, PolicyError):
        errors = [
            {
                "message": found.message,
                "location": str(found.span or ""),
                "line": found.span.line if found.span and not found.span.document else None,
                "column": found.span.column if found.span and not found.span.document else None,
                "code": found.code,
                "help": found.help,
            }
            for found in error.problems
        ]
        return problem(400, str(error), errors)
    return problem(STATUS.get(error.code, 500), error.message)
