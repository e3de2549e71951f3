"""The rank that was learnt, by layer and matrix: the figure of the S2-LoRA paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Rank:
    """Learnt rank of one weight matrix: ``side`` encoder or decoder, ``layer`` from 0, ``matrix`` such as q_proj or
    encoder_attn.q_proj, ``rank`` of at most ``most``."""

    side: str
    layer: int
    matrix: str
    rank: int
    most: int


def learnt_ranks(folder: Path) -> list[Rank]:
    """Read the ranks from an adapter folder (s2lora, adalora; lora has its fixed rank); raises ModelError for others."""
    raise NotImplementedError


def markdown(ranks: list[Rank]) -> str:
    """Tables in Markdown, encoder and decoder apart."""
    raise NotImplementedError


def svg(ranks: list[Rank], title: str = "") -> str:
    """A heat map, layers by matrices, encoder and decoder apart."""
    raise NotImplementedError
