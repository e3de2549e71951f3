"""The errors that asrlsa raises on purpose. Every message says what is wrong, where, and what to do next.

::

    AsrlsaError
    ├── UsageError         an option or argument makes no sense           (exit code 1)
    ├── ConfigError        a configuration file or value is wrong         (exit code 1)
    ├── MediaError         a recording can't be read                      (that file fails, exit code 2)
    ├── ModelError         a model can't be found, checked or loaded      (exit code 1)
    ├── ManifestError      a row of a manifest is wrong; has line and key
    ├── ChatError          a CHAT file is not valid; has line and column  (that file fails, exit code 2)
    └── OutputError        a result can't be written                      (that file fails, exit code 2)
"""

from __future__ import annotations


class AsrlsaError(Exception):
    """Base of every error that asrlsa raises on purpose."""


class UsageError(AsrlsaError):
    """An option or argument makes no sense."""


class ConfigError(AsrlsaError):
    """A configuration file or value is wrong."""


class MediaError(AsrlsaError):
    """A recording can't be read."""


class ModelError(AsrlsaError):
    """A model can't be found, checked or loaded."""


class OutputError(AsrlsaError):
    """A result can't be written."""


class ManifestError(AsrlsaError):
    """A row of a manifest is wrong.

    Attributes:
        source: The manifest.
        line: Line number from 1, or None where the whole file is to blame.
        key: Key of the value that is wrong, or None.
    """

    def __init__(
        self, message: str, *, source: str | None = None, line: int | None = None, key: str | None = None
    ) -> None:
        """Build the message ``source:line: key message`` from what is known."""
        self.source = source
        self.line = line
        self.key = key
        where = ":".join(str(part) for part in (source, line) if part is not None)
        what = f"{key!r} {message}" if key is not None else message
        super().__init__(f"{where}: {what}" if where else what)


class ChatError(AsrlsaError):
    """A CHAT text is not valid.

    Attributes:
        line: Line number from 1, or None where no single line is to blame.
        column: Column in that line from 1, or None.
    """

    def __init__(
        self, message: str, *, line: int | None = None, column: int | None = None, source: str | None = None
    ) -> None:
        """Build the message ``source:line:column: message`` from what is known."""
        self.line = line
        self.column = column
        self.source = source
        where = ":".join(str(part) for part in (source, line, column) if part is not None)
        super().__init__(f"{where}: {message}" if where else message)
