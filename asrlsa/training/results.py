"""What is left when a run has ended: the adapter with its card, its scores, the page, the merged model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrlsa.model_card import ModelCard
from asrlsa.output import write_atomic
from asrlsa.scoring.metrics import METRICS
from asrlsa.scoring.statistics import RESAMPLES
from asrlsa.training import checkpoints, ranks
from asrlsa.training.adapter_folder import merge, save_adapter
from asrlsa.training.base import load_base
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.logs import Event
from asrlsa.training.methods import Attached, attach
from asrlsa.training.recipe import to_toml
from asrlsa.training.report import html_report, model_card
from asrlsa.training.run import Prepared
from asrlsa.training.scores import HEADLINE, DevScores
from asrlsa.training.trainer import BEST, VerbatimTrainer

RECIPE_NAME = "recipe.toml"
REPORT_NAME = "report.html"
SCORES_NAME = "scores.json"
README_NAME = "README.md"


@dataclass(frozen=True, slots=True)
class Kept:
    """The weights that a run keeps.

    Attributes:
        step: Step that they are from.
        scores: Scores on the dev recordings with intervals, or None.
    """

    step: int
    scores: DevScores | None


def keep_best(ready: Prepared, trainer: VerbatimTrainer, folder: Path) -> Kept:
    """Put the best weights into the model, or leave the last ones there, and score them with intervals.

    Every process must call it.
    """
    step = int(trainer.state.global_step)
    best = trainer.state.best_global_step
    sharded = trainer._is_sharded()
    if best is None or not (folder / BEST / checkpoints.WEIGHTS).exists():
        if sharded:  # the last weights are needed whole, on one process
            trainer.save_best()
        best = step
    elif best != step and not sharded:
        checkpoints.load_weights(folder / BEST, ready.attached.model)
    if ready.work.dev is None or (sharded and best != step):
        return Kept(best, trainer.scores if ready.work.dev is not None and best == step else None)
    scores, _ = ready.work.dev.evaluate(
        trainer.model_wrapped if sharded else _in_eval(trainer),
        ready.work.generation,
        device=trainer.args.device,
        dtype=ready.work.dtype,
        batch=ready.settings.train.eval_batch,
        share=trainer._share(),
        resamples=RESAMPLES,
        seed=ready.settings.train.seed,
    )
    return Kept(best, scores)


def _in_eval(trainer: VerbatimTrainer) -> Any:
    model: Any = trainer.model
    model.eval()
    return model


def save_results(
    ready: Prepared,
    trainer: VerbatimTrainer,
    kept: Kept,
    events: Sequence[Event],
    folder: Path,
    *,
    version: str,
    merged: bool,
) -> tuple[Path, Path | None]:
    """Write everything; the main process only.

    Args:
        ready: The run.
        trainer: Its trainer.
        kept: What `keep_best` gave.
        events: The log.
        folder: Where to.
        version: asrlsa's.
        merged: Merge the adapter into its base too.

    Returns:
        The folder of the adapter (of the model for ``full``), and that of the merged model or None.

    Raises:
        OutputError: Something can't be written.
    """
    settings = ready.settings
    attached = whole_model(ready, folder) if trainer._is_sharded() else ready.attached
    name = "model" if settings.method.method == "full" else "adapter"
    adapter = save_adapter(folder / name, attached, ready.base, card_of(ready, kept))
    whole = merge(adapter, folder / "merged", offline=settings.model.offline) if merged and name == "adapter" else None
    start = next((e for e in events if e.get("event") == "start"), ready.plan)
    end = next((e for e in reversed(events) if e.get("event") == "end"), {})
    before = next((e for e in events if e.get("event") == "eval" and e.get("step") == 0), None)
    recipe = to_toml(settings)
    learnt = ranks_of(adapter, settings.method.method)
    page = html_report(
        settings,
        events,
        before,
        kept.scores,
        best_step=kept.step,
        recipe=recipe,
        version=version,
        figures=[ranks.svg(learnt, f"ranks learnt by {settings.method.method}")] if learnt else (),
    )
    write_atomic(folder / REPORT_NAME, page)
    for place in (folder, adapter, *(() if whole is None else (whole,))):
        readme = model_card(
            settings,
            start,
            end,
            before,
            kept.scores,
            best_step=kept.step,
            folder=f"{folder.name}/{name}" if place == folder else f"{folder.name}/{place.name}",
            version=version,
            ranks=ranks.markdown(learnt),
        )
        write_atomic(place / README_NAME, readme)
    write_atomic(folder / SCORES_NAME, json.dumps(score_file(kept, before), indent=1, allow_nan=False) + "\n")
    return adapter, whole


def whole_model(ready: Prepared, folder: Path) -> Attached:
    """Build the model again on one process, with the best weights: that of the run is spread over all."""
    base = load_base(ready.settings.model.base, offline=ready.settings.model.offline)
    attached = attach(base.model, ready.settings.method, ready.steps)
    checkpoints.load_weights(folder / "checkpoints" / BEST, attached.model)
    return attached


def card_of(ready: Prepared, kept: Kept) -> ModelCard:
    """Return the card that goes with the weights: how they want to be used."""
    settings, plan = ready.settings, ready.plan
    data = settings.data
    scores = {} if kept.scores is None else kept.scores.scores
    languages = sorted({ready.work.data.main.window(i).language for i in range(len(ready.work.data.main))})
    prompt, is_alone = used_prompt(data)
    return ModelCard(
        style=data.target,
        verbatim=data.target == "verbatim" and is_alone,
        prompt=prompt,
        decoding={"timestamps": True} if data.timestamps == 1 else {},
        context_seconds=data.context_seconds if data.layout == "variable" else (),
        languages=tuple(languages),
        data={
            "utterances": int(plan["utterances"]),
            "hours": round(plan["speech_seconds_in_all"] / 3600, 4),
            "windows": int(plan["windows"]),
            "steps": kept.step,
        },
        scores={f"dev_{k}": round(v, 3) for k in HEADLINE if (v := scores.get(k)) is not None and math.isfinite(v)},
    )


def used_prompt(data: DataSettings) -> tuple[str | None, bool]:
    """Return the card's ``prompt``, and whether the model writes its style without a prompt.

    A model is used as it was trained and scored on dev: with the prompt where every training window had it, else
    without one. None leaves the text to `asrlsa transcribe`, which takes the same filler-rich one of the language.
    """
    if data.prompt_share < 1:
        return (None, True) if data.target == "verbatim" else ("", True)
    if data.prompt is not None:
        return data.prompt, not data.prompt
    return (None, False) if data.target == "verbatim" else ("", True)


def score_file(kept: Kept, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return scores of base and result with intervals, as JSON takes them."""

    def number(value: Any) -> Any:
        return round(value, 4) if isinstance(value, float) and math.isfinite(value) else None

    found: dict[str, Any] = {"step": kept.step, "base": {}, "scores": {}, "intervals": {}}
    if before is not None:
        found["base"] = {k: number(float(v)) for k, v in before.items() if k in METRICS and v is not None}
    if kept.scores is not None:
        found["scores"] = {k: number(v) for k, v in kept.scores.scores.items() if v is not None}
        found["intervals"] = {k: [number(b) for b in v] for k, v in kept.scores.intervals.items() if v is not None}
        found["loss"] = number(kept.scores.loss)
        found["groups"] = kept.scores.groups
    return found


def ranks_of(adapter: Path, method: str) -> list[ranks.Rank]:
    """Return the learnt ranks, for the methods that learn them."""
    return ranks.learnt_ranks(adapter) if method in ("s2lora", "adalora") else []


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys in which two recipes differ so that one can't go on where the other stopped."""
    found = []
    for table, values in after.items():
        for key, value in values.items():
            old = before.get(table, {}).get(key)
            if key not in _FREE and _plain(old) != _plain(value):
                found.append(f"{table}.{key} was {old!r}, is {value!r}")
    return found


# What may be another when a run is resumed: where it runs, and what it writes.
_FREE = {
    "log",
    "keep",
    "threads",
    "workers",
    "log_every",
    "eval_batch",
    "save_every",
    "offline",
    "cache",
    "sound_cache_gb",
    "device",
}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


__all__ = ["Kept", "card_of", "changed_settings", "keep_best", "save_results"]
