"""Measure verbatim models on sets of recordings: disfluencies kept and made up, and word error rates.

    python recipes/verbatim/evaluate.py DATA --corpus CORPUS -o RESULTS SYSTEM...
    python recipes/verbatim/evaluate.py DATA -o RESULTS stock=base prompted=base,prompt=yes ours=base,adapter=FOLDER
    python recipes/verbatim/evaluate.py DATA -o RESULTS --table-only

SYSTEM is ``label=MODEL[,adapter=FOLDER][,strength=0.8][,prompt=yes|no|card]``. MODEL is a name (``tiny.en``) or a
folder, and its weights are used as they are; with an adapter that is merged into them, ``adapter=packaged`` takes the
one that comes with asrlsa for that name. Strength is that of the adapter's card unless given. ``prompt=yes`` is the
filler-rich prompt of the language, ``card`` that of the card; without it, card where an adapter's card settles the
prompt, else no.

Groups, each pooled and by set; what is absent is said and left out:

- real: DATA/ami, DATA/phone, DATA/mfa_disfluency. Their references have no codes, so the same coder codes both sides.
- synthetic: the recordings of split test in DATA/synthetic and in CORPUS, with gold CHAT. Where texts come from
  meetings, DATA/synthetic leaves retracings unmarked, so a right one may count as made up there.
- samples: the samples of the repository, with gold CHAT, each file as one channel and without participants.csv.
- fluent: DATA/ljspeech, every 8th of DATA/adult_read, every 20th of split test of DATA/child_read. The references are
  what was to be read, so only the word error rate and what is made up count; words read twice count as errors.
- dev: split dev of CORPUS and of each ``--dev``. Choose checkpoints, strengths and prompts on these and on nothing
  else: a figure of the other groups that was looked at to choose with is no measurement any more.

Scores are those of ``asrlsa evaluate``: a disfluency counts where it stands at the same place of the aligned words,
with the same type. Shares have Wilson's 95 % intervals, which take events for independent; word error rates and F1 have
bootstrap intervals by recording. F1 is over disfluencies of all types, without pauses.

RESULTS/LABEL.json is written after each group, and a group that was measured with the same weights, strength, prompt,
recordings and references is not measured again; delete the file to measure after a change to the recogniser itself.
These files hold figures only. ``--keep`` keeps the transcripts in RESULTS/hypotheses/LABEL. ``--list-false TYPE`` and
``--list-missed TYPE`` show events that have no counterpart, where they stand and among which words; where transcripts
were not kept, listing, and keeping them later, transcribes again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrlsa.config import MAX_STRENGTH
from asrlsa.conversion import adapters
from asrlsa.conversion.cached import converted
from asrlsa.errors import AsrlsaError
from asrlsa.evaluate import Evaluation, evaluate
from asrlsa.language.codes import iso639_3, whisper_code
from asrlsa.model_card import ModelCard, read_card
from asrlsa.model_weights import fingerprint
from asrlsa.models import find_folder
from asrlsa.output import write_atomic
from asrlsa.scoring.samples import PlacedEvent, Sample
from asrlsa.scoring.sources import read_chat_sample
from asrlsa.speech.prompts import style_prompt
from asrlsa.speech.style import packaged_adapters

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measuring import TYPES, Rows, add_recording, add_rows, figure, figures, hear, judged, manifest_of, rows_of, wilson

GROUPS = ("real", "synthetic", "samples", "fluent", "dev")
AUDIO = (".flac", ".wav", ".mp3")
BESIDE = 3  # words shown on either side of an event
LOOP = re.compile(r"^@Comment:.*\bloop", re.MULTILINE)


@dataclass(frozen=True)
class System:
    """One system as the command line asks for it; ``adapter`` and ``strength`` are None and ``prompt`` "" for open."""

    label: str
    model: str
    adapter: str | None = None
    strength: float | None = None
    prompt: str = ""


def system_of(text: str) -> System:
    """Read ``label=MODEL[,key=value...]``, or end the program with what is wrong."""
    label, _, rest = text.partition("=")
    model, *options = rest.split(",")
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", label) or not model:
        sys.exit(f"{text}: write a system as label=MODEL, the label in letters, digits, '-', '_', '+' and '.'")
    given: dict[str, Any] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key not in ("adapter", "strength", "prompt") or not value or key in given:
            sys.exit(f"{text}: {option or 'an empty option'} is not adapter=FOLDER, strength=0.8 or prompt=yes|no|card")
        given[key] = value
    if given.get("prompt", "no") not in ("yes", "no", "card"):
        sys.exit(f"{text}: the prompt is yes, no or card")
    if "strength" in given:
        try:
            given["strength"] = float(given["strength"])
        except ValueError:
            given["strength"] = -1.0
        if "adapter" not in given or not 0 <= given["strength"] <= MAX_STRENGTH:
            sys.exit(f"{text}: strength is a number from 0 to {MAX_STRENGTH:g}, and only an adapter has one")
    return System(label, model, **given)


@dataclass(frozen=True)
class Ready:
    """A system whose files were found. ``settings`` is what its figures depend on besides recordings."""

    label: str
    base: Path
    adapter: Path | None
    strength: float
    prompt: str
    settings: dict[str, Any]

    def model(self, cache: Path) -> Path:
        """Return the folder of the weights, merged on first use."""
        return converted(self.adapter, self.base, cache, self.strength) if self.adapter else self.base


def prepared(system: System, language: str) -> Ready:
    """Find a system's files and settle what the command line leaves open."""
    base = find_folder(system.model, offline=True)
    adapter = None
    if system.adapter == "packaged":
        packaged = packaged_adapters()
        if system.model not in packaged:
            there = f"there is one for {', '.join(packaged)}" if packaged else "this version of asrlsa has none"
            sys.exit(f"{system.label}: no adapter comes with asrlsa for {system.model} ({there})")
        adapter = packaged[system.model].folder
    elif system.adapter:
        adapter = Path(system.adapter).expanduser()
        if not adapters.is_adapter(adapter):
            sys.exit(f"{system.label}: {adapter} is no adapter folder")
    card = read_card(adapter or base)
    prompt = system.prompt or ("card" if adapter and card is not None and card.prompt is not None else "no")
    if prompt == "card" and (card is None or card.prompt is None):
        sys.exit(f"{system.label}: prompt=card, and the card of {adapter or system.model} has no prompt")
    text = {"no": "", "yes": style_prompt(whisper_code(language)), "card": card.prompt if card else ""}[prompt]
    if text is None:
        sys.exit(f"{system.label}: prompt=yes, and there is no prompt for {language}")
    if system.strength is not None:
        strength = system.strength
    else:
        strength = card.strength if adapter and card is not None else 1.0
    settings = {
        "model": Path(system.model).name,  # no more of the path: results are shown to others
        "base": weights_sum(base),
        "adapter": weights_sum(adapter) if adapter else None,
        "strength": strength if adapter else None,
        "prompt": text,
        "decoding": decoding_of(card),
        "language": language,
    }
    return Ready(system.label, base, adapter, strength, text, settings)


def weights_sum(folder: Path) -> str:
    """Return the sum of the weights of a model of either format, or of an adapter."""
    files = [folder / "model.bin"] if (folder / "model.bin").exists() else sorted(folder.glob("*.safetensors"))
    sums = [fingerprint(file) for file in files]
    return sums[0] if len(sums) == 1 else hashlib.sha256(" ".join(sums).encode()).hexdigest()


def decoding_of(card: ModelCard | None) -> dict[str, Any]:
    """Return what a card changes in decoding; its scores and notes change no transcript."""
    if card is None:
        return {}
    tokens = {} if card.suppress_tokens is None else {"suppress_tokens": list(card.suppress_tokens)}
    return {**card.decoding, **tokens}


class Sets:
    """The recordings under ``work/audio/GROUP/SET`` and their references under ``work/references/GROUP/SET``.

    Attributes:
        names: Names of the recordings by group and set.
        sums: A sum over recordings and references of each group.
    """

    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        self.work, self.language, self.every = work, arguments.language, arguments.every
        self.names: dict[str, dict[str, list[str]]] = {}
        self.sums: dict[str, str] = {}
        data, corpus = arguments.data, arguments.corpus
        for group in arguments.groups:
            if group == "real":
                for name in ("ami", "phone", "mfa_disfluency"):
                    self._add(group, name, data / name, chat=False)
            elif group == "synthetic":
                self._add(group, "synthetic", data / "synthetic", split="test")
                self._add(group, "corpus", corpus, split="test")
            elif group == "samples":
                self._add_samples(arguments.samples)
            elif group == "fluent":
                self._add(group, "ljspeech", data / "ljspeech", chat=False)
                self._add(group, "adult_read", data / "adult_read", chat=False, step=8)
                self._add(group, "child_read", data / "child_read", chat=False, split="test", step=20)
            else:
                self._add(group, "corpus", corpus, split="dev")
                for number, folder in enumerate(arguments.dev):
                    self._add(group, f"dev{number + 1}", folder, split="dev")
            if group in self.names:
                self.sums[group] = self._sum(group)
            else:
                say(f"{group}: no recording, left out")

    def audio(self, group: str, name: str = "") -> Path:
        """Folder of the recordings of a group, or of one set."""
        return self.work / "audio" / group / name

    def references(self, group: str, name: str = "") -> Path:
        """Folder of the references."""
        return self.work / "references" / group / name

    def _made(self, group: str, name: str) -> tuple[Path, Path]:
        folders = self.audio(group, name), self.references(group, name)
        for folder in folders:
            folder.mkdir(parents=True)
        return folders

    def _add(
        self, group: str, name: str, data: Path | None, *, split: str = "", chat: bool = True, step: int = 1
    ) -> None:
        """Add every ``step``-th recording of a manifest; without ``chat`` the coder codes the reference."""
        if data is None:
            say(f"{group}: {name} needs --corpus, left out")
            return
        manifest = manifest_of(data)
        if not manifest.exists():
            say(f"{group}: {manifest} is not there, left out")
            return
        rows: Rows = rows_of(manifest, split, default="dev" if split == "dev" else "")
        if not chat:
            for row in (row for found in rows.values() for row in found):
                row.pop("chat", None)
        chosen = {audio: rows[audio] for audio in sorted(rows)[::step][:: self.every]}
        if not chosen:
            say(f"{group}: {manifest} has nothing of split {split or 'any'}, left out")
            return
        lost = next((audio for audio in chosen if not audio.exists()), None)
        if lost is not None:
            sys.exit(f"{lost}: {manifest} names this recording, and it is not there")
        links = add_rows(chosen, *self._made(group, name), self.language)
        self.names.setdefault(group, {})[name] = [link.stem for link in links]

    def _add_samples(self, folder: Path) -> None:
        """Add recordings that lie beside their gold transcripts."""
        found = sorted(a for a in folder.glob("*") if a.suffix in AUDIO and a.with_suffix(".cha").exists())
        if not found:
            say(f"samples: no recording with a .cha file in {folder}, left out")
            return
        folders = self._made("samples", "samples")
        chosen = found[:: self.every]
        links = [add_recording(a, a.with_suffix(".cha").read_text(encoding="utf-8"), *folders) for a in chosen]
        self.names.setdefault("samples", {})["samples"] = [link.stem for link in links]

    def _sum(self, group: str) -> str:
        """Return a sum over names and sizes of recordings, and over references."""
        digest = hashlib.sha256()
        for link in sorted(self.audio(group).rglob("*")):
            if link.is_file():
                digest.update(f"{link.name} {link.stat().st_size}\n".encode())
        for path in sorted(self.references(group).rglob("*.cha")):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


class Results:
    """The figures of one system in ``RESULTS/LABEL.json``."""

    def __init__(self, folder: Path, system: Ready) -> None:
        self.path, self.system = folder / f"{system.label}.json", system
        before = read_results(self.path) if self.path.exists() else {}
        same = before.get("settings") == system.settings
        self.groups: dict[str, Any] = before["groups"] if same else {}

    def has(self, group: str, sum_: str) -> bool:
        """Whether a group has been measured with these recordings and references."""
        return bool(self.groups.get(group, {}).get("sum") == sum_)

    def add(self, group: str, found: dict[str, Any]) -> None:
        """Keep the figures of a group, and write them."""
        self.groups[group] = found
        order = {name: self.groups[name] for name in GROUPS if name in self.groups}
        held = {"label": self.system.label, "settings": self.system.settings, "groups": order}
        write_atomic(self.path, json.dumps(held, indent=1, ensure_ascii=False) + "\n")


def read_results(path: Path) -> dict[str, Any]:
    """Read the figures of a system."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found["groups"], dict) and isinstance(found["settings"], dict):
            return dict(found)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    sys.exit(f"{path}: is no result of this program; move it away")


def measured(sets: Sets, group: str, hypotheses: Path) -> dict[str, Any]:
    """Return the figures of a group and of each of its sets."""
    names = sets.names[group]
    found: dict[str, Any] = {"sum": sets.sums[group], "recordings": {name: len(names[name]) for name in names}}
    found |= scores(hypotheses, sets.references(group))
    found["sets"] = {name: scores(hypotheses / name, sets.references(group, name)) for name in names}
    return found


def scores(hypotheses: Path, references: Path) -> dict[str, Any]:
    """Return the figures of one folder of transcripts."""
    found: Evaluation = evaluate(hypotheses, references)
    texts = [path.read_text(encoding="utf-8") for path in hypotheses.rglob("*.cha")]
    f1 = figure(found, "disfluency_f1")
    return {
        "words": sum(file.counts["verbatim"].reference for file in found.files),
        **figures(found, TYPES),
        **({"disfluency_f1": f1} if f1 else {}),
        "loop_comments": sum(len(LOOP.findall(text)) for text in texts),
    }


def transcribed(system: Ready, sets: Sets, group: str, kept: Path | None, threads: int) -> Path:
    """Transcribe the recordings of a group, and return the folder that holds these transcripts and no others.

    Transcripts that were kept and are still right are not made again.
    """
    work = sets.work / "hypotheses"
    out = work / group if kept is None else kept / group
    model = system.model(sets.work / "cache")
    # The folders below hold what these recordings are; a transcript that a person has edited is no measurement.
    hear([sets.audio(group)], out, model, system.settings["language"], system.prompt, threads, overwrite=True)
    here = work / f"{group}-now"
    for name, recordings in sets.names[group].items():
        (here / name).mkdir(parents=True)
        for recording in recordings:
            file = out / name / f"{recording}.cha"
            if not file.exists():
                sys.exit(f"{group}: {recording} was not transcribed; it may stand in two sets, or be in use")
            shutil.copyfile(file, here / name / file.name)
    return here


def events_without_match(reference: Sample, hypothesis: Sample, kinds: Sequence[str], missed: bool) -> Iterator[str]:
    """Describe each event of some kinds that one side has and the other has not there with the same type.

    Args:
        reference: Reference.
        hypothesis: Hypothesis.
        kinds: Kinds of events.
        missed: List those of the reference; else those of the hypothesis.
    """
    found = judged(reference, hypothesis)
    side, verdicts = (reference, found.reference) if missed else (hypothesis, found.hypothesis)
    for event, verdict in zip(side.events, verdicts, strict=True):
        if event.kind in kinds and verdict in ("missed", "extra", "type"):
            yield described(side, event) + (" (another type there)" if verdict == "type" else "")


def described(sample: Sample, event: PlacedEvent) -> str:
    """Return time and words of an event; ``~`` marks the begin of its utterance where words have no times."""
    said = sample.words[event.start : event.end]
    before = sample.words[max(0, event.start - BESIDE) : event.start]
    after = sample.words[event.end : event.end + BESIDE]
    start = next((word.start for word in said if word.start is not None), None)
    about = "" if start is not None else "~"
    if start is None:
        start = sample.utterances[event.utterance].start
    time_ = "?" if start is None else f"{about}{start / 1000:.2f}"
    parts = [" ".join(w.verbatim for w in before), f"[{' '.join(w.verbatim for w in said)}]"]
    parts.append(" ".join(w.verbatim for w in after))
    return f"{time_} s  {' '.join(part for part in parts if part)}"


def listing(label: str, sets: Sets, group: str, hypotheses: Path, kind: str, missed: bool) -> Iterator[str]:
    """Yield a line for each written event that was not said, or for each said one that was not written."""
    yield f"\n{label}, {group}: {kind} {'said and not written' if missed else 'written and not said'}"
    for name, recordings in sets.names[group].items():
        for recording in recordings:
            reference = read_chat_sample(sets.references(group, name) / f"{recording}.cha", recording)
            hypothesis = read_chat_sample(hypotheses / name / f"{recording}.cha", recording)
            for line in events_without_match(reference, hypothesis, TYPES[kind], missed):
                yield f"{recording}  {line}"


def tables(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield what the systems are, and a Markdown table for each group that one of them was measured on."""
    for result in found:
        yield f"- {result['label']}: {in_words(result['settings'])}"
    for group in GROUPS:
        rows = [result for result in found if group in result["groups"]]
        if not rows:
            continue
        first = rows[0]["groups"][group]
        counts = first["recordings"]
        parts = f" ({', '.join(f'{name} {count}' for name, count in counts.items())})" if len(counts) > 1 else ""
        yield ""
        total = sum(counts.values())
        yield f"**{group}**: {total} recording{'s' * (total != 1)}{parts}, {first['words']} words"
        yield ""
        yield from fluent_table(rows) if group == "fluent" else disfluent_table(rows, group)
        others = [r["label"] for r in rows if r["groups"][group]["sum"] != first["sum"]]
        if others:
            yield ""
            yield f"Not comparable, measured with other recordings or references: {', '.join(others)}."


def in_words(settings: dict[str, Any]) -> str:
    """Describe a system."""
    parts = [settings["model"]]
    if settings["adapter"]:
        parts.append(f"adapter {settings['adapter'][:8]} at {settings['strength']:g}")
    return ", ".join([*parts, "prompt" if settings["prompt"] else "no prompt"])


def disfluent_table(rows: Sequence[dict[str, Any]], group: str) -> Iterator[str]:
    """Yield the lines of a table of disfluencies."""
    heads = [f"{name}: recall, precision" if n == 0 else name for n, name in enumerate(TYPES)]
    yield f"| system | {' | '.join(heads)} | F1 | verbatim WER | fluent WER |"
    yield "|-|" + "-|" * len(TYPES) + "-:|-:|-:|"
    for result in rows:
        found = result["groups"][group]
        cells = [result["label"], *(shares(*found["events"][name]) for name in TYPES)]
        cells += [rate(found, name) for name in ("disfluency_f1", "wer", "fluent_wer")]
        yield f"| {' | '.join(cells)} |"


def fluent_table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table of what fluent speech loses; each system against the first stock one of its base."""
    yield "| system | WER | points from stock | false fillers in 100 words |"
    yield "|-|-:|-:|-:|"
    for result in rows:
        found, stock = result["groups"]["fluent"], stock_of(result, rows)
        change = ""
        if stock is not None and stock is not result and "wer" in found and "wer" in stock["groups"]["fluent"]:
            change = f"{found['wer']['value'] - stock['groups']['fluent']['wer']['value']:+.1f}"
        matched, _, written = found["events"]["fillers"]
        false = f"{100 * (written - matched) / found['words']:.2f} ({written - matched})" if found["words"] else ""
        yield f"| {result['label']} | {rate(found, 'wer')} | {change} | {false} |"


def stock_of(result: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the first system of the same base, recordings and references that has neither adapter nor prompt."""

    def comparable(row: dict[str, Any]) -> bool:
        settings, sum_ = row["settings"], row["groups"]["fluent"]["sum"]
        plain = not settings["adapter"] and not settings["prompt"]
        return plain and (settings["base"], sum_) == (result["settings"]["base"], result["groups"]["fluent"]["sum"])

    return next((row for row in rows if comparable(row)), None)


def shares(matched: int, said: int, written: int) -> str:
    """Return recall and precision with their counts and intervals."""
    return f"{share(matched, said) if said else 'none said'}, {share(matched, written, ' written')}"


def share(part: int, whole: int, what: str = "") -> str:
    """Return a share with its counts and interval."""
    if not whole:
        return f"none{what}"
    low, high = wilson(part, whole)
    return f"{part} of {whole}{what} ({100 * part / whole:.0f} %, {100 * low:.0f}–{100 * high:.0f})"


def rate(found: dict[str, Any], name: str) -> str:
    """Return a score with its interval."""
    if name not in found:
        return ""
    ends = found[name]["interval"]
    return f"{found[name]['value']:.1f}" + (f" ({ends[0]:.1f}–{ends[1]:.1f})" if ends else "")


def say(text: str) -> None:
    """Say what is going on, apart from the tables."""
    print(text, file=sys.stderr, flush=True)


def parsed(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with ami, phone, synthetic, ...")
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help="label=MODEL[,adapter=...][,strength=...]...")
    parser.add_argument("--corpus", type=Path, help="folder that corpus.py made")
    parser.add_argument(
        "--samples", type=Path, default=Path(__file__).resolve().parents[2] / "samples", help="recordings with .cha"
    )
    parser.add_argument("--dev", type=Path, action="append", default=[], help="more dev data (may be repeated)")
    parser.add_argument("--groups", default=",".join(GROUPS), help=f"those wanted, of {','.join(GROUPS)}")
    parser.add_argument("--every", type=int, default=1, help="take every Nth recording of each set, for a quick look")
    parser.add_argument("--language", default="eng", help="code of the language (eng)")
    parser.add_argument("--threads", type=int, default=0, help="of the recogniser; 0 takes every core")
    parser.add_argument("--keep", action="store_true", help="keep the transcripts in RESULTS/hypotheses")
    parser.add_argument("--list-false", choices=TYPES, metavar="TYPE", help=f"one of {', '.join(TYPES)}")
    parser.add_argument("--list-missed", choices=TYPES, metavar="TYPE", help="the same")
    parser.add_argument("--table-only", action="store_true", help="print what is there, of SYSTEMs (labels) or of all")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="RESULTS", help="folder for the figures")
    arguments = parser.parse_intermixed_args(given)  # options may stand between systems
    wanted = arguments.groups.split(",")
    if not set(wanted) <= set(GROUPS):
        parser.error(f"--groups takes names of {','.join(GROUPS)}")
    arguments.groups = [name for name in GROUPS if name in wanted]
    if arguments.every < 1:
        parser.error("--every is 1 or more")
    if not arguments.systems and not arguments.table_only:
        parser.error("name a system to measure, such as stock=base")
    if arguments.table_only and (arguments.list_false or arguments.list_missed):
        parser.error("--table-only has no transcripts to list events of")
    try:
        arguments.language = iso639_3(arguments.language.lower())
        whisper_code(arguments.language)
    except KeyError:
        parser.error(f"--language {arguments.language}: Whisper does not know it")
    return arguments


def there(out: Path, systems: Sequence[str], groups: Sequence[str]) -> list[dict[str, Any]]:
    """Read the results of systems, or all that there are."""
    labels = [text.partition("=")[0] for text in systems] or sorted(path.stem for path in out.glob("*.json"))
    lost = [label for label in labels if not (out / f"{label}.json").exists()]
    if lost or not labels:
        sys.exit(f"{out}: holds no result{' of ' + ', '.join(lost) if lost else ''}")
    found = [read_results(out / f"{label}.json") for label in labels]
    return [{**f, "groups": {name: f["groups"][name] for name in groups if name in f["groups"]}} for f in found]


def measure(arguments: argparse.Namespace, systems: Sequence[Ready], work: Path) -> None:
    """Measure what is missing, and list events."""
    sets = Sets(arguments, work)
    if not sets.names:
        sys.exit("there is nothing to measure on")
    arguments.groups = list(sets.names)
    lists = [(kind, missed) for kind, missed in ((arguments.list_false, False), (arguments.list_missed, True)) if kind]
    for system in systems:
        results = Results(arguments.out, system)
        kept = arguments.out / "hypotheses" / system.label
        for group in sets.names:
            known = results.has(group, sets.sums[group])
            if known and not lists and not arguments.keep:
                say(f"{system.label}: {group} is there already")
                continue
            begin = time.perf_counter()
            keep = kept if arguments.keep or (lists and kept.exists()) else None
            hypotheses = transcribed(system, sets, group, keep, arguments.threads)
            seconds = round(time.perf_counter() - begin, 1)
            if not known:
                results.add(group, {**measured(sets, group, hypotheses), "seconds": seconds})
                say(f"{system.label}: {group} took {seconds:.0f} s")
            for kind, missed in lists:
                print("\n".join(listing(system.label, sets, group, hypotheses, kind, missed)), flush=True)
            shutil.rmtree(work / "hypotheses", ignore_errors=True)
        shutil.rmtree(work / "cache", ignore_errors=True)  # a merged model is as large as its base


def main(given: Sequence[str] | None = None) -> None:
    """Measure what is missing, and print the tables."""
    arguments = parsed(given)
    if not arguments.table_only:
        systems = [system_of(text) for text in arguments.systems]
        labels = [system.label for system in systems]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice:
            sys.exit(f"two systems are called {twice}")
        try:
            ready = [prepared(system, arguments.language) for system in systems]
            arguments.out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory() as folder:
                measure(arguments, ready, Path(folder))
        except (AsrlsaError, OSError) as error:
            sys.exit(f"evaluate.py: {error}")
        print()
    print("\n".join(tables(there(arguments.out, arguments.systems, arguments.groups))))


if __name__ == "__main__":
    main()
