"""The loss, without the logits: over 51,865 tokens they are most of the memory that training a small Whisper takes.

The loss is computed inside the model's forward pass, so that wrappers around the model (DDP, FSDP, DeepSpeed,
`torch.compile`) see one ordinary forward whose output is a loss, and the output weights are whole when they are used.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import WhisperForConditionalGeneration

from asrlsa.training.settings import DistilSettings, LossSettings

IGNORED = -100  # label of a token that is not learnt
_CHUNK_VALUES = 1 << 24  # logits held at once on a GPU, in values; 64 MB in float32
_CHUNK_VALUES_CPU = 1 << 22

Base = Callable[[], AbstractContextManager[Any]]


class _ChunkedLoss(torch.autograd.Function):
    """Cross entropy and Kullback-Leibler divergence, chunk by chunk; the gradients are made with the loss."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        token_weights: Tensor,
        smoothing: float,
        chunk: int,
        base: Tensor | None,
        base_weight: Tensor | None,
        pull: float,
        temperature: float,
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        entropy = hidden.new_zeros((), dtype=torch.float32)
        divergence = hidden.new_zeros((), dtype=torch.float32)
        for begin in range(0, len(hidden), chunk):
            part = slice(begin, begin + chunk)
            logits = F.linear(hidden[part], weight).float()
            log_p = torch.log_softmax(logits, -1)
            soft = log_p if temperature == 1 else torch.log_softmax(logits / temperature, -1)
            del logits
            gold, share = labels[part, None], token_weights[part]
            loss = -(1 - smoothing) * log_p.gather(1, gold).squeeze(1)
            if smoothing:
                loss -= smoothing * log_p.mean(1)
            entropy += (share * loss).sum()
            log_q = None
            if base is not None:
                other = weight if base_weight is None else base_weight
                log_q = torch.log_softmax(F.linear(base[part], other).float() / temperature, -1)
                divergence += temperature**2 * (log_q.exp() * (log_q - soft)).sum()
            if not (wants_hidden or wants_weight):
                continue
            if log_q is None:
                grad = log_p.exp_() * share[:, None]
            elif temperature == 1:
                grad = log_p.exp_() * (share + pull)[:, None]
            else:
                grad = log_p.exp_() * share[:, None]
                grad += (pull * temperature) * soft.exp_()
            grad.scatter_add_(1, gold, -(1 - smoothing) * share[:, None])
            if smoothing:
                grad -= (smoothing / grad.shape[1]) * share[:, None]
            if log_q is not None:
                grad -= (pull * temperature) * log_q.exp_()
            grad = grad.to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(grad, weight, out=grad_hidden[part])
            if grad_weight is not None:
                grad_weight += grad.t() @ hidden[part]
        ctx.save_for_backward(grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype))
        ctx.mark_non_differentiable(divergence)
        return entropy + pull * divergence if base is not None else entropy, divergence

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        hidden, weight = ctx.saved_tensors
        scale = grads[0]
        given = [None if g is None else g * scale.to(g.dtype) for g in (hidden, weight)]
        return (*given, None, None, None, None, None, None, None, None)


def chunk_rows(classes: int, device: torch.device) -> int:
    """Rows of logits to hold at once, so that a chunk is some tens of MB at most."""
    return max(16, (_CHUNK_VALUES_CPU if device.type == "cpu" else _CHUNK_VALUES) // classes)


def token_loss(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    token_weights: Tensor | None = None,
    smoothing: float = 0.0,
    chunk: int = 0,
    base: Tensor | None = None,
    base_weight: Tensor | None = None,
    pull: float = 0.0,
    temperature: float = 1.0,
    linear: bool = False,
) -> tuple[Tensor, Tensor]:
    """Sum over tokens of the cross entropy, plus ``pull`` times the divergence from the base model.

    The result and its gradients equal those of ``cross_entropy(hidden @ weight.T, labels, reduction="none")`` weighted
    and added up, and of ``kl_div(log_softmax(student), log_softmax(base), log_target=True, reduction="sum")``.

    Args:
        hidden: Decoder output (N, D).
        weight: Output embeddings (V, D).
        labels: Token ids (N,), none of them ignored.
        token_weights: Weight of each token (N,); None weighs all 1.
        smoothing: Label smoothing, 0 to 1.
        chunk: Rows of logits held at once; 0 chooses.
        base: Decoder output (N, D) of the base model for the same tokens; None has no divergence.
        base_weight: Output embeddings of the base model; None where they are ``weight``.
        pull: Weight of the divergence.
        temperature: T that both sides' logits are divided by for the divergence, which is multiplied by T squared so
            that its gradient keeps its size (Hinton et al., https://arxiv.org/abs/1503.02531).
        linear: Use PyTorch's own fused `linear_cross_entropy` where it can do what is asked for.

    Returns:
        The loss (), and the divergence alone () in nats, without gradient.
    """
    # PyTorch's does neither weights of tokens nor smoothing without the whole logits.
    if linear and base is None and token_weights is None and not smoothing and len(hidden):
        options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=chunk or None)
        fused = F.linear_cross_entropy(hidden, weight, labels, reduction="sum", options=options)
        return fused, hidden.new_zeros((), dtype=torch.float32)
    if token_weights is None:
        token_weights = torch.ones(len(labels), device=hidden.device)
    rows = chunk or chunk_rows(len(weight), hidden.device)
    if torch.is_autocast_enabled(hidden.device.type):
        kind = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(kind), weight.to(kind)
        base = None if base is None else base.to(kind)
        base_weight = None if base_weight is None else base_weight.to(kind)
    else:
        hidden = hidden.to(weight.dtype)
    with torch.autocast(hidden.device.type, enabled=False):
        found: tuple[Tensor, Tensor] = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
            hidden, weight, labels, token_weights.float(), smoothing, rows, base, base_weight, pull, temperature
        )
    return found


class LossHead:
    """What a Whisper model does with labels: gives the loss instead of the logits.

    Attributes:
        settings: What was asked for.
        timestamp_begin: Id of ``<|0.00|>``; the tokens from there on are timestamps.
        as_base: Context in which the model computes what the base did; None where there is no divergence.
        teacher: A frozen copy of the base for methods that change the weights themselves; used instead of ``as_base``.
        distil: How ``teacher`` is learnt from at every token; None where it is there for the fluent rows only.
    """

    def __init__(
        self,
        settings: LossSettings,
        timestamp_begin: int,
        *,
        as_base: Base | None = None,
        teacher: WhisperForConditionalGeneration | None = None,
        distil: DistilSettings | None = None,
    ) -> None:
        """Keep what every forward pass needs."""
        self.settings = settings
        self.timestamp_begin = timestamp_begin
        self.as_base = as_base
        self.teacher = teacher
        self.distil = distil

    def weights(self, labels: Tensor) -> Tensor | None:
        """Weight of each token of ``labels`` (any shape); None where all weigh 1."""
        if self.settings.timestamp_weight == 1:
            return None
        return torch.where(labels >= self.timestamp_begin, self.settings.timestamp_weight, 1.0)

    def count(self, labels: Tensor) -> Tensor:
        """Sum of the weights of the tokens that are learnt: what a sum of losses is divided by."""
        learnt = labels[labels != IGNORED]
        weights = self.weights(learnt)
        return torch.tensor(len(learnt), dtype=torch.float32) if weights is None else weights.sum()

    def forward(
        self,
        model: WhisperForConditionalGeneration,
        labels: Tensor,
        fluent: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **inputs: Any,
    ) -> dict[str, Tensor]:
        """Run ``model`` on ``inputs`` and return its loss.

        Args:
            model: The model.
            labels: Token ids (B, U), `IGNORED` where nothing is learnt.
            fluent: Rows (B,) that are to stay near the base model, as booleans.
            num_items_in_batch: What the sum is divided by; None takes the weight of the labels.
            inputs: What the model's own forward takes.

        Returns:
            ``loss`` (), and ``divergence`` () in nats a token where there are fluent rows.
        """
        inputs["use_cache"] = False
        labels = labels.to(model.proj_out.weight.device)
        learnt = labels != IGNORED
        if self.distil is not None and self.teacher is not None and model.training:
            return self._distilled(model, self.teacher, self.distil, labels, learnt, num_items_in_batch, inputs)
        keep = fluent.to(labels.device)[:, None] & learnt if fluent is not None and self.settings.kl > 0 else None
        base = base_weight = None
        if keep is not None and bool(keep.any()):
            # Before the model's own pass: a method may put the base's weights back in place for it.
            base, base_weight = self._base(model, inputs, keep)
        hidden = model.model(**inputs).last_hidden_state
        plain = learnt if keep is None else learnt & ~keep
        total, _ = self._sum(hidden[plain], model.proj_out.weight, labels[plain])
        found: dict[str, Tensor] = {}
        if keep is not None and base is not None:
            pulled, divergence = self._sum(hidden[keep], model.proj_out.weight, labels[keep], base, base_weight)
            total = total + pulled
            found["divergence"] = divergence / keep.sum()
        # Rows without any label still have to reach every parameter: DDP waits for the gradient of each.
        return {"loss": total / self._divisor(labels, num_items_in_batch) + 0.0 * hidden.float().sum(), **found}

    def _divisor(self, labels: Tensor, given: Tensor | int | None) -> Tensor | int:
        divisor = self.count(labels).clamp(min=1) if given is None else given
        return divisor.to(labels.device) if isinstance(divisor, Tensor) else divisor

    def _distilled(
        self,
        model: WhisperForConditionalGeneration,
        teacher: WhisperForConditionalGeneration,
        distil: DistilSettings,
        labels: Tensor,
        learnt: Tensor,
        num_items_in_batch: Tensor | int | None,
        inputs: dict[str, Any],
    ) -> dict[str, Tensor]:
        """``ce`` times the cross entropy plus ``kl`` times the divergence from the teacher, at every learnt token."""
        if "encoder_outputs" not in inputs and teacher.model.encoder is model.model.encoder:
            with torch.no_grad():  # one frozen encoder serves both
                encoded = model.model.encoder(inputs.pop("input_features")).last_hidden_state
            inputs["encoder_outputs"] = (encoded,)
        with torch.no_grad():
            target = teacher.model(**inputs).last_hidden_state[learnt]
        hidden = model.model(**inputs).last_hidden_state
        weights = self.weights(labels[learnt])
        weights = torch.ones(len(target), device=target.device) if weights is None else weights
        total, divergence = token_loss(
            hidden[learnt],
            model.proj_out.weight,
            labels[learnt],
            token_weights=distil.ce * weights,
            smoothing=self.settings.label_smoothing,
            chunk=self.settings.chunk,
            base=target,
            base_weight=teacher.proj_out.weight,
            pull=distil.kl,
            temperature=distil.temperature,
        )
        loss = total / self._divisor(labels, num_items_in_batch) + 0.0 * hidden.float().sum()
        return {"loss": loss, "divergence": divergence / max(len(target), 1)}

    def _sum(
        self, hidden: Tensor, weight: Tensor, labels: Tensor, base: Tensor | None = None, other: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        linear = self.settings.kind == "linear" or (self.settings.kind == "auto" and hidden.device.type == "cuda")
        return token_loss(
            hidden,
            weight,
            labels,
            token_weights=self.weights(labels),
            smoothing=self.settings.label_smoothing,
            chunk=self.settings.chunk,
            base=base,
            base_weight=other,
            pull=self.settings.kl,
            linear=linear,
        )

    def _base(
        self, model: WhisperForConditionalGeneration, inputs: dict[str, Any], keep: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Decoder output of the base model at the tokens of ``keep``, for the rows that have any."""
        rows = keep.any(1)
        chosen = {k: v[rows.to(v.device)] if isinstance(v, Tensor) else v for k, v in inputs.items()}
        if isinstance(chosen.get("encoder_outputs"), tuple):
            chosen["encoder_outputs"] = tuple(t[rows.to(t.device)] for t in chosen["encoder_outputs"])
        with torch.no_grad():
            if self.teacher is not None:
                hidden = self.teacher.model(**chosen).last_hidden_state
                return hidden[keep[rows]], self.teacher.proj_out.weight
            if self.as_base is None:
                raise RuntimeError("a divergence needs a base model")
            training: bool = model.training
            model.train(False)
            try:
                with self.as_base():
                    hidden = model.model(**chosen).last_hidden_state
            finally:
                model.train(training)
            return hidden[keep[rows]], None


def install_loss(model: WhisperForConditionalGeneration, head: LossHead) -> None:
    """Make ``model`` answer with a loss where it is given labels; without labels it does what it did."""
    original = type(model).forward

    def forward(self: WhisperForConditionalGeneration, *args: Any, labels: Tensor | None = None, **kwargs: Any) -> Any:
        if labels is None:
            return original(self, *args, **kwargs)
        return head.forward(self, labels, **kwargs)

    model.forward = types.MethodType(forward, model)
