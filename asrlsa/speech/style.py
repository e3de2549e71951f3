"""What was said or what was meant: the weights and the prompt of ``--style verbatim`` and ``--style fluent``.

Verbatim: where the package holds an adapter for the model that is asked for, it is merged into the model's weights
(`asrlsa.conversion.cached`: with numpy, in float32, once, kept in the cache), and the adapter's card settles the
prompt. Any other model gets what its own card says, else the filler-rich prompt of the language. Fluent: the weights as
they are, without that prompt.

The adapters lie in ``data/verbatim/NAME``, one folder for each model, as ``asrlsa finetune`` writes them. They are for
models that are asked for by name: a folder that the user gives is used as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from asrlsa.config import TranscribeOptions
from asrlsa.conversion import adapters
from asrlsa.conversion.cached import converted
from asrlsa.errors import ModelError, UsageError
from asrlsa.model_card import ModelCard, read_card
from asrlsa.model_weights import fingerprint
from asrlsa.models import Model, cache_dir, default_model, resolve_model
from asrlsa.speech.prompts import style_prompt

PACKAGED: Final = Path(__file__).parent / "data" / "verbatim"


@dataclass(frozen=True, slots=True)
class VerbatimAdapter:
    """An adapter that comes with asrlsa.

    Attributes:
        base: Name of the model that it is for.
        folder: Where it lies.
        card: Its card: data, licences, scores, limits, languages, strength.
    """

    base: str
    folder: Path
    card: ModelCard

    @property
    def megabytes(self) -> float:
        """Size of its weights in MB (10^6 bytes)."""
        return (self.folder / adapters.WEIGHTS).stat().st_size / 1e6


def packaged_adapters() -> dict[str, VerbatimAdapter]:
    """Return the adapters that come with asrlsa, by the name of the model that they are for."""
    if not PACKAGED.is_dir():
        return {}
    folders = sorted(folder for folder in PACKAGED.iterdir() if adapters.is_adapter(folder))
    return {f.name: VerbatimAdapter(f.name, f, read_card(f) or ModelCard(base=f.name)) for f in folders}


def find_model(options: TranscribeOptions, language: str | None, cache: Path | None = None) -> Model:
    """Find the model that is asked for, in the style that is asked for.

    Args:
        options: What the user wants.
        language: ISO 639-1 code of the language spoken, or None where it is to be heard.
        cache: asrlsa's folder for caches; None is `asrlsa.models.cache_dir`.

    Raises:
        ModelError: The model can't be found, or the adapter does not fit it.
        UsageError: A strength is given and there is no adapter that it could be about, or the model can't be fluent.
    """
    model = resolve_model(options.model or default_model(), offline=options.offline, cache=cache)
    if options.style == "fluent":
        if model.card is not None and model.card.verbatim:
            raise UsageError(
                f"model {model.name} was trained to write disfluencies, and the style can't undo that: leave --style "
                "fluent out, and give --both for the fluent text under each utterance"
            )
        return model
    packaged = packaged_adapters()
    adapter = packaged.get(model.name) if model.source != "directory" else None
    if adapter is not None and _knows(adapter.card, language):
        return _adapted(model, adapter, options.verbatim, cache if cache is not None else cache_dir())
    if options.verbatim is not None:
        there = f"there is one for {', '.join(packaged)}" if packaged else "this version of asrlsa has none"
        if adapter is not None:
            there = f"the one there is was trained on {', '.join(adapter.card.languages)}"
        what = model.name if adapter is None else f"{model.name} in the language {language}"
        raise UsageError(f"there is no verbatim adapter for {what} ({there}): leave --verbatim out")
    return model


def prompt_of(model: Model, options: TranscribeOptions) -> Callable[[str], str | None]:
    """Return what gives the prompt for an ISO 639-1 code, or None for no prompt."""
    card = model.card

    def prompt(code: str) -> str | None:
        if options.prompt is not None:
            return options.prompt or None
        if card is not None and (card.prompt is not None or card.verbatim) and not is_foreign(model, code):
            return card.prompt or None
        return style_prompt(code) if options.style == "verbatim" else None

    return prompt


def described_style(model: Model, options: TranscribeOptions) -> dict[str, str]:
    """Return style, adapter and prompt in words, for the comment of a transcript."""
    card = model.card
    words = {"style": options.style}
    if model.adapter:
        words["adapter"] = model.adapter
    if options.prompt is not None:
        words["prompt"] = "own" if options.prompt else "none"
    elif card is not None and (card.prompt is not None or card.verbatim):
        words["prompt"] = "card" if card.prompt else "none"
    else:
        words["prompt"] = "verbatim" if options.style == "verbatim" else "none"
    return words


def known_languages(model: Model) -> tuple[str, ...]:
    """Return the ISO 639-1 codes of the languages that the packaged adapter was trained on; none where any will do."""
    return model.card.languages if model.adapter and model.card is not None else ()


def is_foreign(model: Model, code: str) -> bool:
    """Say whether a packaged adapter is in the model and was not trained on a language (ISO 639-1; "" is any)."""
    return bool(model.adapter and code) and not _knows(model.card, code)


def language_notes(model: Model, code: str) -> list[str]:
    """Return a sentence on speech in a language that the adapter was not trained on; none where all is well."""
    if not is_foreign(model, code):
        return []
    return [
        f"the language heard is {code}, and the verbatim adapter was not trained on it: --language {code} transcribes "
        "without the adapter"
    ]


def _adapted(model: Model, adapter: VerbatimAdapter, strength: float | None, cache: Path) -> Model:
    strength = float(adapter.card.strength if strength is None else strength)
    try:
        folder = converted(adapter.folder, model.directory, cache, strength)
        merged = resolve_model(folder, offline=True, cache=cache)
    except ModelError as error:
        raise ModelError(
            f"the verbatim adapter for {model.name} can't be used: {error} (--style fluent does without it)"
        ) from None
    sum_ = fingerprint(adapter.folder / adapters.WEIGHTS, cache / "sums")
    words = f"verbatim-{adapter.base} (sha256 {sum_[:8]}) at {strength:g}"
    return replace(merged, name=model.name, source=model.source, adapter=words)


def _knows(card: ModelCard | None, language: str | None) -> bool:
    return card is None or language is None or not card.languages or language in card.languages
