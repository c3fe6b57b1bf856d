"""Errors of the domain."""

from __future__ import annotations

from coordinator.tailnet import errors


def test_every_error_has_a_code_of_its_own() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.CoordinatorError)
    ]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert errors.NotFoundError("x").message == "x"
