"""The check by the model itself: does a text say what is heard? A wrong bullet or file shows as many word errors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlsa.corpora.settings import PrepareSettings
from asrlsa.corpora.sound import stretches
from asrlsa.corpora.store import Store
from asrlsa.errors import MediaError, UsageError
from asrlsa.language.codes import whisper_code
from asrlsa.models import resolve_model
from asrlsa.scoring.align import align, count
from asrlsa.scoring.normalise import normalise, policy
from asrlsa.speech.prompts import style_prompt
from asrlsa.types import Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asrlsa.speech.decode import Recogniser

FEWEST_WORDS = 3  # a lone "um" that a model does not write says nothing about times or text
_BATCH = 4
_COMMIT_EVERY = 100

Progress = Callable[[str, int, int], None]


def check_matches(store: Store, settings: PrepareSettings, *, offline: bool, threads: int, progress: Progress) -> None:
    """Leave out the utterances in which a model hears other words.

    The rate is the lower one of two: against what was said and against what was meant, because an ordinary model leaves
    disfluencies out, which says nothing against a text. Utterances of less than three words are not looked at. The
    store keeps rates by recording, times, text and model.

    Raises:
        ModelError: The model can't be loaded.
        UsageError: The model knows only English and the corpus holds another language.
    """
    from asrlsa.speech.decode import Recogniser

    model = resolve_model(str(settings.check_model), offline=offline)
    recogniser: Recogniser | None = None
    total = store.base.execute("SELECT COUNT(*) FROM kept").fetchone()[0]
    done = 0
    for audio, rows in _by_recording(store):
        before, done = done, done + len(rows)
        rows = [row for row in rows if store.candidate(row[0]).words >= FEWEST_WORDS]
        keys = {number: _key(store, audio, number, start, end, model.fingerprint) for number, start, end in rows}
        todo = [row for row in rows if _errors(store, keys[row[0]]) is None]
        if todo:
            recogniser = recogniser or Recogniser(model, threads=threads)
            _hear(store, recogniser, audio, todo, keys)
        for number, _, _ in rows:
            errors = _errors(store, keys[number])
            if errors is not None and errors > settings.most_errors:
                what = (
                    f"word error rate {100 * errors:.0f} %; at most {100 * settings.most_errors:g} (model {model.name})"
                )
                store.drop_late(number, "does not match", what)
        if done // _COMMIT_EVERY != before // _COMMIT_EVERY:
            store.commit()
        progress("utterances checked by the model", done, total)
    store.commit()


def _by_recording(store: Store) -> Iterator[tuple[str, list[tuple[int, int, int]]]]:
    for (audio,) in store.base.execute("SELECT DISTINCT audio FROM kept ORDER BY audio"):
        yield audio, store.kept_of(audio)


def _key(store: Store, audio: str, number: int, start: int, end: int, fingerprint: str) -> str:
    text = store.candidate(number).verbatim
    state = store.recording_state(audio)
    parts = f"{audio}\n{state}\n{start}\n{end}\n{text}\n{fingerprint}"
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _errors(store: Store, key: str) -> float | None:
    row = store.base.execute("SELECT errors FROM heard WHERE key = ?", (key,)).fetchone()
    return float(row[0]) if row is not None else None


def _hear(
    store: Store, recogniser: Recogniser, audio: str, rows: list[tuple[int, int, int]], keys: dict[int, str]
) -> None:
    """Recognise stretches of one recording and note their error rates."""
    held: list[tuple[int, NDArray[np.float32]]] = []

    def settle() -> None:
        for number, text in _texts(store, recogniser, held):
            candidate = store.candidate(number)
            rate = min(
                error_rate(candidate.verbatim, text, candidate.language),
                error_rate(candidate.fluent, text, candidate.language) if candidate.fluent else float("inf"),
            )
            store.base.execute("INSERT OR REPLACE INTO heard VALUES (?, ?)", (keys[number], rate))
        held.clear()

    try:
        for index, samples in stretches(Path(audio), [Span(start, end) for _, start, end in rows]):
            held.append((rows[index][0], samples))
            if len(held) == _BATCH:
                settle()
    except MediaError:
        pass  # what can't be decoded was judged before; a row that is not heard is not judged here
    if held:
        settle()


def _texts(
    store: Store, recogniser: Recogniser, held: list[tuple[int, NDArray[np.float32]]]
) -> Iterator[tuple[int, str]]:
    from asrlsa.speech.decode import DecodingOptions

    languages = [whisper_code(store.candidate(number).language) for number, _ in held]
    foreign = next((code for code in languages if code != "en"), None)
    if foreign is not None and not recogniser.multilingual:
        raise UsageError(
            f"--check-model {recogniser.model.name} knows only English, and the corpus holds {foreign!r}: use base or "
            "larger, or keep one language with --languages"
        )
    encoded = recogniser.encode([recogniser.features(samples) for _, samples in held])
    options: Any = DecodingOptions()
    decoded = recogniser.decode(
        encoded,
        [max(1, len(samples) // 16) for _, samples in held],
        language=languages,
        prompt=[style_prompt(code) for code in languages],
        options=options,
    )
    for (number, _), result in zip(held, decoded, strict=True):
        yield number, " ".join(word.text for word in result.words)


def error_rate(reference: str, hypothesis: str, language: str) -> float:
    """Return word errors for each word of the reference, both normalised as for the verbatim score."""
    steps = policy("verbatim").steps
    ours = [form for word in reference.split() for form in normalise(word, steps, language)]
    theirs = [form for word in hypothesis.split() for form in normalise(word, steps, language)]
    return count(align(ours, theirs)).errors / max(1, len(ours))
