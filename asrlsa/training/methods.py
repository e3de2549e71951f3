"""The methods of fine-tuning, each behind the same few calls."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration

from asrlsa.model_card import METHODS

__all__ = ["METHODS"]

TARGETS = ("encoder", "decoder", "attention", "feed-forward", "q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


@dataclass(frozen=True, slots=True)
class MethodSettings:
    """How the model is adapted.

    Attributes:
        method: One of `METHODS`.
        r: Rank; None takes the method's: 16 (lora, dora), 32 (s2lora), 256 (vera).
        lora_alpha: Scale times rank; None takes 2 r (lora, dora, s2lora), 2 init_r (adalora).
        lora_dropout: Dropout of the adapter's input, 0 to 1.
        targets: What is adapted: sides (encoder, decoder), kinds (attention, feed-forward), matrices (q_proj, k_proj,
            v_proj, out_proj, fc1, fc2). Where none of a group is named, all of that group are meant.
        lora_plus: Ratio of the learning rate of B to that of A (LoRA+); None gives all the same.
        sharing: s2lora: ``global`` (one pair of banks) or ``shape`` (one for each shape of matrix).
        l1: s2lora: pull of the coefficients to zero, as a share of their learning rate.
        ortho: s2lora: weight of the orthogonality of the banks.
        init_r: adalora: rank at the start.
        target_r: adalora: mean rank at the end.
        tinit: adalora: steps before pruning; None takes a tenth of all steps.
        tfinal: adalora: steps after pruning; None takes three tenths of all steps.
        delta_t: adalora: steps between two prunings.
        orth_reg_weight: adalora: weight of orthogonality.
    """

    method: str = "lora"
    r: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float = 0.05
    targets: tuple[str, ...] = ("encoder", "decoder", "attention", "feed-forward")
    lora_plus: float | None = None
    sharing: str = "global"
    l1: float = 0.05
    ortho: float = 0.0
    init_r: int = 12
    target_r: int = 8
    tinit: int | None = None
    tfinal: int | None = None
    delta_t: int = 10
    orth_reg_weight: float = 0.5


@dataclass(slots=True)
class Attached:
    """A model with its method in place.

    Attributes:
        model: `peft.PeftModel`, or the model itself for ``full``. Wrap this one (DDP, FSDP, compile) as you like.
        settings: What was asked for.
        trainable: Number of parameters that are trained.
        total: Number of parameters of model and adapter.
    """

    model: Any
    settings: MethodSettings
    trainable: int
    total: int

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Groups for an optimizer: dicts with params, lr, weight_decay, name."""
        raise NotImplementedError

    def after_step(self, step: int, lr: float) -> None:
        """Do what the method does after ``optimizer.step()`` and before ``zero_grad()``.

        Args:
            step: Optimizer steps done, from 1.
            lr: The scheduled base learning rate of this step (that of the group ``name`` "main" or "A").
        """
        raise NotImplementedError

    def penalty(self) -> torch.Tensor | None:
        """Scalar to add to the loss once for each backward pass; None where the method has none."""
        raise NotImplementedError

    def as_base(self) -> AbstractContextManager[None]:
        """Context in which the model computes what the base model did (for KL); UsageError for ``full``."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What the method itself must remember for an exact resume, beyond weights and optimizer; torch.save-able."""
        raise NotImplementedError

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        raise NotImplementedError


def attach(model: WhisperForConditionalGeneration, settings: MethodSettings, total_steps: int) -> Attached:
    """Put a method on a model; only its parameters are left trainable. ``total_steps``: optimizer steps planned."""
    raise NotImplementedError
