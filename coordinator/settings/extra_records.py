"""Extra DNS records that live in a file of their own (`dns.extra_records_path`), often written by a program.

Read once, when the server starts; the command line's other verbs never need the file.
"""

from __future__ import annotations

from dataclasses import replace

from coordinator.settings.convert import records
from coordinator.settings.load import SettingsError
from coordinator.settings.model import Settings

MAX_BYTES = 1 << 20


def with_extra_records(settings: Settings) -> tuple[Settings, list[str]]:
    """Settings that hold the records of the file they name.

    An empty file counts as an empty list: programs truncate before they write.

    Returns:
        (settings, notices for the operator); both as given when no file is named.

    Raises:
        SettingsError: the file cannot be read, or is no JSON array of records.
    """
    path = settings.dns.extra_records_path
    if path is None:
        return settings, []
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > MAX_BYTES:
            raise ValueError("the file is larger than 1 MiB")
        found = records(text) if text.strip() else ()
    except (OSError, ValueError) as error:
        raise SettingsError([f"`dns.extra_records_path`: {path}: {error}"]) from error
    notice = f"`dns.extra_records_path`: {path} is read at start; restart (SIGUSR2) after a change"
    return replace(settings, dns=replace(settings.dns, extra_records=found)), [notice]
