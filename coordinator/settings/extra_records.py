"""Extra DNS records that live in a file of their own (`dns.extra_records_path`), often written by a program.

Read when the server starts and when the file changes; the command line's other verbs never need it.
"""

from __future__ import annotations

from dataclasses import replace

from coordinator.settings.convert import records
from coordinator.settings.load import SettingsError
from coordinator.settings.model import Settings

MAX_BYTES = 1 << 20


def with_extra_records(settings: Settings) -> Settings:
    """Settings that hold the records of the file they name; as given when none is named.

    An empty file counts as an empty list: programs truncate before they write.

    Raises:
        SettingsError: the file cannot be read, or is no JSON array of records.
    """
    path = settings.dns.extra_records_path
    if path is None:
        return settings
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > MAX_BYTES:
            raise ValueError("the file is larger than 1 MiB")
        found = records(text) if text.strip() else ()
    except (OSError, ValueError) as error:
        raise SettingsError([f"`dns.extra_records_path`: {path}: {error}"]) from error
    return replace(settings, dns=replace(settings.dns, extra_records=found))
