"""The dev recordings: windows of the deployed length, what the model writes for them, and its scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asrlsa.errors import ConfigError
from asrlsa.manifest import Row
from asrlsa.scoring.metrics import Sums
from asrlsa.training.batches import Collator
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.dataset import Draw, WindowDataset, make_dataset
from asrlsa.training.logs import counted, hours
from asrlsa.training.loss import IGNORED
from asrlsa.training.scores import DevScores, Written, greedy, group_rows, longest_text, prompt_length, score
from asrlsa.training.vocabulary import Vocabulary

Model = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the work is this process's, and how the parts come together.

    Attributes:
        rank: Number of this process.
        world: Number of processes.
        gather: Puts the lists of all processes together.
        in_step: Every process must call the model equally often (sharded weights); None where that does not matter.
            It is told whether this process is done and says whether all are.
    """

    rank: int = 0
    world: int = 1
    gather: Callable[[list[Any]], list[Any]] = list
    in_step: Callable[[bool], bool] | None = None


def dev_settings(settings: DataSettings) -> DataSettings:
    """Return how dev windows are made: as the model will be used, the same every time.

    Speakers are never joined across groups, timestamps and prompts are there only where every training window had them.
    """
    return dataclasses.replace(
        settings,
        timestamps=float(settings.timestamps == 1),
        prompt_share=float(settings.prompt_share == 1),
        noise_only=0.0,
        spec_augment=0.0,
        noise=0.0,
        telephone=0.0,
    )


class DevSet:
    """The windows to evaluate on, apart by group, so that a bootstrap may draw groups."""

    def __init__(
        self,
        rows: Sequence[Row],
        settings: DataSettings,
        vocabulary: Vocabulary,
        *,
        n_mels: int = 80,
        positions: int = 448,
    ) -> None:
        """Pack the rows; rows without text are left out, as `asrlsa transcribe` never decodes silence.

        Raises:
            ConfigError: No row can be used.
            TargetError: A language that the model does not know.
        """
        self.vocabulary, self.positions = vocabulary, positions
        self.timestamps = settings.timestamps == 1
        made = dev_settings(settings)
        spoken = [row for row in rows if row.text.strip()]
        self.given = len(spoken)
        if not spoken:
            raise ConfigError("the dev manifest has no text to score against")
        problems = []
        self.windows: list[tuple[WindowDataset, int, str]] = []
        self.rows = 0
        for name, group in group_rows(spoken).items():
            try:
                dataset = make_dataset(group, made, vocabulary, n_mels=n_mels, training=False, name="the dev manifest")
            except ConfigError as error:  # nothing of this group can be used; of others it may
                problems.append(error)
                continue
            self.windows += [(dataset, i, name) for i in range(len(dataset))]
            self.rows += dataset.summary().rows
        if not self.windows:
            raise problems[0]
        self.speech_seconds = sum(float(d.speech_seconds[i]) for d, i, _ in self.windows)

    def __len__(self) -> int:
        return len(self.windows)

    def describe(self) -> str:
        """Return one line."""
        groups = len({name for _, _, name in self.windows})
        left = f"{self.rows:,} of " if self.rows != self.given else ""
        number = counted(self.given, "utterance")
        return (
            f"{left}{number}, {hours(self.speech_seconds)} of speech, in "
            f"{counted(len(self), 'window')}, {counted(groups, 'group')} of recordings"
        )

    def evaluate(
        self,
        model: Model,
        generation: Any,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        batch: int = 8,
        share: Share | None = None,
        resamples: int = 0,
        seed: int = 0,
        told: Callable[[int, int], None] = lambda done, windows: None,
    ) -> tuple[DevScores, list[Sums]]:
        """Let the model write every window and score it.

        Args:
            model: The model in eval mode, with its loss head installed.
            generation: Its ``generation_config``, which names the tokens that are never written.
            device: Where inputs go.
            dtype: Type of the features.
            batch: Windows decoded together.
            share: This process's part; None does all.
            resamples: Bootstrap draws for intervals; 0 for none.
            seed: Seed of the draws.
            told: Called with the number of windows that this process has done, and that it has to do.

        Returns:
            The scores, the same on every process, and the sums of each group.
        """
        share = share or Share()
        written: list[Written] = []
        total = count = 0.0
        collate = Collator(self.vocabulary.eot, dtype=dtype)
        mine = list(self._batches(batch, share))
        done, windows = 0, sum(len(numbers) for numbers, _ in mine)
        for numbers, counts in mine:
            items = [self._item(k) for k in numbers]
            found, loss, labels = self._write(model, generation, collate(items), items, numbers, device, share)
            if counts:
                written += found
                total, count = total + loss, count + labels
            done += len(numbers)
            told(done, windows)
        everything = share.gather([(w, None) for w in written] + [(None, (total, count))])
        scores, sums = score([w for w, _ in everything if w is not None], resamples=resamples, seed=seed)
        totals = [t for _, t in everything if t is not None]
        mean = sum(t[0] for t in totals) / max(sum(t[1] for t in totals), 1.0)
        return dataclasses.replace(scores, loss=mean), sums

    def _batches(self, size: int, share: Share) -> Iterator[tuple[list[int], bool]]:
        """Yield this process's batches of windows of like prompt and length, and whether each counts."""
        keys = {k: (self._prompt_length(k), d.frames(i)) for k, (d, i, _) in enumerate(self.windows)}
        order = sorted(keys, key=lambda k: keys[k])
        batches: list[list[int]] = []
        for k in order:
            if batches and len(batches[-1]) < size and keys[batches[-1][0]][0] == keys[k][0]:
                batches[-1].append(k)
            else:
                batches.append([k])
        own = batches[share.rank :: share.world]
        yield from ((numbers, True) for numbers in own)
        if share.in_step is not None and len(own) < -(-len(batches) // share.world):
            yield batches[0], False

    def _item(self, k: int) -> dict[str, Any]:
        dataset, index, _ = self.windows[k]
        return dataset[Draw(index, 0)]

    def _prompt_length(self, k: int) -> int:
        dataset, index, _ = self.windows[k]
        if dataset.settings.prompt_share == 1:  # a long text may leave no room for the prompt
            return prompt_length(self._item(k)["labels"].tolist())
        return len(self.vocabulary.start(dataset.window(index).language)) + (not self.timestamps)

    def _write(
        self,
        model: Model,
        generation: Any,
        inputs: dict[str, Any],
        items: Sequence[Mapping[str, Any]],
        numbers: Sequence[int],
        device: torch.device,
        share: Share,
    ) -> tuple[list[Written], float, float]:
        labels, ids = inputs.pop("labels"), inputs.pop("decoder_input_ids")
        length = prompt_length(items[0]["labels"].tolist())
        sound = {
            k: v.to(device) if isinstance(v, Tensor) else tuple(t.to(device) for t in v) for k, v in inputs.items()
        }
        windows = [self.windows[k][0].window(self.windows[k][1]) for k in numbers]
        limits = [longest_text(w.duration / 1000, length, self.positions) for w in windows]
        never, not_first = self.forbidden(generation, device)
        tokens, encoded = greedy(
            model,
            sound,
            ids[:, :length].to(device),
            limits,
            eot=self.vocabulary.eot,
            forbidden=never,
            forbidden_first=not_first,
            all_done=share.in_step or bool,
        )
        with torch.no_grad():
            out = model(
                encoder_outputs=encoded,
                decoder_input_ids=ids.to(device),
                labels=labels.to(device),
                num_items_in_batch=1,
            )
        found = [
            Written(
                group=self.windows[k][2],
                order=k,
                said=tuple(piece.text for piece in window.pieces),
                text=self.vocabulary.decode(row),
                language=window.language,
                truncated=len(row) >= limit,
            )
            for k, window, row, limit in zip(numbers, windows, tokens, limits, strict=True)
        ]
        return found, float(out["loss"]), float((labels != IGNORED).sum())

    def forbidden(self, generation: Any, device: torch.device) -> tuple[Tensor, Tensor]:
        """Tokens that are never written, and those that no text begins with, as `asrlsa transcribe` decodes."""
        vocabulary = self.vocabulary
        last = vocabulary.timestamp_begin + 1501
        specials = range(vocabulary.eot + 1, vocabulary.timestamp_begin if self.timestamps else last)
        size = int(getattr(generation, "vocab_size", None) or last)
        never = {*(getattr(generation, "suppress_tokens", None) or ()), *specials} - {vocabulary.eot}
        first = set(getattr(generation, "begin_suppress_tokens", None) or ())
        return (
            torch.tensor(sorted(t for t in never if 0 <= t < size), device=device, dtype=torch.long),
            torch.tensor(sorted(t for t in first if 0 <= t < size), device=device, dtype=torch.long),
        )
