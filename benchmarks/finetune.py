"""Speed and memory of fine-tuning against transformers' standard Whisper set-up, on the same data.

    python benchmarks/finetune.py DATA [--base tiny.en] [--repeats 3] [--updates 5] [--json OUT]

DATA is a folder of ``asrlsa prepare``. Every measurement is a new process with one thread; the variants take turns, and
medians are printed. All train the same LoRA (rank 16, all linear layers) with AdamW on the same utterances, each about
once, with about as much speech an update:

standard  Seq2SeqTrainer as transformers documents it for Whisper: every utterance padded to 30 s, the model's own loss
          over all logits; its features are computed before the clock starts
single    asrlsa finetune in the same layout: that it learns the same is shown by the losses
packed    asrlsa finetune, the default: utterances in windows of up to 30 s; features are computed as they are needed
variable  asrlsa finetune --context dynamic, no full windows mixed in: each utterance at its own length
cached    asrlsa finetune --train decoder: the encoder's output from the cache; filling it is timed apart

Speech a second is what was trained from the end of the first update to the end of the last, by the wall and by the CPU
time of the process (on a machine that does other work, the CPU time is what compares). Memory is the highest resident
size up to the last update. The check: cross entropy of held-out speech before training and after the same amount of
speech, once of single utterances padded to 30 s (what standard trains on) and once of windows that hold several (what
packed and cached train on, and most like what ``asrlsa transcribe`` decodes).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from asrlsa.speech.memory import peak_memory

UTTERANCES = 8  # an update of standard and variable; a packed window holds about as much of the children's speech
HELD_OUT = 16
HELD_OUT_WINDOWS = 4
BETWEEN = 0.5  # s of silence between the utterances of a held-out window
WINDOW = 29.0  # s
VARIANTS = ("standard", "single", "packed", "variable", "cached")
LR = 2e-4
RATE = 16_000


class Clock:
    """Times of the ends of updates, and the speech heard until each."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float, float]] = []
        self.peak = 0.0

    def mark(self, speech: float) -> None:
        """An update has ended after ``speech`` seconds of speech in all."""
        self.marks.append((time.perf_counter(), time.process_time(), speech))
        self.peak = peak_memory() / 1e6

    def rates(self) -> dict[str, float]:
        """Speech a second by wall and CPU time, after the first update."""
        (wall, cpu, speech), (wall_end, cpu_end, speech_end) = self.marks[0], self.marks[-1]
        heard = speech_end - speech
        return {
            "wall": heard / (wall_end - wall),
            "cpu": heard / (cpu_end - cpu),
            "peak_mb": self.peak,
            "speech": speech_end,
        }


def example(sound: Any, text: str, seconds: float, base: Any) -> dict[str, Any]:
    """What transformers' tutorials make of sound and text: 30 s of features, and labels."""
    from transformers import WhisperFeatureExtractor

    from asrlsa.training.vocabulary import Vocabulary

    vocabulary = Vocabulary.of(base.directory)
    extractor = WhisperFeatureExtractor(feature_size=base.model.config.num_mel_bins)
    features = extractor(sound, sampling_rate=RATE).input_features[0]
    start = vocabulary.start("en")
    labels = [*start[1:], vocabulary.no_timestamps, *vocabulary.encode(" " + text.strip()), vocabulary.eot]
    return {"input_features": features, "labels": labels, "seconds": seconds}


def utterances(data: Path, name: str) -> list[tuple[Any, Any]]:
    """The rows of a manifest that have text, and what gives their sound."""
    from asrlsa import audio
    from asrlsa.manifest import read_rows

    rows = [row for row in read_rows(data / f"{name}.jsonl") if row.text]
    return [(row, lambda row=row: audio.slice_ms(audio.load(row.audio), row.start, row.end)) for row in rows]


def subset(data: Path, updates: int, place: Path) -> Path:
    """Write the utterances that every variant trains on, from all over the training part, to a manifest."""
    from asrlsa.manifest import write_rows

    found = [row for row, _ in utterances(data, "train")]
    count = UTTERANCES * updates
    if len(found) < count:
        sys.exit(f"{data}: {len(found)} utterances to train on, {count} are needed: fewer --updates")
    write_rows(place / "train.jsonl", found[:: len(found) // count][:count])
    return place


def examples(data: Path, name: str, count: int, base: Any) -> list[dict[str, Any]]:
    """Single utterances from all over a manifest."""
    found = utterances(data, name)
    found = found[:: max(1, len(found) // count)][:count]
    return [example(sound(), row.text, (row.end - row.start) / 1000, base) for row, sound in found]


def windows(data: Path, name: str, count: int, base: Any) -> list[dict[str, Any]]:
    """Windows that hold consecutive utterances of one speaker."""
    import numpy as np

    silence = np.zeros(round(BETWEEN * RATE), np.float32)
    made: list[tuple[str, list[str], Any]] = []
    for row, sound in utterances(data, name):
        here = np.asarray(sound(), np.float32)
        speaker, texts, before = made[-1] if made else ("", [], here)
        if speaker == row.speaker and len(before) + len(silence) + len(here) <= WINDOW * RATE:
            made[-1] = (speaker, [*texts, row.text.strip()], np.concatenate([before, silence, here]))
        else:
            made.append((row.speaker, [row.text.strip()], here))
    made = made[:: max(1, len(made) // count)][:count]
    return [example(sound, " ".join(texts), len(sound) / RATE, base) for _, texts, sound in made]


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Pad labels with -100."""
    import numpy as np
    import torch

    longest = max(len(item["labels"]) for item in items)
    labels = torch.tensor([item["labels"] + [-100] * (longest - len(item["labels"])) for item in items])
    return {"input_features": torch.from_numpy(np.stack([i["input_features"] for i in items])), "labels": labels}


def held_out_loss(model: Any, items: list[dict[str, Any]]) -> float:
    """Cross entropy in nats a token."""
    import torch

    model.eval()
    total = count = 0.0
    with torch.no_grad():
        for at in range(0, len(items), 4):
            batch = collate(items[at : at + 4])
            tokens = int((batch["labels"] != -100).sum())
            total += float(model(**batch).loss) * tokens
            count += tokens
    return total / count


def losses(model: Any, data: Path, base: Any) -> dict[str, float]:
    """Both held-out losses."""
    return {
        "loss": held_out_loss(model, examples(data, "dev", HELD_OUT, base)),
        "loss_windows": held_out_loss(model, windows(data, "dev", HELD_OUT_WINDOWS, base)),
    }


def standard(data: Path, base_name: str, updates: int, out: Path) -> tuple[Clock, Any, Any]:
    """Train with transformers alone."""
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

    from asrlsa.training.base import load_base
    from asrlsa.training.methods import MethodSettings, attach

    base = load_base(base_name, offline=True)
    items = examples(data, "train", UTTERANCES * updates, base)
    clock = Clock()

    class Marks(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.mark(sum(item["seconds"] for item in items) * (len(clock.marks) + 1) / updates)

    model = attach(base.model, MethodSettings(method="lora", r=16, lora_dropout=0.0), updates).model
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=UTTERANCES,
        max_steps=updates,
        learning_rate=LR,
        lr_scheduler_type="constant",
        remove_unused_columns=False,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        logging_strategy="no",
    )
    trainer = Seq2SeqTrainer(
        model=model, args=arguments, train_dataset=items, data_collator=collate, callbacks=[Marks()]
    )
    trainer.train()
    return clock, model, base


def ours(variant: str, data: Path, base_name: str, updates: int, out: Path) -> tuple[Clock, Any, Any]:
    """Train with asrlsa finetune."""
    from peft import PeftModel

    from asrlsa.finetune import finetune
    from asrlsa.training.base import load_base
    from asrlsa.training.recipe import load_settings

    clock = Clock()

    def told(event: Any) -> None:
        if event["event"] == "step":
            clock.mark(float(event["speech_seconds"]))

    changes = [
        f"model.base={json.dumps(base_name)}",
        f"data.train={json.dumps(str(data / 'train.jsonl'))}",
        "model.offline=true",
        "data.timestamps=0",
        "data.prompt_share=0",
        "data.noise_only=0",
        "data.spec_augment=0",
        "data.noise=0",
        "data.telephone=0",
        "method.method=lora",
        "method.r=16",
        "method.lora_dropout=0",
        f"train.steps={updates}",
        f"train.lr={LR}",
        "train.schedule=constant",
        "train.warmup=0",
        "train.weight_decay=0",
        "train.threads=1",
        "train.log=jsonl",
        "train.batch=1",
    ]
    if variant == "single":
        changes += ["data.layout=single", f"train.batch={UTTERANCES}"]
    if variant == "variable":
        changes += ["train.context=dynamic", "data.full_share=0", f"train.batch={UTTERANCES}"]
    if variant == "cached":
        changes += ["train.parts=decoder", f"data.cache={json.dumps(str(out.parent.parent / 'cache'))}"]
    found = finetune(load_settings(None, changes), out, on_event=told)
    base = load_base(base_name, offline=True)
    return clock, PeftModel.from_pretrained(base.model, str(found.adapter)), base


def worker(variant: str, data: Path, base_name: str, updates: int) -> None:
    """Measure one variant, and print the figures as JSON."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    place = Path(os.environ["ASRLSA_BENCHMARK"]) / f"{variant}-{os.getpid()}"
    place.mkdir(parents=True)
    if variant == "before":
        from asrlsa.training.base import load_base

        base = load_base(base_name, offline=True)
        values = losses(base.model, data, base)
    else:
        chosen = subset(data, updates, place)
        begin = time.process_time()
        if variant == "standard":
            clock, model, base = standard(chosen, base_name, updates, place / "out")
        else:
            clock, model, base = ours(variant, chosen, base_name, updates, place / "out")
        values = clock.rates()
        values["until_first"] = clock.marks[0][1] - begin
        values.update(losses(model, data, base))
    print("RESULT " + json.dumps(values))


def measure(variant: str, options: argparse.Namespace, place: str) -> dict[str, float]:
    """Run a worker."""
    command = [sys.executable, __file__, str(options.data), "--base", options.base, "--updates", str(options.updates)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ASRLSA_BENCHMARK": place, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([*command, "--worker", variant], env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        sys.exit(f"{variant} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return found


def main() -> None:
    """Measure all variants in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--base", default="tiny.en")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--json", type=Path, help="write every measurement here")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.data, options.base, options.updates)
        return
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in options.variants}
    with tempfile.TemporaryDirectory() as place:
        before = measure("before", options, place)
        for _ in range(options.repeats):
            for variant in options.variants:
                runs[variant].append(measure(variant, options, place))
                print(variant, json.dumps({k: round(v, 3) for k, v in runs[variant][-1].items()}), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"before": before, "runs": runs}, indent=1) + "\n", encoding="utf-8")

    def median(variant: str, key: str) -> float:
        return statistics.median(run[key] for run in runs[variant])

    print(
        f"\n{options.base}, {options.updates} updates, medians of {options.repeats}; held-out loss before: "
        f"{before['loss']:.3f} single, {before['loss_windows']:.3f} windows"
    )
    print("| | speech s/s | by CPU | gain | gain by CPU | peak MB | speech heard | loss, single | loss, windows |")
    print("|-|-:|-:|-:|-:|-:|-:|-:|-:|")
    first = options.variants[0]
    for variant in options.variants:
        wall, cpu = median(variant, "wall"), median(variant, "cpu")
        cells = [f"{wall:.2f}", f"{cpu:.2f}", f"{wall / median(first, 'wall'):.1f}"]
        cells += [f"{cpu / median(first, 'cpu'):.1f}", f"{median(variant, 'peak_mb'):.0f}"]
        cells += [
            f"{median(variant, 'speech'):.0f} s",
            *(f"{median(variant, k):.3f}" for k in ("loss", "loss_windows")),
        ]
        print(f"| {variant} | " + " | ".join(cells) + " |")
    if "cached" in runs and len(runs["cached"]) > 1:
        cold, *warm = (run["until_first"] for run in runs["cached"])
        print(f"filling the cache: about {cold - statistics.median(warm):.1f} s of CPU time, once")


if __name__ == "__main__":
    main()
