"""Speed and memory of fine-tuning against transformers' standard Whisper set-up, on the same data.

    python benchmarks/finetune.py DATA [--base tiny.en] [--repeats 3] [--updates 5] [--json OUT]

DATA is a folder of ``asrlsa prepare``. Every measurement is a new process with one thread; the variants take turns, and
medians are printed. All train the same LoRA (rank 16, all linear layers) with AdamW, about as much speech an update:

standard  Seq2SeqTrainer as transformers documents it for Whisper: every utterance padded to 30 s, the model's own loss
          over all logits; its features are computed before the clock starts
packed    asrlsa finetune, the default: utterances in windows of up to 30 s; features are computed as they are needed
variable  asrlsa finetune --context dynamic, no full windows mixed in: each utterance at its own length
cached    asrlsa finetune --train decoder: the encoder's output from the cache; filling it is timed apart

Speech a second is what was trained from the end of the first update to the end of the last, by the wall and by the CPU
time of the process (on a machine that does other work, the CPU time is what compares). Memory is the highest resident
size up to the last update. The check: cross entropy of held-out utterances, each padded to 30 s, before training and
after the same amount of speech.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

UTTERANCES = 8  # an update of standard and variable; a packed window holds about as much of the children's speech
HELD_OUT = 16
VARIANTS = ("standard", "packed", "variable", "cached")
LR = 2e-4
RATE = 16_000


def peak_mb() -> float:
    """Highest resident size of this process so far."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size * (1 if sys.platform == "darwin" else 1024) / 1e6


class Clock:
    """Times of the ends of updates, and the speech heard until each."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float, float]] = []
        self.peak = 0.0

    def mark(self, speech: float) -> None:
        """An update has ended after ``speech`` seconds of speech in all."""
        self.marks.append((time.perf_counter(), time.process_time(), speech))
        self.peak = peak_mb()

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


def examples(data: Path, name: str, count: int, base: Any) -> list[dict[str, Any]]:
    """The first utterances of a manifest as transformers' tutorials make them: 30 s of features, and labels."""
    from transformers import WhisperFeatureExtractor

    from asrlsa import audio
    from asrlsa.manifest import read_rows
    from asrlsa.training.vocabulary import Vocabulary

    vocabulary = Vocabulary.of(base.directory)
    extractor = WhisperFeatureExtractor(feature_size=base.model.config.num_mel_bins)
    found = []
    rows = [row for row in read_rows(data / f"{name}.jsonl") if row.text]
    for row in rows[:: max(1, len(rows) // count)][:count]:
        sound = audio.slice_ms(audio.load(row.audio), row.start, row.end)
        features = extractor(sound, sampling_rate=RATE).input_features[0]
        start = vocabulary.start("en")
        labels = [*start[1:], vocabulary.no_timestamps, *vocabulary.encode(" " + row.text.strip()), vocabulary.eot]
        found.append({"input_features": features, "labels": labels, "seconds": (row.end - row.start) / 1000})
    return found


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
        values = {"loss": held_out_loss(base.model, examples(data, "dev", HELD_OUT, base))}
    else:
        begin = time.process_time()
        if variant == "standard":
            clock, model, base = standard(data, base_name, updates, place / "out")
        else:
            clock, model, base = ours(variant, data, base_name, updates, place / "out")
        values = clock.rates()
        values["until_first"] = clock.marks[0][1] - begin
        values["loss"] = held_out_loss(model, examples(data, "dev", HELD_OUT, base))
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
        before = measure("before", options, place)["loss"]
        for _ in range(options.repeats):
            for variant in options.variants:
                runs[variant].append(measure(variant, options, place))
                print(variant, json.dumps({k: round(v, 3) for k, v in runs[variant][-1].items()}), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"before": before, "runs": runs}, indent=1) + "\n", encoding="utf-8")

    def median(variant: str, key: str) -> float:
        return statistics.median(run[key] for run in runs[variant])

    print(
        f"\n{options.base}, {options.updates} updates, medians of {options.repeats}; held-out loss before {before:.3f}"
    )
    print("variant    speech/s  by CPU   gain  gain by CPU  peak MB  speech heard  held-out loss")
    first = options.variants[0]
    for variant in options.variants:
        wall, cpu = median(variant, "wall"), median(variant, "cpu")
        gains = f"{wall / median(first, 'wall'):5.1f}  {cpu / median(first, 'cpu'):11.1f}"
        rest = (
            f"{median(variant, 'peak_mb'):7.0f}  {median(variant, 'speech'):10.0f} s  {median(variant, 'loss'):13.3f}"
        )
        print(f"{variant:9s}  {wall:8.2f}  {cpu:6.2f}  {gains}  {rest}")
    if "cached" in runs and len(runs["cached"]) > 1:
        cold, *warm = (run["until_first"] for run in runs["cached"])
        print(f"filling the cache: about {cold - statistics.median(warm):.1f} s of CPU time, once")


if __name__ == "__main__":
    main()
