"""What several commands read from their options and write where they are told to."""

from __future__ import annotations

from pathlib import Path

from asrlsa.errors import OutputError, UsageError


def comma_separated(text: str | None) -> tuple[str, ...]:
    """Return the parts of a list with commas, without what is empty."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def manifest_fields(values: list[str] | None) -> dict[str, str]:
    """Read ``--where``: fields that a line of a manifest must have.

    Raises:
        UsageError: One is not ``FIELD=VALUE``.
    """
    found = {}
    for value in values or []:
        name, equals, content = value.partition("=")
        if not equals or not name:
            raise UsageError(f"--where {value!r}: give a field and its value, such as split=test")
        found[name] = content
    return found


def write_report(path: Path, text: str) -> None:
    """Write a report where the user wants it, which may be a device such as ``/dev/stdout``.

    Raises:
        OutputError: It can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror})") from None
