"""Ages as CHAT writes them, in months, and ranges of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from asrlsa.errors import ConfigError
from asrlsa.participants import chat_age

_AGE = re.compile(r"(\d{1,3});(?:(\d{1,2})(?:\.(\d{1,2})?)?)?")
_BANDS = ((36, "0-2"), (72, "3-5"), (108, "6-8"), (156, "9-12"), (216, "13-17"), (480, "18-39"), (780, "40-64"))


def months(age: str) -> float | None:
    """Return an age such as ``4;06.03`` in months; None where there is none."""
    found = _AGE.match(age.strip())
    if found is None:
        return None
    return 12 * int(found[1]) + int(found[2] or 0) + int(found[3] or 0) / 31


def written(value: object) -> str:
    """Return an age of a table as CHAT writes it; empty for what is not an age, such as ``twenties``."""
    if value is None or isinstance(value, bool) or value == "":
        return ""
    if isinstance(value, float):
        years = int(value)
        whole = round((value - years) * 12)
        return f"{years};" if whole in (0, 12) and value == years else f"{years + whole // 12};{whole % 12:02}."
    try:
        return chat_age(str(value))
    except ValueError:
        return ""


def band(age: str) -> str:
    """Return the age band by which a split is stratified: ``3-5`` years; empty where no age is known."""
    value = months(age)
    if value is None:
        return ""
    return next((name for limit, name in _BANDS if value < limit), "65+")


@dataclass(frozen=True, slots=True)
class AgeRange:
    """Ages from ``first`` to ``last`` months, the whole last month included."""

    first: int
    last: int

    @classmethod
    def of(cls, text: str) -> AgeRange:
        """Read ``4;0-6;11``, ``4-6``, ``4;0-`` or ``-6;11``; a bare year at the end is the whole year.

        Raises:
            ConfigError: It is not a range of ages.
        """
        low, dash, high = text.replace("–", "-").partition("-")
        try:
            first = 0 if not low.strip() else int(months(chat_age(low)) or 0)
            if not dash:
                high = low
            last = 200 * 12 if not high.strip() else int(months(chat_age(high)) or 0)
        except ValueError as error:
            raise ConfigError(f"ages {text!r}: {error}; give a range such as 4;0-6;11") from None
        if high.strip() and not re.search(r";\s*\d", high):
            last += 11
        if last < first or not text.strip("- "):
            raise ConfigError(f"ages {text!r}: give a range such as 4;0-6;11")
        return cls(first, last)

    def holds(self, age: str) -> bool:
        """Whether an age lies in the range; an unknown age does not."""
        value = months(age)
        return value is not None and self.first <= value < self.last + 1

    def __str__(self) -> str:
        return f"{self.first // 12};{self.first % 12}-{self.last // 12};{self.last % 12}"
