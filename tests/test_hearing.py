"""Which weights hear which recording: the adapter's, or, in a language that it was not trained on, the model's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asrlsa import hearing
from asrlsa.config import TranscribeOptions
from asrlsa.errors import MediaError, ModelError
from asrlsa.hearing import hear
from asrlsa.model_card import ModelCard
from asrlsa.models import Model
from asrlsa.speech.recognise import Recognised, RecogniseOptions, Source

PLAIN = Model(Path("m"), "m", True, "cache", "0" * 64, None)
ADAPTED = replace(PLAIN, card=ModelCard(verbatim=True, languages=("en",)), adapter="verbatim-m")


class Weights:
    """Stands for a loaded model."""

    multilingual, device = True, "cpu"

    def __init__(self, model: Model) -> None:
        self.model = model


class Stages:
    """Stands for `Recognition`: each source's key is the language that it is heard to be in."""

    runs: list[tuple[str, RecogniseOptions, list[str]]]

    def __init__(self, weights: Weights, options: RecogniseOptions, **calls) -> None:  # type: ignore[no-untyped-def]
        self.weights, self.options, self.calls = weights, options, calls

    def run(self, sources) -> None:  # type: ignore[no-untyped-def]
        sources = list(sources)
        Stages.runs.append((self.weights.model.adapter, self.options, [s.key for s in sources]))
        for source in sources:
            if source.key == "broken":
                self.calls["on_failed"](source, MediaError("broken"))
                continue
            self.calls["on_finished"](Recognised(source, language=self.options.language or source.key))


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    Stages.runs = []
    monkeypatch.setattr(hearing, "load_recogniser", lambda model, options: Weights(model))
    monkeypatch.setattr(hearing, "recognition_class", lambda options: Stages)
    monkeypatch.setattr(hearing, "find_model", lambda options, language: PLAIN if language != "en" else ADAPTED)


def heard(model: Model, keys: list[str], **options: object) -> dict[str, tuple[str, list[str]]]:
    found: dict[str, tuple[str, list[str]]] = {}
    failed: list[str] = []
    hear(
        model,
        TranscribeOptions(**options),  # type: ignore[arg-type]
        [Source(key, ()) for key in keys],
        on_finished=lambda result, by: found.update({result.source.key: (by.adapter, result.notes)}),
        on_failed=lambda source, error: failed.append(source.key),
    )
    assert failed == [key for key in keys if key == "broken"]
    return found


def test_recordings_in_other_languages_are_heard_again_without_the_adapter():
    found = heard(ADAPTED, ["en", "es", "broken", "de", "es"], verbatim=0.6)
    assert found["en"] == ("verbatim-m", [])
    for code in ("es", "de"):
        adapter, (note,) = found[code]
        assert adapter == ""
        assert f"the language heard is {code}" in note
    first, *later = Stages.runs
    assert first[0] == "verbatim-m"
    assert first[1].language is None
    assert first[1].known_languages == ("en",)
    # One more run a language, with that language settled and any language known.
    assert [(adapter, o.language, o.known_languages, keys) for adapter, o, keys in later] == [
        ("", "es", (), ["es", "es"]),
        ("", "de", (), ["de"]),
    ]


@pytest.mark.parametrize("model", [PLAIN, replace(ADAPTED, adapter="")])  # stock, or of the user's own training
def test_other_weights_hear_every_language(model):
    assert heard(model, ["en", "es"]) == {"en": ("", []), "es": ("", [])}
    assert len(Stages.runs) == 1


def test_what_is_put_off_is_said_and_asked_for_again():
    put_off: list[str] = []
    asked: list[list[str]] = []

    def again(sources: list[Source]) -> list[Source]:
        asked.append([source.key for source in sources])
        return sources[:1]

    found: list[str] = []
    hear(
        ADAPTED,
        TranscribeOptions(),
        [Source(key, ()) for key in ("es", "en", "es")],
        on_finished=lambda result, by: found.append(result.source.key),
        on_failed=lambda source, error: None,
        on_put_off=lambda source: put_off.append(source.key),
        again=again,
    )
    assert (put_off, asked, found) == (["es", "es"], [["es", "es"]], ["en", "es"])


def test_where_the_model_can_not_be_had_without_the_adapter_its_recordings_fail(monkeypatch: pytest.MonkeyPatch):
    def gone(options: TranscribeOptions, language: str) -> Model:
        if language == "es":
            raise ModelError("gone")
        return PLAIN

    monkeypatch.setattr(hearing, "find_model", gone)
    found: list[str] = []
    failed: list[tuple[str, str]] = []
    hear(
        ADAPTED,
        TranscribeOptions(),
        [Source(key, ()) for key in ("es", "de", "en")],
        on_finished=lambda result, by: found.append(result.source.key),
        on_failed=lambda source, error: failed.append((source.key, str(error))),
    )
    assert found == ["en", "de"]
    assert failed == [("es", "gone")]


def test_a_language_that_is_given_settles_it():
    assert heard(ADAPTED, ["es"], language="en") == {"es": ("verbatim-m", [])}
    assert len(Stages.runs) == 1
