"""Smaller weights: the smallest ones set to zero, or whole attention heads and feed-forward units taken out.

Zeros alone make nothing faster: every engine here multiplies them. Heads and units are taken out of the matrices, which
get smaller. ``asrlsa finetune`` recovers either kind: with ``train.keep_zeros`` zeros stay zeros, and a model of other
shapes is trained as it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import WhisperForConditionalGeneration

from asrlsa.conversion.folders import building, read_whisper, write_transformers
from asrlsa.errors import OutputError

PRUNED: Final = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
_IGNORED: Final = -100
_MULTIPLE: Final = 8  # widths that matrix kernels like

Kept = Mapping[str, Sequence[int]]


# Zeros.


@torch.no_grad()
def zero_smallest(model: nn.Module, share: float) -> int:
    """Set the smallest weights of every attention and feed-forward matrix to zero, the same share in each.

    By magnitude, as Han et al. (https://arxiv.org/abs/1506.02626); biases, norms, convolutions and embeddings stay.

    Args:
        model: The model, which is changed.
        share: Share of the weights of each matrix, 0 to 1.

    Returns:
        Number of weights that are zero now.
    """
    zeros = 0
    for _, weight in _matrices(model):
        count = round(share * weight.numel())
        if count:
            smallest = weight.detach().abs().flatten().argsort(stable=True)[:count]
            weight.view(-1)[smallest] = 0
        zeros += int((weight == 0).sum())
    return zeros


def hold_zeros(model: nn.Module) -> int:
    """Keep the weights that are zero now at zero while the model is trained, by taking away their gradient.

    AdamW then leaves them where they are: their moments stay zero, and weight decay shrinks nothing to nothing. Call it
    when it is settled which parameters are trained.

    Returns:
        Number of weights that are held.
    """
    held = 0
    for _, weight in _matrices(model):
        mask = weight.detach() != 0
        if weight.requires_grad and not bool(mask.all()):
            weight.register_hook(_Mask(mask))  # type: ignore[no-untyped-call]
            held += int((~mask).sum())
    return held


class _Mask:
    """Takes the gradient from where the mask is False."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def __call__(self, grad: Tensor) -> Tensor:
        if self.mask.device != grad.device:
            self.mask = self.mask.to(grad.device)
        return grad * self.mask


def _matrices(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, parameter in model.named_parameters():
        if name.endswith(".weight") and name.split(".")[-2] in PRUNED:
            yield name, parameter


# What matters.


def head_importance(
    model: WhisperForConditionalGeneration, batches: Iterable[Mapping[str, Tensor]], *, normalised: bool = False
) -> dict[str, Tensor]:
    """Return how much each attention head matters, by the gradient of the loss at a gate on its output.

    Michel et al. (https://arxiv.org/abs/1905.10650): the mean over examples of |dL / d gate| where every gate is 1.

    Args:
        model: The model; nothing in it is changed.
        normalised: Divide by the L2 norm over the heads of one attention, as the paper does. It matters where heads of
            different attentions are compared.
        batches: ``input_features``, ``decoder_input_ids`` and ``labels`` each, as `asrlsa.training.batches.Collator`
            makes them; other keys are ignored.

    Returns:
        Name of the attention, such as ``model.encoder.layers.0.self_attn``, to (heads,).
    """
    gates = {name: (attention.out_proj, attention.num_heads) for name, attention in _attentions(model)}
    found = _importance(model, batches, gates)
    if not normalised:
        return found
    return {name: values / values.norm().clamp(min=1e-12) for name, values in found.items()}


def row_importance(
    model: WhisperForConditionalGeneration, batches: Iterable[Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Return how much each feed-forward unit matters, by the gradient of the loss at a gate on its activation.

    That is the first-order Taylor criterion of Molchanov et al. (https://arxiv.org/abs/1611.06440): the mean over
    examples of what leaving a unit out would change, to first order.

    Args:
        model: The model; nothing in it is changed.
        batches: As for `head_importance`.

    Returns:
        Name of the layer, such as ``model.encoder.layers.0``, to (units,).
    """
    gates = {name: (layer.fc2, layer.fc2.in_features) for name, layer in _layers(model)}
    return _importance(model, batches, gates)


@torch.no_grad()
def row_magnitude(model: nn.Module) -> dict[str, Tensor]:
    """Return the size of each feed-forward unit: the L2 norm of its row of fc1 times that of its column of fc2.

    Magnitude for whole units, as Li et al. (https://arxiv.org/abs/1608.08710) have it for filters; it needs no data.
    """
    return {
        name: layer.fc1.weight.detach().float().norm(dim=1) * layer.fc2.weight.detach().float().norm(dim=0)
        for name, layer in _layers(model)
    }


_Gates = Mapping[str, tuple[nn.Module, int]]


def _importance(
    model: WhisperForConditionalGeneration, batches: Iterable[Mapping[str, Tensor]], gates: _Gates
) -> dict[str, Tensor]:
    """Mean over examples of the size of the gradient at each gate."""
    sums = {name: torch.zeros(count) for name, (_, count) in gates.items()}
    examples = 0
    training = model.training
    model.train(False)
    try:
        for batch in batches:
            examples += len(batch["labels"])
            for name, found in _gate_gradients(model, batch, gates).items():
                sums[name] += found.abs().sum(0).cpu()
    finally:
        model.train(training)
    return {name: total / max(examples, 1) for name, total in sums.items()}


def _gate_gradients(
    model: WhisperForConditionalGeneration, batch: Mapping[str, Tensor], places: _Gates
) -> dict[str, Tensor]:
    """Gradient of each example's own loss at its own gates: name to (B, gates); a gate scales part of an input."""
    gates: dict[str, Tensor] = {}
    size = len(batch["labels"])

    def gated(name: str, count: int) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            x = inputs[0]
            gates[name] = torch.ones(size, count, dtype=x.dtype, device=x.device, requires_grad=True)
            parts = x.view(*x.shape[:-1], count, -1)
            return ((parts * gates[name][:, None, :, None]).flatten(-2), *inputs[1:])

        return hook

    hooks = [module.register_forward_pre_hook(gated(name, count)) for name, (module, count) in places.items()]
    try:
        with torch.enable_grad():
            hidden = model.model(
                input_features=batch["input_features"], decoder_input_ids=batch["decoder_input_ids"], use_cache=False
            ).last_hidden_state
            logits = F.linear(hidden, model.proj_out.weight).float()
            labels = batch["labels"]
            losses = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=_IGNORED, reduction="none").sum(1)
            total = (losses / (labels != _IGNORED).sum(1).clamp(min=1)).sum()
            found = torch.autograd.grad(total, list(gates.values()))
    finally:
        for hook in hooks:
            hook.remove()
    return dict(zip(gates, found, strict=True))


def choose_heads(importance: Mapping[str, Tensor], share: float, *, even: bool = True) -> dict[str, list[int]]:
    """Choose the heads to keep.

    Args:
        importance: What `head_importance` gave.
        share: Share of the heads to take out, 0 to below 1.
        even: Take equally many out of every attention, which CTranslate2 runs at full gain. False takes the least
            important ones of the whole model, as Michel et al. do; every attention keeps at least one.

    Returns:
        Name of the attention to the numbers of its heads that stay, ascending.
    """
    if even:
        order = {name: values.argsort(descending=True).tolist() for name, values in importance.items()}
        left = {name: max(1, len(heads) - round(share * len(heads))) for name, heads in order.items()}
        return {name: sorted(heads[: left[name]]) for name, heads in order.items()}
    ranked = sorted((float(v), name, k) for name, values in importance.items() for k, v in enumerate(values))
    kept = {name: set(range(len(values))) for name, values in importance.items()}
    wanted = round(share * len(ranked))
    for _, name, head in ranked:
        if wanted and len(kept[name]) > 1:
            kept[name].remove(head)
            wanted -= 1
    return {name: sorted(heads) for name, heads in kept.items()}


def choose_rows(importance: Mapping[str, Tensor], share: float) -> dict[str, list[int]]:
    """Choose the feed-forward units to keep, the same share in every layer, rounded to a multiple of 8.

    Returns:
        Name of the layer to the numbers of its units that stay, ascending.
    """
    kept = {}
    for name, values in importance.items():
        count = max(1, round((1 - share) * len(values) / _MULTIPLE)) * _MULTIPLE
        kept[name] = sorted(values.argsort(descending=True)[: min(count, len(values))].tolist())
    return kept


# Taking out.


def remove_heads(model: WhisperForConditionalGeneration, keep: Kept) -> None:
    """Take attention heads out of the matrices, and out of the heads that word times are read from.

    Args:
        model: The model, which is changed.
        keep: Name of the attention to the heads that stay; an attention that is not named keeps all.
    """
    for name, attention in _attentions(model):
        if name not in keep:
            continue
        heads = list(keep[name])
        size = attention.head_dim
        places = torch.tensor([head * size + k for head in heads for k in range(size)])
        for part in ("q_proj", "k_proj", "v_proj"):
            _cut(getattr(attention, part), places, 0)
        _cut(attention.out_proj, places, 1)
        attention.num_heads = len(heads)
    known = getattr(model.generation_config, "alignment_heads", None)
    if known:
        left = []
        for layer, head in known:
            stay = keep.get(f"model.decoder.layers.{layer}.encoder_attn")
            if stay is None or head in stay:
                left.append([layer, head if stay is None else list(stay).index(head)])
        setattr(model.generation_config, "alignment_heads", left or _all_heads(model))  # noqa: B010


def remove_rows(model: nn.Module, keep: Kept) -> None:
    """Take feed-forward units out of fc1 and fc2.

    Args:
        model: The model, which is changed.
        keep: Name of the layer to the units that stay; a layer that is not named keeps all.
    """
    for name, layer in _layers(model):
        if name in keep:
            places = torch.tensor(list(keep[name]))
            _cut(layer.fc1, places, 0)
            _cut(layer.fc2, places, 1)


def fit_shapes(model: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Make a model's attentions and feed-forward layers as small as stored weights are.

    Shapes that no pruning can have made are left alone, for the caller to find wrong.

    Args:
        model: A model of the sizes that the configuration says.
        shapes: Name of a weight to its shape.
    """
    for name, attention in _attentions(model):
        wide, size = shapes.get(f"{name}.q_proj.weight", (0,))[0], attention.head_dim
        if 0 < wide < attention.embed_dim and wide % size == 0:
            remove_heads_of(attention, wide // size)
    for name, layer in _layers(model):
        wide = shapes.get(f"{name}.fc1.weight", (0,))[0]
        if 0 < wide < layer.fc1.out_features:
            _cut(layer.fc1, torch.arange(wide), 0)
            _cut(layer.fc2, torch.arange(wide), 1)


def remove_heads_of(attention: Any, left: int) -> None:
    """Keep the first heads of one attention."""
    places = torch.arange(left * attention.head_dim)
    for part in ("q_proj", "k_proj", "v_proj"):
        _cut(getattr(attention, part), places, 0)
    _cut(attention.out_proj, places, 1)
    attention.num_heads = left


def save_pruned(model: WhisperForConditionalGeneration, source: Path, out: Path) -> Path:
    """Write a pruned model as a transformers folder in float32.

    asrlsa trains, converts and decodes it. transformers itself loads it where no head and no unit was taken out: its
    configuration has no place for layers of different sizes.

    Args:
        model: The pruned model.
        source: Folder that it comes from, for the tokenizer and what else is not changed.
        out: Where to; it must not exist.

    Raises:
        OutputError: It can't be written, or ``out`` exists.
    """
    if out.exists():
        raise OutputError(f"{out}: exists already; give another folder")
    arrays = {k: v.detach().float().cpu().numpy() for k, v in model.state_dict().items() if k != "proj_out.weight"}
    whisper = read_whisper(source)
    heads = getattr(model.generation_config, "alignment_heads", None)
    generation = dict(whisper.generation) | ({"alignment_heads": heads} if heads else {})
    try:
        with building(out) as draft:
            write_transformers(dataclasses.replace(whisper, state=arrays, generation=generation), draft, "float32")
    except OSError as error:
        raise OutputError(f"{out}: can't be written ({error.strerror or error})") from None
    return out


def _all_heads(model: WhisperForConditionalGeneration) -> list[list[int]]:
    """Every head of the upper half of the decoder: what Whisper takes where none are known."""
    layers: Any = model.model.decoder.layers
    first = len(layers) // 2
    return [[k, h] for k in range(first, len(layers)) for h in range(layers[k].encoder_attn.num_heads)]


def _attentions(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if name.endswith(("self_attn", "encoder_attn")):
            yield name, module


def _layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if hasattr(module, "fc1") and hasattr(module, "fc2"):
            yield name, module


@torch.no_grad()
def _cut(linear: nn.Linear, places: Tensor, side: int) -> None:
    """Keep some outputs (side 0) or inputs (side 1) of a linear layer."""
    places = places.to(linear.weight.device)
    grad = linear.weight.requires_grad
    linear.weight = nn.Parameter(linear.weight.detach().index_select(side, places), requires_grad=grad)
    if side == 1:
        linear.in_features = len(places)
        return
    linear.out_features = len(places)
    if linear.bias is not None:
        grad = linear.bias.requires_grad
        linear.bias = nn.Parameter(linear.bias.detach().index_select(0, places), requires_grad=grad)


def zero_share(model: nn.Module) -> float:
    """Return the share of zeros in the attention and feed-forward matrices, 0 to 1."""
    counts = [(int((weight == 0).sum()), weight.numel()) for _, weight in _matrices(model)]
    return sum(zeros for zeros, _ in counts) / max(1, math.fsum(size for _, size in counts))
