"""Learnt ranks are read from adapters as they are, and shown as tables and as a figure."""

from __future__ import annotations

import io
import itertools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from asrlsa.conversion import adapters, tensor_file
from asrlsa.errors import ModelError
from asrlsa.training.ranks import MATRICES, Rank, _colour, _ink, learnt_ranks, markdown, rich_tables, svg

MODULE = "base_model.model.model.{}.layers.{}.{}"


def make_adapter(folder: Path, arrays: dict[str, np.ndarray], **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    tensor_file.write_tensors(folder / adapters.WEIGHTS, arrays)
    (folder / adapters.CONFIG).write_text(json.dumps(config))
    return folder


def coefficients(*zero: int) -> np.ndarray:
    return np.array([0.0 if i in zero else -0.5 for i in range(4)], "<f4")


@pytest.fixture
def ranks() -> list[Rank]:
    return [
        Rank(side, layer, matrix, (3 * layer + i) % 9, 8)
        for side, names in MATRICES.items()
        for layer in range(2 if side == "encoder" else 12)
        for i, matrix in enumerate(names)
    ]


def test_s2lora_counts_what_is_not_zero(tmp_path):
    arrays = {
        MODULE.format("decoder", 10, "fc2.s2lora_lambda"): coefficients(0, 1, 2, 3),
        MODULE.format("decoder", 2, "encoder_attn.q_proj.s2lora_lambda"): coefficients(3),
        MODULE.format("encoder", 0, "fc1.s2lora_lambda"): coefficients(),
        MODULE.format("encoder", 0, "self_attn.k_proj.s2lora_lambda"): coefficients(1, 2),
        "base_model.s2lora_banks.A_all": np.ones((4, 8), "<f4"),
    }
    assert learnt_ranks(make_adapter(tmp_path / "a", arrays, peft_type="S2LORA", r=4)) == [
        Rank("encoder", 0, "self_attn.k_proj", 2, 4),
        Rank("encoder", 0, "fc1", 4, 4),
        Rank("decoder", 2, "encoder_attn.q_proj", 3, 4),
        Rank("decoder", 10, "fc2", 0, 4),
    ]


def test_adalora_and_lora(tmp_path):
    name = MODULE.format("encoder", 3, "fc1")
    pruned = {f"{name}.lora_E": np.array([[0.5], [0.0], [-0.1]], "<f4"), f"{name}.lora_A": np.ones((3, 8), "<f4")}
    assert learnt_ranks(make_adapter(tmp_path / "a", pruned, peft_type="ADALORA", r=8, init_r=12)) == [
        Rank("encoder", 3, "fc1", 2, 12)
    ]
    plain = {f"{name}.lora_A.weight": np.ones((5, 8), "<f4"), f"{name}.lora_B.weight": np.ones((8, 5), "<f4")}
    assert learnt_ranks(make_adapter(tmp_path / "l", plain, peft_type="LORA", r=1)) == [Rank("encoder", 3, "fc1", 5, 5)]


@pytest.mark.parametrize("config", [{"peft_type": "IA3"}, {"peft_type": "LORA", "bias": "all"}])
def test_methods_without_ranks(tmp_path, config):
    with pytest.raises(ModelError, match=r"trained with (ia3|bitfit) has no ranks"):
        learnt_ranks(make_adapter(tmp_path / "a", {"x": np.ones(1, "<f4")}, **config))
    with pytest.raises(ModelError, match="holds no adapter"):
        learnt_ranks(tmp_path)


@pytest.mark.parametrize("method", ["s2lora", "adalora", "lora", "dora"])
def test_ranks_of_what_training_saved(short_folder, tmp_path, method):
    torch = pytest.importorskip("torch")
    from methods_data import attached, optimizer_of, step

    from asrlsa.model_card import ModelCard
    from asrlsa.training.adapter_folder import save_adapter
    from asrlsa.training.base import load_base

    model = attached(short_folder, method, **({"l1": 0.4} if method == "s2lora" else {}))
    optimizer = optimizer_of(model)
    for number in range(1, 21):
        step(model, optimizer, number)
    found = learnt_ranks(save_adapter(tmp_path / "a", model, load_base(short_folder), ModelCard()))
    assert [(r.side, r.layer, r.matrix) for r in found] == [
        (side, layer, matrix) for side, names in MATRICES.items() for layer in range(2) for matrix in names
    ]
    learnt = {
        n.removeprefix("base_model.model.model."): int((p.detach() != 0).sum())
        for n, p in model.model.named_parameters()
        if "s2lora_lambda" in n or "lora_E" in n
    }
    for rank in found:
        if method in ("s2lora", "adalora"):
            part = "s2lora_lambda" if method == "s2lora" else "lora_E"
            assert rank.rank == learnt[f"{rank.side}.layers.{rank.layer}.{rank.matrix}.{part}.default"]
        else:
            assert rank.rank == 4
        assert rank.most == 4
    if method in ("s2lora", "adalora"):
        assert len({rank.rank for rank in found}) > 1
    assert torch.is_tensor(next(model.model.parameters()))


def test_markdown(ranks):
    text = markdown(ranks)
    encoder, decoder = text.split("\n\nLearnt rank, decoder (at most 8):\n\n")
    rows = encoder.splitlines()
    assert rows[0] == "Learnt rank, encoder (at most 8):"
    assert rows[2] == "| layer | self q | self k | self v | self out | fc1 | fc2 | mean |"
    assert rows[4] == "| 1 | 0 | 1 | 2 | 3 | 4 | 5 | 2.5 |"
    assert rows[5] == "| 2 | 3 | 4 | 5 | 6 | 7 | 8 | 5.5 |"
    assert rows[6] == "| mean | 1.5 | 2.5 | 3.5 | 4.5 | 5.5 | 6.5 | 4.0 |"
    assert len(decoder.splitlines()) == 2 + 12 + 1
    assert {line.count("|") for line in decoder.splitlines()} == {13}
    assert markdown([]) == ""


def test_tables_fit_a_terminal(ranks):
    from rich.console import Console

    for width in (80, 120):
        console = Console(width=width, file=io.StringIO())
        for table in rich_tables(ranks):
            console.print(table)
        text = console.file.getvalue()
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
        assert re.search(r"^ *2 +3 +4 +5 +6 +7 +8 +5\.5", text, re.MULTILINE)


def test_the_figure(ranks):
    picture = ElementTree.fromstring(svg(ranks, 'S2-LoRA & "base" <r 8>'))
    space = "{http://www.w3.org/2000/svg}"
    assert picture.get("aria-label") == 'S2-LoRA & "base" <r 8>'
    cells = picture.findall(f"{space}g")
    assert len(cells) == len(ranks)
    wide, high = float(picture.get("width")), float(picture.get("height"))
    for shape in picture.iter(f"{space}rect"):
        x, y = float(shape.get("x", 0)), float(shape.get("y", 0))
        assert 0 <= x <= x + float(shape.get("width")) <= wide
        assert 0 <= y <= y + float(shape.get("height")) <= high
    shown = {cell.find(f"{space}title").text: cell.find(f"{space}text").text for cell in cells}
    for rank in ranks:
        assert shown[f"{rank.side} layer {rank.layer + 1}, {rank.matrix}: rank {rank.rank} of 8"] == str(rank.rank)
    same = {}
    for rank, cell in zip(sorted(ranks, key=lambda r: (r.side != "encoder", -r.layer)), cells, strict=True):
        same.setdefault(rank.rank, set()).add(cell.find(f"{space}rect").get("fill"))
    assert all(len(fills) == 1 for fills in same.values())
    assert len({next(iter(fills)) for fills in same.values()}) == 9
    places = {(cell.find(f"{space}rect").get("x"), cell.find(f"{space}rect").get("y")) for cell in cells}
    assert len(places) == len(cells)
    ElementTree.fromstring(svg([]))


def luminance(colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_are_read_without_colour():
    """Brightness alone rises with the rank, and the number stands out from every shade (WCAG AA: 4.5)."""
    shades = [_colour(i / 32) for i in range(33)]
    brightness = [luminance(shade) for shade in shades]
    assert all(b > a for a, b in itertools.pairwise(brightness))
    for shade in shades:
        ink = 0.0 if _ink(shade) == "#000000" else 1.0
        high, low = max(ink, luminance(shade)), min(ink, luminance(shade))
        assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.shared
def test_the_trial_adapter(shared_data):
    folder = shared_data.parent / "prototypes" / "verbatim-trial" / "tiny-s2-adapter"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    found = learnt_ranks(folder)
    assert len(found) == 4 * 6 + 4 * 10
    assert {rank.most for rank in found} == {32}
