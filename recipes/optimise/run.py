"""The optimisation study: what each way of making Whisper smaller or faster gains here, and what it costs.

    python recipes/optimise/run.py -o optimise-run                       every row whose result is missing
    python recipes/optimise/run.py -o optimise-run --rows int8 winograd  some rows
    python recipes/optimise/run.py --list                                the rows, and which of them have a result
    python recipes/optimise/run.py --table                               results to the table of docs/optimise.md

A row is measured against its baseline (``float32`` in CTranslate2, or a like one in transformers) in the same run: both
stand loaded, each in a process of its own, and take turns, three times each; their medians make the speed. On a CPU
with one thread the time is the CPU time of the process, so that other work on the machine does not count. Speed counts
encoder and decoder (and word times, in CTranslate2's rows) on some of the windows, memory is the peak of the row's own
process over all windows, disk is the model's folder. The texts of all windows are scored by ``asrlsa evaluate``.

Rows that need another model make it first: ``asrlsa quantize``, pruning, ``asrlsa finetune`` with recovery.toml or
distil.toml on the data of --train.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asrlsa.recommended import machine_name
from asrlsa.speech.memory import peak_memory

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
DOC = HERE.parents[1] / "docs" / "optimise.md"
BEGIN, END = "<!-- table: recipes/optimise/run.py --table -->", "<!-- end of the table -->"
SHARED = Path("../shared/data")
SETS = ("ami", "phone", "ljspeech")
RATE = 16_000  # Hz
MARGIN = 0.2  # s around the first and last utterance of a window
OVERLAP = 0.3  # s that two windows may share where speakers overlap; without it, lively talk has no place to cut
REPEATS = 3
LOOP = re.compile(r"(\S.{0,60}?)(?:\s?\1){7,}")  # a piece of text that is written eight times running
HEAD_WINDOWS = 8  # windows of the training data that the heads' importance is taken from


@dataclass(frozen=True)
class Row:
    """One row: what runs, and what it is compared with."""

    what: str
    engine: str = "ct2"  # ct2, torch (greedy search of asrlsa's dev scores) or generate (transformers' own)
    baseline: str = "float32"
    model: str = "float32"  # folder in the run that `make_model` makes
    options: dict[str, Any] = field(default_factory=dict)
    window: float = 29.0  # s, longest window of the data
    device: str = ""  # the only device that can run it


ROWS: dict[str, Row] = {
    "float32": Row("float32, 30 s of context, one window at a time: the baseline"),
    "float16": Row("float16 files", model="float16", options={"compute": "float16"}),
    "int8": Row("int8 matrices, float32 between them", model="int8", options={"compute": "int8"}),
    "context-30": Row("windows up to 10 s, each padded to 30 s: a baseline", baseline="context-30", window=10.0),
    "context-15": Row(
        "the same, padded to 15 s, as transcribe does", baseline="context-30", window=10.0, options={"context": 15.0}
    ),
    "context-own": Row(
        "the same, at their own length and 1 s more", baseline="context-30", window=10.0, options={"context": 1.0}
    ),
    **{f"batch-{n}": Row(f"{n} windows decoded together", options={"batch": n}) for n in (2, 4, 8)},
    "torch": Row("transformers, float32, SDPA: a baseline", engine="torch", baseline="torch"),
    "eager": Row("attention without SDPA", engine="torch", baseline="torch", options={"attention": "eager"}),
    "flash": Row(
        "SDPA's flash attention kernel, float16",
        engine="torch",
        baseline="torch",
        options={"flash": True},
        device="cuda",
    ),
    "compile": Row("encoder compiled by torch.compile", engine="torch", baseline="torch", options={"compile": True}),
    "winograd": Row("both convolutions by Winograd", engine="torch", baseline="torch", options={"winograd": True}),
    **{
        f"prune-{n}{kind}": Row(f"{n} % of the weights zero{words}", model=f"prune-{n}{kind}")
        for n in (10, 30, 50)
        for kind, words in (("", ""), ("-recovered", ", recovered"))
    },
    **{
        f"{name}{kind}": Row(f"{what}{words}", model=f"{name}{kind}")
        for name, what in (
            ("heads-17", "a sixth of the heads of each attention taken out"),
            ("heads-33", "a third of the heads of each attention taken out"),
            ("ffn-10", "a tenth of the feed-forward units taken out"),
            ("ffn-25", "a quarter of the feed-forward units taken out"),
        )
        for kind, words in (("", ""), ("-recovered", ", recovered"))
    },
    "heads-33-global": Row(
        "a third of all heads taken out, wherever they are", engine="torch", baseline="torch", model="heads-33-global"
    ),
    "heads-33-normalised": Row(
        "the same, importance normalised in each attention",
        engine="torch",
        baseline="torch",
        model="heads-33-normalised",
    ),
    "ffn-25-magnitude": Row("a quarter of the feed-forward units, by their weights' size", model="ffn-25-magnitude"),
    "distil-2": Row("decoder distilled to 2 layers", model="distil-2"),
    "generate": Row("transformers' own generate, no prompt: a baseline", engine="generate", baseline="generate"),
    "speculative": Row(
        "the same with the distilled decoder as draft", engine="generate", baseline="generate", options={"draft": True}
    ),
}


# The data.


def windows(folders: list[Path], longest: float) -> Iterator[tuple[str, str, Any]]:
    """Yield file, text and sound (float32, 16 kHz) of each window: consecutive utterances of one recording."""
    from asrlsa import audio
    from asrlsa.manifest import read_rows

    for folder in folders:
        rows = sorted(read_rows(folder / "manifest.jsonl"), key=lambda row: (str(row.audio), row.start))
        groups: list[list[Any]] = []
        for row in rows:
            last = groups[-1] if groups else []
            fits = last and last[0].audio == row.audio
            overlaps = fits and row.start < max(r.end for r in last) - round(1000 * OVERLAP)
            if fits and (max(row.end, *(r.end for r in last)) - last[0].start <= 1000 * longest or overlaps):
                last.append(row)
            else:
                groups.append([row])
        path, sound = None, None
        for group in groups:
            if group[0].audio != path:
                path, sound = group[0].audio, audio.load(group[0].audio)
            margin = round(1000 * MARGIN)
            part = audio.slice_ms(sound, group[0].start - margin, max(r.end for r in group) + margin)
            if not 0 < len(part) <= 30 * RATE:
                sys.exit(f"{path}: a window of {len(part) / RATE:.1f} s; its speakers overlap without a break")
            yield f"{folder.name}-{path.stem}", " ".join(r.text for r in group), np.asarray(part, np.float32)


# The worker: one loaded model, which answers on its standard output.


class Engine:
    """A loaded model; ``run`` gives the texts of windows by their numbers."""

    def __init__(self, row: Row, folder: Path, draft: Path, sounds: list[Any], threads: int, device: str) -> None:
        self.row, self.folder, self.draft, self.sounds = row, folder, draft, sounds
        self.threads, self.device = threads, device
        self.note = ""
        getattr(self, f"_load_{row.engine}")()

    def run(self, numbers: list[int]) -> list[str]:
        size = self.row.options.get("batch", 1)
        found: list[str] = []
        for first in range(0, len(numbers), size):
            found += getattr(self, f"_run_{self.row.engine}")(numbers[first : first + size])
        return found

    def _load_ct2(self) -> None:
        from faster_whisper.audio import pad_or_trim

        from asrlsa.models import resolve_model
        from asrlsa.speech.decode import Recogniser

        wanted = self.row.options.get("compute", "float32")
        if wanted == "float16" and self.device == "cpu":
            wanted, self.note = (
                "float32",
                "no CPU computes in float16: the files are float16, the arithmetic is float32",
            )
        model = resolve_model(str(self.folder), offline=True)
        self.engine = Recogniser(model, device=self.device, compute_type=wanted, threads=self.threads)
        context = self.row.options.get("context", 30.0)

        def frames(sound: Any) -> int:
            own = len(sound) / RATE
            seconds = np.ceil(own) + 1 if context == 1.0 else context if own <= 10 + 2 * MARGIN else 30.0
            return int(100 * min(30.0, seconds))

        mels = [self.engine._extractor(s) for s in self.sounds]
        self.features = [
            np.ascontiguousarray(pad_or_trim(m, frames(s)), np.float32) for m, s in zip(mels, self.sounds, strict=True)
        ]

    def _run_ct2(self, numbers: list[int]) -> list[str]:
        from asrlsa.speech.decode import DecodingOptions
        from asrlsa.speech.prompts import style_prompt

        decoded = self.engine.decode(
            self.engine.encode([self.features[k] for k in numbers]),
            [round(1000 * len(self.sounds[k]) / RATE) for k in numbers],
            language=["en"] * len(numbers),
            prompt=[style_prompt("en")] * len(numbers),
            options=DecodingOptions(),
        )
        return [" ".join(word.text for word in d.words) for d in decoded]

    def _load_torch(self) -> None:
        import torch

        from asrlsa.training.base import load_base
        from asrlsa.training.features import log_mel
        from asrlsa.training.targets import prompt_tokens
        from asrlsa.training.vocabulary import Vocabulary
        from asrlsa.training.winograd import use_winograd

        torch.set_num_threads(self.threads)
        options = self.row.options
        self.dtype = torch.float16 if options.get("flash") else torch.float32
        base = load_base(
            self.folder, offline=True, dtype=self.dtype, device=self.device, attention=options.get("attention", "sdpa")
        )
        self.model: Any = base.model.requires_grad_(False)
        self.words = Vocabulary.of(base.directory)
        if options.get("winograd"):
            use_winograd(self.model.model.encoder)
        if options.get("compile"):
            self.model.model.encoder.forward = torch.compile(self.model.model.encoder.forward)
        mels = int(self.model.config.num_mel_bins)
        self.features = [log_mel(s, mels=mels)[None].to(self.device, self.dtype) for s in self.sounds]
        from asrlsa.speech.prompts import style_prompt

        self.prompt = [
            *prompt_tokens(style_prompt("en"), self.words),
            *self.words.start("en"),
            self.words.no_timestamps,
        ]
        generation = self.model.generation_config
        never = {*(generation.suppress_tokens or ()), *range(self.words.eot + 1, self.model.config.vocab_size)}
        self.never = [torch.tensor(sorted(t)) for t in (never, generation.begin_suppress_tokens or [])]

    def _run_torch(self, numbers: list[int]) -> list[str]:
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        from asrlsa.training.scores import greedy, longest_text

        k = numbers[0]
        seconds, positions = len(self.sounds[k]) / RATE, self.model.config.max_target_positions
        flash = sdpa_kernel(SDPBackend.FLASH_ATTENTION) if self.row.options.get("flash") else contextlib.nullcontext()
        with flash:
            tokens, _ = greedy(
                self.model,
                {"input_features": self.features[k]},
                torch.tensor([self.prompt], device=self.device),
                [longest_text(seconds, len(self.prompt), positions)],
                eot=self.words.eot,
                forbidden=self.never[0].to(self.device),
                forbidden_first=self.never[1].to(self.device),
            )
        return [self.words.decode(tokens[0]).strip()]

    def _load_generate(self) -> None:
        self._load_torch()
        from transformers import logging

        from asrlsa.training.base import load_base

        logging.set_verbosity_error()
        self.more: dict[str, Any] = {}
        self.model.config.use_cache = True
        if self.row.options.get("draft"):
            draft: Any = load_base(self.draft, offline=True, device=self.device).model.requires_grad_(False)
            draft.config.use_cache = True
            draft.model.encoder = self.model.model.encoder  # the distilled model kept it as it was
            self.more = {"assistant_model": draft}

    def _run_generate(self, numbers: list[int]) -> list[str]:
        import torch

        given = {"language": "en", "task": "transcribe"} if self.words.multilingual else {}
        with torch.no_grad():
            found = self.model.generate(
                self.features[numbers[0]],
                do_sample=False,
                num_beams=1,
                return_timestamps=False,
                max_new_tokens=self.model.config.max_target_positions // 2,
                **given,
                **self.more,
            )
        return [self.words.decode(found[0].tolist()).strip()]


def worker(options: argparse.Namespace) -> None:
    """Load, then answer: ``time N,N,…`` with seconds, ``all`` with every text, ``end`` with the peak of memory."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    row = ROWS[options.worker]
    made = list(windows(options.data, row.window))
    threads = options.threads
    engine = Engine(row, options.folder, options.draft, [m[2] for m in made], threads, options.device)

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    answer(ready=True, note=engine.note)
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        if command == "time":
            wall, cpu = time.perf_counter(), time.process_time()
            engine.run([int(k) for k in rest.split(",")])
            answer(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)
        elif command == "all":
            answer(texts=engine.run(list(range(len(made)))))
        else:
            answer(peak_mb=round(peak_mb(options.device), 1))
            return


def peak_mb(device: str) -> float:
    """Return the peak of this process in MB; on a GPU that of torch on it."""
    if device == "cuda" and "torch" in sys.modules:
        import torch

        if torch.cuda.max_memory_allocated():
            return torch.cuda.max_memory_allocated() / 1e6
    return peak_memory() / 1e6


class Process:
    """A worker, and what it says."""

    def __init__(self, name: str, folder: Path, draft: Path, options: argparse.Namespace) -> None:
        given = ["--worker", name, "--folder", str(folder), "--draft", str(draft), "--device", options.device]
        given += ["--threads", str(options.threads), "--data", *map(str, options.data)]
        environment = {**os.environ, **{f"{p}_NUM_THREADS": str(options.threads) for p in ("OMP", "MKL", "OPENBLAS")}}
        self.process = subprocess.Popen(
            [sys.executable, __file__, *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.note = self._answer()["note"]

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()


# Models.


def asrlsa(*arguments: str) -> None:
    """Run a command of asrlsa; ends this program where it fails."""
    done = subprocess.run([sys.executable, "-m", "asrlsa", *arguments], check=False)
    if done.returncode:
        sys.exit(f"asrlsa {arguments[0]} failed ({done.returncode})")


def make_model(name: str, options: argparse.Namespace) -> Path:
    """Return the folder of a model of the study, made where it is missing."""
    out: Path = options.out / "models" / name
    done = out / "model" if name.endswith("-recovered") or name.startswith("distil") else out
    if (done / "config.json").exists():
        return done
    if name in ("float32", "float16", "int8"):
        out.parent.mkdir(parents=True, exist_ok=True)
        asrlsa("quantize", options.model, "-o", str(out), "--type", name, "--for", "any", "--offline")
    elif name.endswith("-recovered") or name.startswith("distil"):
        recipe = "recovery" if name.endswith("-recovered") else "distil"
        base = str(make_model(name.removesuffix("-recovered"), options)) if recipe == "recovery" else options.model
        more = ["--set", "train.keep_zeros=true"] if name.startswith("prune") else []
        more += [argument for change in options.set for argument in ("--set", change)]
        more += ["--resume"] if (out / "recipe.toml").exists() else []
        data = ["--data", str(training_data(options)), "--threads", str(options.threads)]
        asrlsa("finetune", str(HERE / f"{recipe}.toml"), "--base", base, *data, "-o", str(out), *more)
    else:
        prune(name, options, out)
    return done


def ct2_form(name: str, folder: Path, options: argparse.Namespace) -> Path:
    """Return a model in CTranslate2's format, float32 as the baseline is, so that no row converts in memory."""
    from asrlsa.conversion.folders import is_transformers

    if not is_transformers(folder):
        return folder
    out: Path = options.out / "models" / f"{name}-ct2"
    if not (out / "config.json").exists():
        asrlsa("quantize", str(folder), "-o", str(out), "--type", "float32", "--for", "any", "--offline")
    return out


def training_data(options: argparse.Namespace) -> Path:
    """Return the folder of prepared training data, made where it is missing."""
    if (options.train / "train.jsonl").exists():
        found: Path = options.train
        return found
    out: Path = options.out / "data"
    if not (out / "train.jsonl").exists():
        asrlsa("prepare", str(options.train), "-o", str(out), "--noise-only", "0", "--jobs", "1", "-q")
    return out


def prune(name: str, options: argparse.Namespace, out: Path) -> None:
    """Prune the float32 model as the name of the row says: prune-PERCENT, heads-PERCENT-HOW, ffn-PERCENT-HOW."""
    from asrlsa.training import pruning
    from asrlsa.training.base import load_base

    source = make_model("float32", options)
    base = load_base(source, offline=True)
    kind, percent, *how = name.split("-")
    share = int(percent) / 100
    if kind == "prune":
        pruning.zero_smallest(base.model, share)
    elif how == ["magnitude"]:
        pruning.remove_rows(base.model, pruning.choose_rows(pruning.row_magnitude(base.model), share))
    elif kind == "ffn":
        importance = pruning.row_importance(base.model, batches(training_data(options), base))
        pruning.remove_rows(base.model, pruning.choose_rows(importance, share))
    else:
        normalised = how == ["normalised"]
        data = batches(training_data(options), base)
        importance = pruning.head_importance(base.model, data, normalised=normalised)
        pruning.remove_heads(base.model, pruning.choose_heads(importance, share, even=not how))
    pruning.save_pruned(base.model, source, out)


def batches(data: Path, base: Any) -> Iterator[dict[str, Any]]:
    """Yield windows of the training data, one a batch, spread over all of it."""
    from asrlsa.training.batches import Collator, make_dataset
    from asrlsa.training.data_settings import DataSettings
    from asrlsa.training.vocabulary import Vocabulary

    vocabulary = Vocabulary.of(base.directory)
    mels = int(base.model.config.num_mel_bins)
    dataset = make_dataset(data / "train.jsonl", DataSettings(noise_only=0.0), vocabulary, n_mels=mels, training=False)
    collate = Collator(vocabulary.eot)
    for k in np.linspace(0, len(dataset) - 1, min(HEAD_WINDOWS, len(dataset))).astype(int):
        yield collate([dataset[int(k)]])


# Rows.


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one row, and its baseline beside it."""
    row = ROWS[name]
    made = list(windows(options.data, row.window))
    step = max(1, len(made) // options.timed)
    timed = ",".join(str(k) for k in list(range(0, len(made), step))[: options.timed])
    draft = make_model("distil-2", options) if row.options.get("draft") else Path()
    folder = make_model(row.model, options)
    if row.engine == "ct2":
        folder = ct2_form(row.model, folder, options)
    other = make_model(ROWS[row.baseline].model, options)
    key = "cpu" if options.device == "cpu" and options.threads == 1 else "wall"
    seconds: dict[str, list[float]] = {"row": [], "baseline": []}
    with Process(name, folder, draft, options) as ours, contextlib.ExitStack() as stack:
        theirs = ours
        if row.baseline != name:
            theirs = stack.enter_context(Process(row.baseline, other, Path(), options))
        first = ours.ask("time 0")  # compiles, fills caches
        if theirs is not ours:
            theirs.ask("time 0")
        for _ in range(REPEATS):
            seconds["row"].append(ours.ask(f"time {timed}")[key])
            if theirs is not ours:
                seconds["baseline"].append(theirs.ask(f"time {timed}")[key])
        texts = ours.ask("all")["texts"]
        peak = ours.ask("end")["peak_mb"]
        note = ours.note
    speed = None
    if seconds["baseline"]:
        speed = round(statistics.median(seconds["baseline"]) / statistics.median(seconds["row"]), 3)
    return {
        "row": name,
        "what": row.what,
        "baseline": row.baseline,
        "model": Path(options.model).name,
        "device": options.device,
        "machine": machine(options),
        "data": [folder.name for folder in options.data],
        "windows": len(made),
        "minutes": round(sum(len(m[2]) for m in made) / RATE / 60, 2),
        "timed": timed.count(",") + 1,
        "time": "CPU time" if key == "cpu" else "wall time",
        "seconds": {k: [round(v, 3) for v in values] for k, values in seconds.items()},
        "first_window": round(first[key], 3),
        "speed": speed,
        "peak_mb": peak,
        "disk_mb": round(sum(f.stat().st_size for f in folder.iterdir() if f.is_file()) / 1e6, 1),
        "note": note,
        **score(made, texts, options.out / "texts" / name),
    }


def score(made: list[tuple[str, str, Any]], texts: list[str], out: Path) -> dict[str, Any]:
    """Score the texts, a file a recording."""
    from asrlsa import __version__
    from asrlsa.evaluate import evaluate

    shutil.rmtree(out, ignore_errors=True)  # of another run, perhaps on other recordings
    for side, lines in (("gold", [m[1] for m in made]), ("heard", texts)):
        (out / side).mkdir(parents=True, exist_ok=True)
        for file in dict.fromkeys(m[0] for m in made):
            own = [line for m, line in zip(made, lines, strict=True) if m[0] == file]
            (out / side / f"{file}.txt").write_text("\n".join(own) + "\n", encoding="utf-8")
    found = evaluate(out / "heard", out / "gold", language="eng")
    if found.failures:
        sys.exit(f"{out}: {found.failures[0]}")
    names = ("wer", "cer", "disfluency_f1")
    kept = ("verbatim.", "cer.", "event.")
    return {
        "asrlsa": __version__,
        **{n: None if found.scores[n] is None else round(found.scores[n], 3) for n in names},
        "interval": found.intervals["wer"],
        "loops": sum(LOOP.search(text) is not None for text in texts),
        "files": {f.name: {k: v for k, v in f.sums.items() if k.startswith(kept)} for f in found.files},
    }


def machine(options: argparse.Namespace) -> str:
    """Name the machine."""
    return f"{machine_name()}, {options.threads} thread{'s'[: options.threads != 1]}"


# The table.


def difference(run: dict[str, Any], base: dict[str, Any], name: str) -> str:
    """Return the difference of two rows' score in points with its 95 % interval over recordings."""
    from asrlsa.scoring.statistics import compare

    if run["row"] == base["row"]:
        return ""
    files = sorted(run["files"])
    if files != sorted(base["files"]):
        sys.exit(f"{run['row']} and {base['row']} were scored on different recordings; run both again")
    [found] = compare([run["files"][f] for f in files], [base["files"][f] for f in files], [name])
    if found.first is None or found.second is None:
        return ""
    bounds = "" if found.low is None or found.high is None else f" ({found.low:+.1f} to {found.high:+.1f})"
    return f"{found.first - found.second:+.1f}{bounds}"


def table(folder: Path) -> str:
    """Make the tables, one for each model and device, from the result files."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs:
        groups.setdefault((run["model"], run["device"]), {})[run["row"]] = run
    lines: list[str] = []
    for (model, device), found in sorted(groups.items()):
        lines += [f"### {model} on {device}", ""]
        by_place: dict[str, list[str]] = {}
        for name, run in found.items():
            place = f"{run['machine']}; {run['time']}; {' + '.join(run['data'])}, {run['minutes']} min"
            by_place.setdefault(place, []).append(name)
        for place, names in by_place.items():
            lines.append(f"{place}: {', '.join(n for n in ROWS if n in names)}.")
        lines += [
            "",
            "| row | against | speed | peak MB | disk MB | WER | difference | CER | difference | F1 | loops |",
            "|-|-|-:|-:|-:|-:|-|-:|-|-:|-|",
        ]
        notes = []
        for name in ROWS:
            if name not in found:
                continue
            run = found[name]
            base = found.get(run["baseline"])
            speed = "1" if run["speed"] is None else f"{run['speed']:.2f}"
            cells = [name, "" if run["baseline"] == name else run["baseline"], speed]
            cells += [f"{run['peak_mb']:.0f}", f"{run['disk_mb']:.1f}"]
            for metric in ("wer", "cer"):
                cells += [f"{run[metric]:.1f}", "baseline not run" if base is None else difference(run, base, metric)]
            cells.append("" if run["disfluency_f1"] is None else f"{run['disfluency_f1']:.1f}")
            cells.append(f"{run['loops']} of {run['windows']}")
            lines.append("| " + " | ".join(cells) + " |")
            notes.append(f"- {name}: {run['what']}{'; ' + run['note'] if run['note'] else ''}.")
        missing = [n + (f" (needs {r.device})" if r.device else "") for n, r in ROWS.items() if n not in found]
        lines += ["", *notes, "", f"Not run: {', '.join(missing) or 'nothing'}.", ""]
    return "\n".join(lines).rstrip() + "\n" if lines else "No row was run yet.\n"


def stem_table() -> str:
    """Make the table of the convolutions' share of the work."""
    from asrlsa.training.winograd import SIZES, stem_work

    lines = [
        "| model | GFLOP a window | encoder | both convolutions | of the encoder | of all | most that Winograd saves |",
        "|-|-:|-:|-:|-:|-:|-:|",
    ]
    for name, size in SIZES.items():
        work = stem_work(size)
        giga = [(work.encoder + work.decoder) / 1e9, work.encoder / 1e9, (work.conv1 + work.conv2) / 1e9]
        shares = [work.encoder_share, work.share, work.saved_share]
        lines.append("| " + " | ".join([name, *(f"{v:.1f}" for v in giga), *(f"{v:.1%}" for v in shares)]) + " |")
    return "\n".join(lines) + "\n"


def write_tables() -> None:
    """Write results/table.md, and put it into docs/optimise.md between its marks."""
    text = f"{stem_table()}\n{table(RESULTS)}"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "table.md").write_text(text, encoding="utf-8")
    page = DOC.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN, 1)
    DOC.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


def main() -> None:
    """Run what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path("optimise-run"))
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--data", type=Path, nargs="+", default=[SHARED / name for name in SETS])
    parser.add_argument("--train", type=Path, default=SHARED / "synthetic" / "manifest.jsonl")
    parser.add_argument(
        "--set", action="append", default=[], help="passed to asrlsa finetune of recovery.toml, distil.toml"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timed", type=int, default=4, help="windows that are timed, spread over the data")
    parser.add_argument("--again", action="store_true", help="measure rows that have a result, too")
    parser.add_argument("--table", action="store_true", help="only make the tables")
    parser.add_argument("--list", action="store_true", help="show the rows")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--draft", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options)
        return
    place = f"{Path(options.model).name}-{options.device}"
    if options.list:
        for name, row in ROWS.items():
            print(f"{'done' if (RESULTS / f'{place}-{name}.json').exists() else '    '} {name}: {row.what}")
        return
    for name in [] if options.table else options.rows:
        target = RESULTS / f"{place}-{name}.json"
        if target.exists() and not options.again:
            continue
        if ROWS[name].device not in ("", options.device):
            print(f"{name}: not run, it needs {ROWS[name].device}", flush=True)
            continue
        run = measure(name, options)
        RESULTS.mkdir(exist_ok=True)
        target.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        speed = "baseline" if run["speed"] is None else f"{run['speed']:.2f} times {run['baseline']}"
        print(f"{name}: {speed}, {run['peak_mb']:.0f} MB, WER {run['wer']:.1f} %", flush=True)
    write_tables()


if __name__ == "__main__":
    main()
