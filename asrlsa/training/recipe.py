"""A recipe: the settings of ``asrlsa finetune`` from a TOML file and ``--set table.key=value``."""

from __future__ import annotations

import ast
import dataclasses
import json
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from asrlsa.errors import ConfigError
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.methods import MethodSettings
from asrlsa.training.settings import (
    TABLES,
    DistilSettings,
    FileSettings,
    FinetuneSettings,
    LossSettings,
    ModelSettings,
    TrainSettings,
    nearest,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

_CLASSES: Final[dict[str, tuple[tuple[str, Any], ...]]] = {
    "model": (("model", ModelSettings),),
    "data": (("files", FileSettings), ("data", DataSettings)),
    "method": (("method", MethodSettings),),
    "loss": (("loss", LossSettings),),
    "distil": (("distil", DistilSettings),),
    "train": (("train", TrainSettings),),
}
DISTIL_LR: Final = 1e-4  # Distil-Whisper's
_PATHS: Final = {"data": ("train", "dev", "cache"), "loss": ("fluent",), "train": ("deepspeed",), "model": ("adapter",)}


def load_settings(
    recipe: str | Path | None = None, changes: Iterable[str] = (), given: Mapping[str, Mapping[str, Any]] | None = None
) -> FinetuneSettings:
    """Read a recipe.

    Args:
        recipe: A TOML file; None takes every default.
        changes: ``table.key=value`` each; the value is read as TOML, and as text where it is none.
        given: Values by table and key that flags set; they come last.

    Raises:
        ConfigError: The file is no TOML; a table or key is unknown (the message has the nearest name); a value is
            wrong.
    """
    tables: dict[str, dict[str, Any]] = {name: {} for name in TABLES}
    if recipe is not None:
        for name, values in _read(Path(recipe)).items():
            for key, value in _absolute(name, values, Path(recipe).parent).items():
                _put(tables, name, key, value, f"{recipe}: ")
    for change in changes:
        path, equals, text = change.partition("=")
        name, dot, key = path.strip().partition(".")
        if not (equals and dot and key):
            raise ConfigError(f"--set {change!r}: give table.key=value, such as train.steps=100")
        values = _absolute(name, {key: _value(text.strip())}, Path())
        _put(tables, name, key, values[key], f"--set {change}: ")
    for name, chosen in (given or {}).items():
        for key, value in _absolute(name, chosen, Path()).items():
            _put(tables, name, key, value, "")
    # A layout follows from the context, and the other way round, where only one of them is given.
    if tables["train"].get("context") == "dynamic":
        tables["data"].setdefault("layout", "variable")
    elif tables["data"].get("layout") == "variable":
        tables["train"].setdefault("context", "dynamic")
    if tables["distil"].get("decoder_layers"):
        tables["train"].setdefault("parts", "decoder")
        tables["train"].setdefault("lr", DISTIL_LR)
        tables["method"].setdefault("method", "full")
    made = {}
    for name, classes in _CLASSES.items():
        for attribute, kind in classes:
            made[attribute] = kind(**{k: v for k, v in tables[name].items() if k in _fields(kind)})
    return FinetuneSettings(**made)


def to_toml(settings: FinetuneSettings) -> str:
    """Return settings as a recipe, every key of every table; keys without a value are left out."""
    lines = []
    for name, values in settings.tables().items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(v) for v in value)}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _read(recipe: Path) -> dict[str, dict[str, Any]]:
    try:
        found = tomllib.loads(recipe.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{recipe}: no such recipe") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{recipe}: can't be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{recipe}: is not valid TOML ({error})") from None
    for name, values in found.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{recipe}: {name!r} stands outside a table; put it under one of {', '.join(TABLES)}")
    return dict(found)


def _absolute(table: str, values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Take relative paths from a folder: the recipe's own, or the one that a command is given in."""
    found = dict(values)
    for key in _PATHS.get(table, ()):
        value = found.get(key)
        if isinstance(value, str) and value:
            found[key] = str((folder / Path(value).expanduser()).absolute())
    if table == "model" and isinstance(base := found.get("base"), str) and base.startswith(("./", "../", "~")):
        found["base"] = str((folder / Path(base).expanduser()).absolute())
    return found


def _put(tables: dict[str, dict[str, Any]], name: str, key: str, value: Any, at: str) -> None:
    nearest("table", name, TABLES, at)
    known = {k: t for _, kind in _CLASSES[name] for k, t in _fields(kind).items()}
    elsewhere = [other for other in TABLES if other != name for _, kind in _CLASSES[other] if key in _fields(kind)]
    if key not in known and elsewhere:
        raise ConfigError(f"{at}{name}.{key} is unknown; did you mean {elsewhere[0]}.{key}?")
    nearest(f"key {name}.", key, known, at)
    tables[name][key] = _typed(f"{at}{name}.{key}", value, known[key])


def _fields(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def _value(text: str) -> Any:
    """Read a value from the command line: TOML or Python where it is either, else text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _typed(name: str, value: Any, wanted: Any) -> Any:
    """Return the value as the type that its field has."""
    choices = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    if value is None or value == "none":
        if type(None) in choices:
            return None
        if value is None:
            raise ConfigError(f"{name} needs a value")
    for choice in choices:
        if typing.get_origin(choice) is tuple:
            inner = [a for a in typing.get_args(choice) if a is not Ellipsis]
            listed = value if isinstance(value, list | tuple) else [v for v in str(value).split(",") if v]
            if Ellipsis not in typing.get_args(choice) and len(listed) != len(inner):
                raise ConfigError(f"{name} {value!r}: give {len(inner)} values")
            return tuple(
                _typed(name, _value(v) if isinstance(v, str) and inner[0] is not str else v, inner[0]) for v in listed
            )
        if choice is bool and isinstance(value, bool):
            return value
        if choice is int and isinstance(value, int) and not isinstance(value, bool):
            return value
        if choice is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if choice is str and isinstance(value, str):
            return value
    if choices == (str,) and isinstance(value, int | float):
        return str(value)
    kinds = " or ".join(_KINDS.get(c, str(c)) for c in choices if c is not type(None))
    raise ConfigError(f"{name} {value!r} is not possible: give {kinds}")


_KINDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
