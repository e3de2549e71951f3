"""The rank that was learnt, by layer and matrix: the figure of the S2-LoRA paper, as tables and as SVG.

S2-LoRA's rank of a matrix is the number of its coefficients that are not zero, AdaLoRA's the number of singular values
that were not pruned; LoRA and DoRA have the rank that was set.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asrlsa.conversion import adapters, tensor_file
from asrlsa.conversion.settings import read_json
from asrlsa.errors import ModelError

if TYPE_CHECKING:
    from rich.table import Table

MATRICES: Final = {
    "encoder": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2"),
    "decoder": (
        *(f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")),
        *(f"encoder_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")),
        "fc1",
        "fc2",
    ),
}
_SHORT: Final = {"self_attn": "self", "encoder_attn": "cross"}
_COUNTED: Final = {"S2LORA": "s2lora_lambda", "ADALORA": "lora_E", "LORA": "lora_A.weight"}
# Cividis of matplotlib (Nuñez, Anderton and Renslow 2018), made to be read alike with and without colour blindness.
_CIVIDIS: Final = ((0, 34, 78), (53, 69, 108), (102, 105, 112), (148, 142, 119), (200, 184, 102), (254, 232, 56))


@dataclass(frozen=True, slots=True)
class Rank:
    """Learnt rank of one weight matrix.

    Attributes:
        side: ``encoder`` or ``decoder``.
        layer: From 0, nearest to the input.
        matrix: Such as ``fc1`` or ``encoder_attn.q_proj``.
        rank: 0 to ``most``.
        most: The rank that it could have had.
    """

    side: str
    layer: int
    matrix: str
    rank: int
    most: int


def learnt_ranks(folder: Path) -> list[Rank]:
    """Read the learnt ranks from an adapter's folder, without torch.

    Returns:
        One entry for each adapted matrix, the encoder first, then by layer and matrix.

    Raises:
        ModelError: It is no adapter, or its method has no ranks.
    """
    if not adapters.is_adapter(folder):
        raise ModelError(f"{folder}: holds no adapter ({adapters.CONFIG})")
    config = read_json(folder / adapters.CONFIG)
    kind = str(config.get("peft_type", "")).upper()
    if kind not in _COUNTED or config.get("bias") == "all":
        method = "bitfit" if config.get("bias") == "all" else kind.lower()
        raise ModelError(f"{folder}: an adapter trained with {method} has no ranks; s2lora, adalora and lora have")
    found = []
    for name, array in tensor_file.read_tensors(folder / adapters.WEIGHTS).items():
        place = re.search(r"\.(encoder|decoder)\.layers\.(\d+)\.(.+)\." + re.escape(_COUNTED[kind]) + "$", name)
        if place is not None:
            rank = int(array.shape[0]) if kind == "LORA" else int((array != 0).sum())
            most = max(int(config["init_r"] if kind == "ADALORA" else config["r"]), rank)
            found.append(Rank(place[1], int(place[2]), place[3], rank, most))
    order = {side: {matrix: i for i, matrix in enumerate(names)} for side, names in MATRICES.items()}
    return sorted(found, key=lambda r: (r.side != "encoder", r.layer, order[r.side].get(r.matrix, 99)))


def rich_tables(ranks: Sequence[Rank]) -> list[Table]:
    """Tables for the terminal, encoder and decoder apart: a row for each layer, a column for each matrix."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    tables = []
    for side, columns, rows in _grids(ranks):
        table = Table(title=f"learnt rank, {side} (at most {_most(ranks)})", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for heading in ("layer", *map(_short, columns), "mean"):
            table.add_column(heading.replace(" ", "\n"), justify="right", no_wrap=True)
        for row in (*_cells(rows, columns), _mean_row(rows, columns)):
            table.add_row(*row)
        tables.append(table)
    return tables


def markdown(ranks: Sequence[Rank]) -> str:
    """The same tables in Markdown."""
    parts = []
    for side, columns, rows in _grids(ranks):
        lines = [f"Learnt rank, {side} (at most {_most(ranks)}):", ""]
        lines.append("| " + " | ".join(["layer", *map(_short, columns), "mean"]) + " |")
        lines.append("|" + "-:|" * (len(columns) + 2))
        lines += ["| " + " | ".join(row) + " |" for row in (*_cells(rows, columns), _mean_row(rows, columns))]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n" if parts else ""


def svg(ranks: Sequence[Rank], title: str = "") -> str:
    """A heat map: layers by matrices, encoder and decoder apart, the rank written in each cell.

    Args:
        ranks: What `learnt_ranks` gave.
        title: Heading; also the picture's description for screen readers.

    Returns:
        A whole SVG document that needs nothing else; it can be put into HTML as it is.
    """
    cell_wide, cell_high, left, gap = 46, 22, 58, 34
    most = _most(ranks)
    grids = list(_grids(ranks))
    top = 78 if title else 54
    height = top + cell_high * max((len(rows) for _, _, rows in grids), default=0) + 64
    parts, x = [], left
    for side, columns, rows in grids:
        parts.append(_text(x + cell_wide * len(columns) / 2, top - 38, side, weight="bold"))
        for i, matrix in enumerate(columns):
            for line, word in enumerate(_short(matrix).split(" ")):
                parts.append(_text(x + cell_wide * (i + 0.5), top - 20 + 12 * line, word, size=10))
        for j, (layer, cells) in enumerate(sorted(rows.items(), reverse=True)):  # the output above, as models are drawn
            y = top + cell_high * j
            parts.append(_text(x - 8, y + 15, str(layer + 1), anchor="end"))
            for i, matrix in enumerate(columns):
                if matrix in cells:
                    parts.append(_cell(x + cell_wide * i, y, cell_wide, cell_high, cells[matrix], side, layer, matrix))
        parts.append(_text(x - 34, top + cell_high * len(rows) / 2, "layer", turn=True))
        x += cell_wide * len(columns) + gap + 20
    width = max(x - gap, 320)
    if title:
        parts.insert(0, _text(width / 2, 20, title, size=14, weight="bold"))
    parts.append(_scale(left, height - 40, most))
    label = html.escape(title or "learnt rank by layer and matrix")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{label}" font-family="sans-serif">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>' + "".join(parts) + "</svg>\n"
    )


_Row = Mapping[str, Rank]


def _grids(ranks: Sequence[Rank]) -> Iterator[tuple[str, list[str], dict[int, dict[str, Rank]]]]:
    """Side, its adapted matrices in order, and for each layer the rank of each."""
    for side, names in MATRICES.items():
        mine = [rank for rank in ranks if rank.side == side]
        rows: dict[int, dict[str, Rank]] = {}
        for rank in mine:
            rows.setdefault(rank.layer, {})[rank.matrix] = rank
        have = {rank.matrix for rank in mine}
        if mine:
            yield side, [n for n in names if n in have] + sorted(have - set(names)), dict(sorted(rows.items()))


def _cells(rows: Mapping[int, _Row], columns: Sequence[str]) -> Iterator[list[str]]:
    for layer, cells in rows.items():
        values = [str(cells[matrix].rank) if matrix in cells else "" for matrix in columns]
        yield [str(layer + 1), *values, _mean([rank.rank for rank in cells.values()])]


def _mean_row(rows: Mapping[int, _Row], columns: Sequence[str]) -> list[str]:
    by_matrix = [[cells[m].rank for cells in rows.values() if m in cells] for m in columns]
    return ["mean", *map(_mean, by_matrix), _mean([value for column in by_matrix for value in column])]


def _mean(values: Sequence[int]) -> str:
    return f"{sum(values) / len(values):.1f}" if values else ""


def _most(ranks: Sequence[Rank]) -> int:
    return max((rank.most for rank in ranks), default=1)


def _short(matrix: str) -> str:
    """``encoder_attn.q_proj`` -> ``cross q``; ``fc1`` stays."""
    block, _, name = matrix.rpartition(".")
    return f"{_SHORT.get(block, block)} {name.removesuffix('_proj')}".strip()


def _colour(share: float) -> tuple[int, int, int]:
    place = min(max(share, 0.0), 1.0) * (len(_CIVIDIS) - 1)
    low = min(int(place), len(_CIVIDIS) - 2)
    one, other = _CIVIDIS[low], _CIVIDIS[low + 1]
    red, green, blue = (round(a + (b - a) * (place - low)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _ink(colour: tuple[int, int, int]) -> str:
    """Black or white, whichever stands out more (WCAG's contrast of relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def _cell(x: float, y: float, wide: int, high: int, rank: Rank, side: str, layer: int, matrix: str) -> str:
    colour = _colour(rank.rank / rank.most)
    tip = html.escape(f"{side} layer {layer + 1}, {matrix}: rank {rank.rank} of {rank.most}")
    return (
        f'<g><title>{tip}</title><rect x="{x}" y="{y}" width="{wide - 1}" height="{high - 1}" fill="{_hex(colour)}"/>'
        + _text(x + wide / 2, y + 15, str(rank.rank), ink=_ink(colour))
        + "</g>"
    )


def _scale(x: int, y: int, most: int) -> str:
    steps = 24
    bars = "".join(
        f'<rect x="{x + 8 * i}" y="{y}" width="8" height="10" fill="{_hex(_colour(i / (steps - 1)))}"/>'
        for i in range(steps)
    )
    return (
        bars
        + _text(x, y + 24, "0", size=10)
        + _text(x + 8 * steps, y + 24, str(most), size=10)
        + _text(x + 4 * steps, y + 24, "rank", size=10)
    )


def _text(x: float, y: float, words: str, *, turn: bool = False, **style: Any) -> str:
    size, weight = style.get("size", 12), style.get("weight", "normal")
    rotate = f' transform="rotate(-90 {x:g} {y:g})"' if turn else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{style.get("anchor", "middle")}" fill="{style.get("ink", "#222222")}"{rotate}>'
        f"{html.escape(words)}</text>"
    )
