"""Problems as text."""

from __future__ import annotations

from acl.problems import PolicyError, Problem, Span, nearest, service_error

SPAN = Span(line=3, column=7, end_line=3, end_column=9)


def test_a_problem_says_where_what_and_what_to_do() -> None:
    problem = Problem(code="x", message="tag not found", span=SPAN, help="did you mean `tag:b`?")
    assert str(problem) == "line 3, column 7: tag not found (did you mean `tag:b`?)"
    assert str(Problem(code="x", message="m")) == "m"


def test_a_problem_in_a_declared_profile_names_it() -> None:
    span = Span(line=3, column=7, end_line=3, end_column=9, document="db")
    problem = Problem(code="x", message="tag not found", span=span)
    assert str(problem) == "access profile `db` (declared with `wireguard apply`): tag not found"


def test_an_error_lists_all_problems() -> None:
    error = PolicyError(Problem(code="x", message=m) for m in ("one", "two"))
    assert str(error) == "one\ntwo"
    assert [p.message for p in error.problems] == ["one", "two"]


def test_the_service_answers_the_first_error() -> None:
    warning = Problem(code="w", message="odd", severity="warning")
    assert service_error([warning, Problem(code="e", message="wrong")]) == "wrong"
    assert service_error([warning]) == ""


def test_near_names() -> None:
    assert nearest("tag:sever", ["tag:server", "tag:db"]) == "did you mean `tag:server`?"
    assert nearest("zzz", ["tag:server"]) is None
