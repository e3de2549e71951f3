"""The verbatim adapters that come with asrlsa, from nothing: corpus, training, strength, figures, package.

    pip install torch==2.13.0 && pip install -e '.[starter,train,synthesis]'
    python recipes/verbatim/run.py all ../shared/data WORK

Each step can be run alone, and what is there is not made again, so the same command goes on after an interruption:

- corpus: WORK/corpus (disfluent synthetic speech, ``corpus.py``), WORK/spliced and WORK/varied (the children of
  DATA/child_read whose split is train, made disfluent with scissors, ``splice.py`` without and with ``--varied``),
  WORK/meetings (DATA/synthetic, split train), and WORK/data, which joins all but the varied. What is absent from DATA
  is said and left out.
- train: ``asrlsa finetune lora.toml`` (``s2lora.toml`` with ``--methods``) for each model, in rounds (`ROUNDS`), each
  from the weights of the one before: from part of the corpus and the other data; from everything, at a lower rate; and,
  for base, with the filler-rich prompt before every window. All but the last are in WORK/MODEL-METHOD-ROUND.
- choose: what goes into the card of each adapter: strength, prompt, margins. For base and tiny.en that is `CHOSEN`;
  with ``--dev`` (which evaluate and package then need too), and in other languages, strength and prompt are measured
  on dev data (``calibrate.py``).
- evaluate: figures of every system on every group (``evaluate.py``) into results/LANGUAGE.
- ablate: tiny.en without one ingredient after the other, shorter, into results/ablation/.
- package: the adapters of ``--ship`` into asrlsa/speech/data/verbatim, with their cards.

``--language spa`` does the same for Spanish voices with base; DATA is then not used, and nothing is packaged.
WORK/minutes.json says how long each step took.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
METHODS: Final = ("lora", "s2lora")
STEPS: Final = ("corpus", "train", "choose", "evaluate", "ablate", "package")
PROMPTED: Final = ("--set", "data.prompt_share=1")
STRENGTHS: Final = "0.4,0.6,0.8,1.0"  # tried on dev


class Chosen(NamedTuple):
    """How an adapter is used: what its card says.

    Attributes:
        strength: Factor of what it changes.
        prompted: With the filler-rich prompt of the language.
        filler_margin: See `asrlsa.speech.near_misses`.
        filler_lead: The same.
        repetition_margin: The same.
        least_fragment_confidence: See `asrlsa.speech.repairs`.
    """

    strength: float
    prompted: bool
    filler_margin: float = 0.0
    filler_lead: float = 0.5
    repetition_margin: float = 1.0
    least_fragment_confidence: float = 0.3

    def search(self) -> dict[str, float]:
        """Return the settings of the search."""
        return {name: value for name, value in self._asdict().items() if name not in ("strength", "prompted")}


# Chosen on real conversations as well as on dev of the corpus, which alone favours what real speech suffers from. They
# are none of ours, and so not in the repository: docs/verbatim-model.md says where they come from and what they showed.
CHOSEN: Final = Chosen(strength=0.8, prompted=True)


class Round(NamedTuple):
    """One round of training.

    Attributes:
        name: What follows MODEL-METHOD in the name of its folder.
        numbers: Recordings of the corpus that it learns from, besides the other data.
        thin: It learns from one in so many utterances with a fragment: more teach it to make them up.
        steps: Steps; 0 leaves them to the recipe.
        slower: Its rate against that of the recipe.
        varied: It learns from WORK/varied too.
        prompted: Every window has the prompt.
    """

    name: str
    numbers: range
    thin: int = 1
    steps: int = 0
    slower: float = 1.0
    varied: bool = False
    prompted: bool = False


_ALL: Final = range(1_000_000)
_FIRST: Final = Round("-first", range(260))
ROUNDS: Final = {
    "base": (
        _FIRST,
        Round("-second", _ALL, thin=3, steps=140, slower=0.6),
        Round("", range(260), thin=2, steps=100, slower=0.4, varied=True, prompted=True),
    ),
    "tiny.en": (_FIRST, Round("", _ALL, thin=3, steps=140, slower=0.6)),
}
ELSEWHERE: Final = (Round("", _ALL, steps=45),)  # languages other than English, with half an hour
# Each ablation: what is said to asrlsa finetune, and which rows are left out.
ABLATIONS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "all": ((), ""),
    "all-fragments": ((), "nothing"),
    "without-spliced": ((), "spliced"),
    "without-meetings": ((), "meetings"),
    "without-synthetic": ((), "corpus"),
    "without-negatives": ((), "negatives"),
    "with-kl": (("--set", "loss.kl=0.5", "--set", "loss.fluent={work}/spliced/fluent.jsonl"), ""),
    "with-prompt": (PROMPTED, ""),
    "decoder-only": (("--train", "decoder"), ""),
    "s2lora": (("--set", "method.method=s2lora", "--set", "method.r=32", "--set", "train.lr=3e-3"), ""),
}
ABLATION_STEPS: Final = 25
SAVED: Final = 25  # steps between checkpoints
LICENCES: Final = (
    "synthetic voices: Kokoro-82M (Apache-2.0), Piper en_US-joe (CC0 data); meeting sentences: AMI (CC BY 4.0); "
    "reading children: speechocean762 (free for commercial and non-commercial use); base: OpenAI Whisper (MIT)"
)
LIMITS: Final = (
    "Limits: trained on synthetic voices and on children reading, not on people who stutter or have aphasia. Fillers "
    "are found best; fragments and part-word repetitions are missed or misheard often; blocks and prolongations are "
    "not written at all. Correct a transcript before you count."
)


def main() -> None:
    """Run the steps that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=(*STEPS, "all"))
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of recordings with manifests")
    parser.add_argument("work", type=Path, metavar="WORK", help="where everything is made")
    parser.add_argument("--language", default="eng", help="ISO 639-3 code (eng)")
    parser.add_argument("--minutes", type=float, help="synthetic speech (215; 30 in other languages)")
    parser.add_argument("--kokoro", type=float, default=0.45, help="share of Kokoro's voices in it (0.45)")
    parser.add_argument("--models", nargs="+", default=None, help="base and tiny.en; base alone for other languages")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["lora"], help="lora, s2lora (lora)")
    parser.add_argument("--ship", default="lora", choices=METHODS, help="the method whose adapters are packaged (lora)")
    parser.add_argument("--ablations", nargs="+", choices=tuple(ABLATIONS), default=list(ABLATIONS))
    parser.add_argument("--jobs", type=int, default=2, help="processes that speak (2)")
    parser.add_argument("--threads", type=int, default=0, help="of training and of recognition; 0 is all")
    parser.add_argument("--dev", type=Path, nargs="+", default=[], help="dev data of real speech to choose on")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed on to asrlsa finetune")
    given = parser.parse_args()
    given.models = given.models or (["base", "tiny.en"] if given.language == "eng" else ["base"])
    given.minutes = given.minutes or (215.0 if given.language == "eng" else 30.0)
    given.work.mkdir(parents=True, exist_ok=True)
    run = Run(given)
    for step in STEPS if given.step == "all" else (given.step,):
        getattr(run, step)()


class Run:
    """One run of the recipe."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.data, self.work = Path(given.data), Path(given.work)
        self.english = given.language == "eng"

    def corpus(self) -> None:
        """Make all speech that is learnt from, and join its manifests."""
        given, work = self.given, self.work
        engine = ["--kokoro", str(given.kokoro)] if self.english else ["--engine", "kokoro"]
        self._timed(
            "corpus",
            HERE / "corpus.py",
            work / "corpus",
            *("--minutes", given.minutes, "--language", given.language, "--jobs", given.jobs, *engine),
        )
        if self.english and self._there("child_read"):
            self._timed("spliced", HERE / "splice.py", self.data / "child_read", work / "spliced")
            varied = ("--varied", "--copies", 4)
            self._timed("varied", HERE / "splice.py", self.data / "child_read", work / "varied", *varied)
        if self.english and self._there("synthetic") and not (work / "meetings" / "train.jsonl").exists():
            manifest = self.data / "synthetic" / "manifest.jsonl"
            self._asrlsa("prepare", manifest, "-o", work / "meetings", "--split", "source", "--text", "both", "-q")
        join(work, work / "data")

    def train(self) -> None:
        """Train one adapter for each model and method."""
        from asrlsa.training.recipe import load_settings

        for model in self.given.models:
            for method in self.given.methods:
                recipe, name = HERE / f"{method}.toml", f"{model}-{method}"
                begun: list[Any] = []
                for one in self._rounds(model):
                    data = self.work / f"data-{model}{one.name}"
                    join(self.work, data, thin=one.thin, numbers=one.numbers, varied=one.varied)
                    more: list[Any] = ["--set", f"train.lr={one.slower * load_settings(recipe).train.lr:g}"]
                    more += ["--steps", one.steps] if one.steps else []
                    more += PROMPTED if one.prompted else ()
                    self._finetune(f"{name}{one.name}", recipe, data, ["--base", model, *begun, *more])
                    begun = ["--adapter", self.work / f"{name}{one.name}" / "adapter"]

    def _rounds(self, model: str) -> tuple[Round, ...]:
        return ROUNDS.get(model, ROUNDS["base"]) if self.english else ELSEWHERE

    def choose(self) -> None:
        """Make each adapter what will ship: float16, with the settings of the search; find what else is open."""
        from measuring import decide

        for model, method in self._trained():
            run = self.work / f"{model}-{method}"
            rounded(run / "adapter")  # so that what is measured is what ships
            decide(run / "adapter", **CHOSEN.search())
            if self._settled(model) is not None:
                continue
            sets = [self.work / name for name in ("corpus", "spliced") if (self.work / name / "dev.jsonl").exists()]
            self._timed(
                f"choose-{model}-{method}",
                HERE / "calibrate.py",
                run / "adapter",
                *("--base", model, "--disfluent", *(self.given.dev or sets), "--strengths", STRENGTHS),
                *("--language", self.given.language, "--threads", self.given.threads, "-o", run / "calibrate.json"),
            )

    def _settled(self, model: str) -> Chosen | None:
        """Return what is known for a model already, or None where it is to be measured."""
        return CHOSEN if self.english and model in ROUNDS and not self.given.dev else None

    def evaluate(self) -> None:
        """Measure every system on every group."""
        systems = []
        for model in self.given.models:
            systems += [f"{model}-stock={model},prompt=no", f"{model}-prompt={model},prompt=yes"]
        for model, method in self._trained():
            folder = self.work / f"{model}-{method}"
            use = chosen_of(folder, self._settled(model))
            systems.append(
                f"{model}-{method}={model},adapter={folder / 'adapter'},strength={use.strength:g},"
                f"prompt={'yes' if use.prompted else 'no'}"
            )
        groups = ("real", "synthetic", "samples", "fluent") if self.english else ("synthetic", "dev")
        self._measure(HERE / "results" / self.given.language, systems, groups)

    def ablate(self) -> None:
        """Train tiny.en without one ingredient after the other; all get the same number of steps."""
        systems = ["stock=tiny.en,prompt=no", "prompt=tiny.en,prompt=yes"]
        for name in self.given.ablations:
            settings, left_out = ABLATIONS[name]
            data = self.work / f"data-ablation-{left_out or 'all'}"
            join(self.work, data, left_out, thin=1 if left_out == "nothing" else 3)
            filled = [text.format(work=self.work) for text in settings]
            common = ["--base", "tiny.en", "--steps", ABLATION_STEPS, *filled]
            self._finetune(f"ablation-{name}", HERE / "lora.toml", data, common)
            prompt = "no" if settings != PROMPTED else "yes"
            systems.append(f"{name}=tiny.en,adapter={self.work / f'ablation-{name}' / 'adapter'},prompt={prompt}")
        self._measure(HERE / "results" / "ablation", systems, ("real", "fluent"))

    def package(self) -> None:
        """Put the adapters into the package, with cards."""
        if not self.english:
            return
        for model in self.given.models:
            run = self.work / f"{model}-{self.given.ship}"
            results = HERE / "results" / "eng" / f"{model}-{self.given.ship}.json"
            home = ROOT / "asrlsa" / "speech" / "data" / "verbatim" / model
            found = json.loads(results.read_text(encoding="utf-8"))
            packed(run, found, home, chosen_of(run, self._settled(model)), len(self._rounds(model)))

    def _trained(self) -> Iterator[tuple[str, str]]:
        for model in self.given.models:
            for method in self.given.methods:
                if (self.work / f"{model}-{method}" / "adapter" / "asrlsa.json").exists():
                    yield model, method

    def _there(self, name: str) -> bool:
        there = (self.data / name / "manifest.jsonl").exists()
        if not there:
            print(f"{self.data / name}: is not there, left out", flush=True)
        return there

    def _measure(self, out: Path, systems: Sequence[str], groups: Sequence[str]) -> None:
        dev = ["--dev", self.work / "spliced"] if (self.work / "spliced" / "dev.jsonl").exists() else []
        self._timed(
            f"evaluate-{out.name}",
            HERE / "evaluate.py",
            self.data if self.english else self.work / "no-recordings",
            *("--corpus", self.work / "corpus", *dev, "-o", out, "--groups", ",".join(groups)),
            *("--language", self.given.language, "--threads", self.given.threads, *systems),
        )

    def _finetune(self, name: str, recipe: Path, data: Path, arguments: Sequence[Any]) -> None:
        """Train without dev data: the last weights are kept, and `choose` measures as `asrlsa transcribe` decodes."""
        from asrlsa.training.recipe import load_settings

        out = self.work / name
        resume = ["--resume"] if (out / "recipe.toml").exists() else []
        if resume:
            learnt = load_settings(out / "recipe.toml").files.train
            if Path(learnt).resolve() != (data / "train.jsonl").resolve():
                sys.exit(f"{out}: learns from {learnt}, which this version calls {data / 'train.jsonl'}: move it away")
        if (out / "adapter" / "asrlsa.json").exists():
            return
        extra = [part for text in self.given.set for part in ("--set", text)]
        threads = ["--set", f"train.threads={self.given.threads}", "--set", f"train.precision={precision()}"]
        train = ["--set", f"data.train={data / 'train.jsonl'}", "--set", "train.eval_every=0"]
        train += ["--set", f"train.save_every={SAVED}"]
        begin = time.monotonic()
        self._asrlsa("finetune", recipe, *train, *arguments, *threads, *extra, "-o", out, *resume)
        self._note(name, begin)

    def _asrlsa(self, *arguments: Any) -> None:
        self._called([sys.executable, "-m", "asrlsa", *map(str, arguments)])

    def _timed(self, name: str, script: Path, *arguments: Any) -> None:
        begin = time.monotonic()
        self._called([sys.executable, str(script), *map(str, arguments)])
        self._note(name, begin)

    def _called(self, command: Sequence[str]) -> None:
        print(f"== {' '.join(command[1:])}", flush=True)
        done = subprocess.run(command, check=False)
        if done.returncode:
            sys.exit(f"{Path(command[1]).name} ended with {done.returncode}; the same command goes on")

    def _note(self, name: str, begin: float) -> None:
        """Add up how long a step took, over interruptions."""
        path = self.work / "minutes.json"
        there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        there[name] = round(there.get(name, 0.0) + (time.monotonic() - begin) / 60, 1)
        path.write_text(json.dumps(there, indent=1) + "\n", encoding="utf-8")


def precision() -> str:
    """Return the faster arithmetic: bfloat16 on a GPU and on CPUs that have it, several times slower on the others."""
    flags = Path("/proc/cpuinfo")
    has = flags.exists() and re.search(r"\b(avx512_bf16|amx_bf16)\b", flags.read_text(encoding="utf-8"))
    return "bfloat16" if has else "auto"


def join(
    work: Path,
    out: Path,
    left_out: str = "",
    *,
    thin: int = 1,
    numbers: range | None = None,
    varied: bool = False,
) -> None:
    """Join the manifests of train and dev.

    Args:
        work: Where the sources lie.
        out: Where the joined manifests are written.
        left_out: A source that train does without, ``negatives`` (the corpus's hard ones), or anything else for
            nothing.
        thin: Keep only one in so many utterances with a fragment.
        numbers: Recordings of the corpus that train takes; without it all.
        varied: With what ``splice.py --varied`` made.
    """
    from asrlsa.manifest import read_rows, write_rows

    negatives = set(_negatives(work)) if left_out == "negatives" else set()

    def keep(row: Any) -> bool:
        if "- " in row.text and hash_of(row.id) % thin:
            return False
        if numbers is not None and row.id.startswith("corpus-") and number_of(row.audio) not in numbers:
            return False
        return row.id not in negatives

    for split in ("train", "dev"):
        rows: list[Any] = []
        for name in ("corpus", "meetings", "spliced", *(("varied",) if varied else ())):
            manifest = work / name / f"{split}.jsonl"
            if manifest.exists() and (split == "dev" or name != left_out):
                rows += [replace(row, id=f"{name}-{row.id}") for row in read_rows(manifest)]
        write_rows(out / f"{split}.jsonl", _kept(rows, keep) if split == "train" else rows)


def number_of(audio: Path) -> int:
    """Return the number of a recording of the corpus: eng00017.flac is 17."""
    return int(audio.stem[3:])


def hash_of(text: str) -> int:
    """Return a number that is the same in every run."""
    import zlib

    return zlib.crc32(text.encode())


def _kept(rows: Sequence[Any], keep: Callable[[Any], bool]) -> Iterator[Any]:
    """Yield the rows that stay; the sound of a row that does not is cut out of the windows."""
    gone: Path | None = None
    for row in rows:
        if not keep(row):
            gone = row.audio
            continue
        yield replace(row, joins=False) if row.audio == gone else row
        gone = None


def _negatives(work: Path) -> Iterator[str]:
    from asrlsa.synthesis.script import NEGATIVES

    for part in sorted((work / "corpus" / "parts").glob("*.json")):
        found = json.loads(part.read_text(encoding="utf-8"))
        for i, row in enumerate(found["utterances"]):
            if row["kind"] in NEGATIVES:
                yield f"corpus-{found['id']}-{i:02d}"


def chosen_of(run: Path, settled: Chosen | None) -> Chosen:
    """Return how an adapter is used: as settled, else with the strength and prompt that are best on dev."""
    from calibrate import ALLOWED, best

    if settled is not None:
        return settled
    found = json.loads((run / "calibrate.json").read_text(encoding="utf-8"))["results"]
    chosen = best(found, ALLOWED)
    if chosen is None:
        sys.exit(f"{run / 'calibrate.json'}: no strength leaves fluent clips as they are")
    return Chosen(float(chosen["strength"]), bool(chosen["prompt"]))


def rounded(adapter: Path) -> None:
    """Store the weights of an adapter in float16, unless they are."""
    from safetensors.numpy import load_file, save_file

    from asrlsa.conversion import adapters

    arrays = load_file(adapter / adapters.WEIGHTS)
    if any(value.dtype != np.float16 for value in arrays.values()):
        save_file({key: value.astype(np.float16) for key, value in arrays.items()}, adapter / adapters.WEIGHTS)


def packed(run: Path, results: dict[str, Any], home: Path, use: Chosen, rounds: int) -> None:
    """Write an adapter with a card that says what it is and how it is used."""
    from asrlsa.conversion import adapters
    from asrlsa.model_card import read_card, write_card
    from asrlsa.speech.prompts import style_prompt

    card = read_card(run / "adapter")
    if card is None:
        sys.exit(f"{run / 'adapter'}: has no card")
    home.mkdir(parents=True, exist_ok=True)
    for name in (adapters.WEIGHTS, adapters.CONFIG):
        (home / name).write_bytes((run / "adapter" / name).read_bytes())
    scores: dict[str, float] = {}
    for group, name in (("real", "real"), ("synthetic", "synthetic")):
        found = results["groups"].get(group)
        for kind, (matched, said, written) in (found or {"events": {}})["events"].items():
            if said:
                scores[f"{name}_{kind}_recall"] = round(100 * matched / said, 1)
                scores[f"{name}_{kind}_precision"] = round(100 * matched / max(1, written), 1)
        if found:
            scores[f"{name}_wer"] = round(found["wer"]["value"], 1)
    about = {
        **card.data,
        "rounds": f"{rounds}; the numbers of utterances, hours, windows and steps are those of the last",
        "what": "synthetic disfluent speech; children reading, made disfluent by splicing; meeting sentences spoken by "
        "synthetic voices; recipes/verbatim",
        "licences": LICENCES,
    }
    write_card(
        home,
        replace(
            card,
            verbatim=True,  # finetune says no where every window had the prompt; the earlier rounds had none
            strength=use.strength,
            prompt=style_prompt("en") if use.prompted else "",
            data=about,
            scores={**card.scores, **scores},
            notes=LIMITS,
        ),
    )


if __name__ == "__main__":
    main()
