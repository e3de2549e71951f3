"""The methods of fine-tuning, each behind the same few calls."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import AdaLoraConfig, IA3Config, LoraConfig, PeftConfig, VeraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import WhisperForConditionalGeneration

from asrlsa.errors import ConfigError, UsageError
from asrlsa.model_card import METHODS
from asrlsa.training.s2lora import S2LoraConfig

SIDES = ("encoder", "decoder")
KINDS = {"attention": ("q_proj", "k_proj", "v_proj", "out_proj"), "feed-forward": ("fc1", "fc2")}
MATRICES = tuple(matrix for kind in KINDS.values() for matrix in kind)
TARGETS = (*SIDES, *KINDS, *MATRICES)
_RANKS = {"lora": 16, "dora": 16, "s2lora": 32, "vera": 256}
_IA3 = ("k_proj", "v_proj", "fc2")  # keys, values, and what goes into the second feed-forward matrix


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
        lora_plus: Ratio of the learning rate of B (and of the coefficients) to that of A, LoRA+
            (https://arxiv.org/abs/2402.12354); None gives A and B the same.
        sharing: s2lora: ``global`` (one pair of banks) or ``shape`` (one for each shape of matrix).
        lambda_lr: s2lora: ratio of the coefficients' learning rate to that of the banks, without ``lora_plus``.
        l1: s2lora: pull of the coefficients to zero at each step, as a share of their learning rate.
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
    lambda_lr: float = 10.0
    l1: float = 0.05
    ortho: float = 0.0
    init_r: int = 12
    target_r: int = 8
    tinit: int | None = None
    tfinal: int | None = None
    delta_t: int = 10
    orth_reg_weight: float = 0.5

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A value is out of range; the message names the key.
        """
        _require(self.method in METHODS, "method", f"one of {', '.join(METHODS)}")
        _require(self.r is None or self.r >= 1, "r", "a whole number from 1")
        _require(self.lora_alpha is None or self.lora_alpha > 0, "lora_alpha", "a number above 0")
        _require(0 <= self.lora_dropout < 1, "lora_dropout", "0 to 1")
        unknown = [target for target in self.targets if target not in TARGETS]
        _require(not unknown, "targets", f"some of {', '.join(TARGETS)}")
        _require(bool(self.matrices), "targets", "matrices that belong to the kinds named beside them")
        _require(self.lora_plus is None or self.lora_plus > 0, "lora_plus", "a number above 0")
        _require(self.sharing in ("global", "shape"), "sharing", "global or shape")
        _require(self.lambda_lr > 0, "lambda_lr", "a number above 0")
        _require(0 <= self.l1 < 1, "l1", "0 to 1")
        _require(self.ortho >= 0, "ortho", "a number from 0")
        _require(self.init_r > self.target_r >= 1, "init_r", "a whole number above target_r")
        _require(self.delta_t >= 1, "delta_t", "a whole number from 1")
        _require(self.orth_reg_weight >= 0, "orth_reg_weight", "a number from 0")

    @property
    def sides(self) -> tuple[str, ...]:
        """Sides of the model that are adapted."""
        return tuple(side for side in SIDES if side in self.targets) or SIDES

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of the weight matrices that are adapted."""
        kinds = [kind for kind in KINDS if kind in self.targets] or list(KINDS)
        named = [matrix for matrix in MATRICES if matrix in self.targets]
        wanted = named or (_IA3 if self.method == "ia3" else MATRICES)
        return tuple(matrix for kind in kinds for matrix in KINDS[kind] if matrix in wanted)

    def covers(self, parameter: str) -> bool:
        """Whether a parameter of the whole model belongs to the targets (for full and bitfit).

        A layer norm belongs to the kind that it stands before; convolutions, embeddings and the last layer norms
        belong to no kind and are meant where every matrix is.
        """
        side = next((side for side in SIDES if f".{side}." in parameter), "decoder")
        if side not in self.sides:
            return False
        owner = next((matrix for matrix in MATRICES if f".{matrix}." in parameter), None)
        if owner is not None:
            return owner in self.matrices
        if "attn_layer_norm" in parameter:
            return set(KINDS["attention"]) <= set(self.matrices)
        if "final_layer_norm" in parameter:
            return set(KINDS["feed-forward"]) <= set(self.matrices)
        return set(MATRICES) <= set(self.matrices)


@dataclass(slots=True)
class Attached:
    """A model with its method in place.

    The loss is the trainer's own: `penalty` holds all that a method adds to it, so ``outputs.loss`` is not to be used.
    With gradient checkpointing, ``use_reentrant=False`` is needed: transformers hands the encoder's output to the
    decoder's layers in a way that the older form cuts out of the gradient.

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
    _saved: dict[str, Tensor] = field(default_factory=dict)  # bitfit: the base's biases
    _pruning: bool = False  # adalora whose ranks are still to be chosen

    @property
    def summary(self) -> str:
        """One line on the number of parameters."""
        share = 100 * self.trainable / self.total
        return f"{self.settings.method}: {self.trainable:,} of {self.total:,} parameters are trained ({share:.3g} %)"

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Groups for an optimizer, in an order that depends on the model alone.

        Args:
            lr: Learning rate of A, and of everything where no ratio is set.
            weight_decay: For matrices; vectors (biases, norms, coefficients) get none.

        Returns:
            Dicts with ``params``, ``lr``, ``weight_decay`` and ``name`` (main, A, B or lambda, and ``.vectors``).
        """
        plus = self.settings.lora_plus
        ratios = {"main": 1.0, "A": 1.0, "B": plus or 1.0, "lambda": plus or self.settings.lambda_lr}
        groups: dict[str, dict[str, Any]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                role = _role(name)
                vector = name.endswith((".bias", "_norm.weight")) or role == "lambda" or _is_vector(name)
                key = f"{role}.vectors" if vector else role
                decay = 0.0 if vector else weight_decay
                fresh = {"params": [], "lr": lr * ratios[role], "weight_decay": decay, "name": key}
                groups.setdefault(key, fresh)["params"].append(parameter)
        return list(groups.values())

    def after_step(self, step: int, lr: float) -> None:
        """Do what the method does after ``optimizer.step()`` and before ``zero_grad()``.

        Args:
            step: Optimizer steps done, from 1.
            lr: The scheduled learning rate of this step of the groups ``main`` or ``A``.

        Raises:
            UsageError: adalora with sharded parameters (FSDP).
        """
        if self.settings.method == "s2lora":
            self.model.base_model.sparsify(lr * (self.settings.lora_plus or self.settings.lambda_lr))
        elif self._pruning:
            if any(_is_sharded(p) for n, p in self.model.named_parameters() if "lora_E" in n):
                raise UsageError("adalora needs whole gradients: run it on one device or with DDP, not with FSDP")
            self.model.base_model.update_and_allocate(step)

    def penalty(self) -> Tensor | None:
        """Scalar to add to the loss once for each backward pass; None where the method has none.

        Raises:
            UsageError: The parameters it needs are sharded (FSDP).
        """
        if self.settings.method == "s2lora":
            if self.settings.ortho and any(_is_sharded(p) for p in self.model.base_model.s2lora_banks.parameters()):
                raise UsageError("s2lora's ortho needs whole banks: set method.ortho = 0 with FSDP")
            return self.model.base_model.penalty()  # type: ignore[no-any-return]
        if self.settings.method == "adalora" and self.settings.orth_reg_weight:
            return self.settings.orth_reg_weight * _orthogonality(self.model)
        return None

    @contextmanager
    def as_base(self) -> Iterator[None]:
        """Context in which the model computes what the base model did, for a divergence from it.

        Raises:
            UsageError: The method is ``full``, which keeps no base: make a frozen copy before training.
        """
        if self.settings.method == "full":
            raise UsageError("full fine-tuning changes the base itself; compare with a frozen copy of it")
        layers = [module for module in self.model.modules() if isinstance(module, BaseTunerLayer)]
        mine = {name: p for name, p in self.model.named_parameters() if name in self._saved}
        if len(mine) != len(self._saved):
            raise UsageError("bitfit can't be compared with its base while the model is sharded (FSDP)")
        learnt = {name: p.detach().clone() for name, p in mine.items()}
        # Not PEFT's disable_adapter(): that switches requires_grad, which DDP does not take well.
        try:
            for layer in layers:
                layer._disable_adapters = True
            _copy_into(mine, self._saved)
            yield
        finally:
            for layer in layers:
                layer._disable_adapters = False
            _copy_into(mine, learnt)

    def go_on_pruning(self, total_steps: int) -> None:
        """Spread adalora's pruning over so many steps; nothing for other methods and for what is pruned already.

        Raises:
            ConfigError: The schedule does not fit into the steps.
        """
        if self.settings.method == "adalora" and self.model.peft_config["default"].rank_pattern is None:
            config = self.model.peft_config["default"]
            config.total_step = total_steps
            config.tinit, config.tfinal = _schedule(self.settings, total_steps)
            self._pruning = True

    def state(self) -> dict[str, Any]:
        """What the method itself must remember for an exact resume, beyond weights and optimizer; torch.save-able."""
        if not self._pruning:
            return {}
        allocator = self.model.base_model.rankallocator
        kept = {name: dict(getattr(allocator, name)) for name in _ALLOCATOR}
        return {**kept, "rank_pattern": self.model.peft_config["default"].rank_pattern}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        if state:
            allocator = self.model.base_model.rankallocator
            for name in _ALLOCATOR:
                setattr(allocator, name, dict(state[name]))
            self.model.peft_config["default"].rank_pattern = state["rank_pattern"]


_ALLOCATOR = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def attach(model: WhisperForConditionalGeneration, settings: MethodSettings, total_steps: int) -> Attached:
    """Put a method on a model.

    Only the method's parameters are left trainable. The model itself is changed; torch's random state decides how an
    adapter starts.

    Args:
        model: What `load_base` gave.
        settings: The method.
        total_steps: Steps of the optimizer that are planned; adalora spreads its pruning over them.

    Raises:
        ConfigError: adalora's schedule does not fit into the steps.
    """
    model.requires_grad_(False)
    if settings.method == "full":
        return attached_as(model, settings)
    with peft_quiet():
        attached = attached_as(get_peft_model(model, peft_config(settings, total_steps)), settings)
    attached.go_on_pruning(total_steps)
    return attached


def attached_as(
    model: Any, settings: MethodSettings, *, trainable: bool = True, biases: Mapping[str, Tensor] | None = None
) -> Attached:
    """Wrap a model that has its method in place already.

    Args:
        model: A ``PeftModel``, or a whole model for ``full``.
        settings: The method.
        trainable: Whether its parameters are to be trained; otherwise all are frozen.
        biases: bitfit: the base's own biases by their names there; None takes those of ``model``.
    """
    saved = {}
    if settings.method == "full":
        for name, parameter in model.named_parameters():
            fixed = name.endswith("encoder.embed_positions.weight")  # sinusoids in Whisper
            parameter.requires_grad_(settings.covers(name) and not fixed)
    if settings.method == "bitfit":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.endswith(".bias") and settings.covers(name))
            if name.endswith(".bias"):
                own = name.removeprefix("base_model.model.")
                saved[name] = (parameter.detach() if biases is None else biases[own]).clone()
    if not trainable:
        model.requires_grad_(False)
    counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
    trained = sum(size for size, needs in counts if needs)
    return Attached(model, settings, trained, sum(size for size, _ in counts), saved)


@contextmanager
def peft_quiet() -> Iterator[None]:
    """Keep PEFT 0.21 from warning where nothing is to be done: names of transformers 5, keys of AdaLoRA's patterns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"The following rank_pattern keys .*lora_E'", RuntimeWarning)
        warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing", FutureWarning)
        yield


def peft_config(settings: MethodSettings, total_steps: int) -> PeftConfig:
    """Build PEFT's configuration of a method; arguments and errors as `attach`."""
    targets = _target_modules(settings)
    r = settings.r or _RANKS.get(settings.method, 1)
    alpha = settings.lora_alpha or 2 * r
    if settings.method in ("lora", "dora"):
        return LoraConfig(
            r=r,
            lora_alpha=alpha,  # type: ignore[arg-type]  # PEFT takes fractions too
            lora_dropout=settings.lora_dropout,
            target_modules=targets,
            use_dora=settings.method == "dora",
        )
    if settings.method == "s2lora":
        return S2LoraConfig(
            r=r,
            lora_alpha=alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=targets,
            sharing=settings.sharing,  # type: ignore[arg-type]  # checked in MethodSettings
            l1=settings.l1,
            ortho=settings.ortho,
        )
    if settings.method == "vera":
        return VeraConfig(r=r, vera_dropout=settings.lora_dropout, target_modules=targets)
    if settings.method == "ia3":
        # The scaling of fc2 works on what goes into it. PEFT wants the same form for both lists.
        inner = [matrix for matrix in settings.matrices if matrix == "fc2"]
        both = isinstance(targets, list)
        return IA3Config(
            target_modules=targets, feedforward_modules=inner if both else _pattern(settings.sides, inner or ["fc2"])
        )
    if settings.method == "bitfit":
        # PEFT has no BitFit. A LoRA of rank 1 on one matrix, of zeros and never trained, with bias="all": PEFT then
        # saves every bias and loads it back, without this project.
        one = f"model.{settings.sides[0]}.layers.0.self_attn.k_proj"  # keys have no bias in Whisper
        return LoraConfig(r=1, lora_alpha=1, target_modules=[one], bias="all")
    return _adalora(settings, targets, total_steps)


def _schedule(settings: MethodSettings, total_steps: int) -> tuple[int, int]:
    """Steps of adalora before and after pruning."""
    tinit = settings.tinit if settings.tinit is not None else total_steps // 10
    tfinal = settings.tfinal if settings.tfinal is not None else 3 * total_steps // 10
    # PEFT needs one step before the last pruning to know what is important.
    if not (0 <= tinit < total_steps - tfinal <= total_steps and total_steps - tfinal > 1):
        raise ConfigError(
            f"adalora can't prune in {total_steps} steps with tinit {tinit} and tfinal {tfinal}: train longer, or set "
            "method.tinit and method.tfinal lower"
        )
    return tinit, tfinal


def _adalora(settings: MethodSettings, targets: list[str] | str, total_steps: int) -> AdaLoraConfig:
    tinit, tfinal = _schedule(settings, total_steps)
    return AdaLoraConfig(
        init_r=settings.init_r,
        target_r=settings.target_r,
        tinit=tinit,
        tfinal=tfinal,
        deltaT=settings.delta_t,
        total_step=total_steps,
        lora_alpha=settings.lora_alpha or 2 * settings.init_r,  # type: ignore[arg-type]
        lora_dropout=settings.lora_dropout,
        orth_reg_weight=0.0,  # `Attached.penalty` has it, whatever loss is used
        target_modules=targets,
    )


def _target_modules(settings: MethodSettings) -> list[str] | str:
    """Names for PEFT: plain ones where both sides are meant, else a regular expression."""
    if settings.sides == SIDES:
        return list(settings.matrices)
    return _pattern(settings.sides, settings.matrices)


def _pattern(sides: tuple[str, ...], matrices: tuple[str, ...] | list[str]) -> str:
    return rf".*\.({'|'.join(sides)})\.layers\.\d+\.(.*\.)?({'|'.join(matrices)})"


def _role(name: str) -> str:
    """Group of a parameter: A, B (which starts at zero and may learn faster), lambda, main."""
    if "s2lora_lambda" in name:
        return "lambda"
    if any(part in name for part in ("lora_B", "lora_E", "vera_lambda_b", "s2lora_banks.default.B_")):
        return "B"
    if any(part in name for part in ("lora_A", "vera_lambda_d", "s2lora_banks.default.A_")):
        return "A"
    return "main"


def _is_vector(name: str) -> bool:
    return any(part in name for part in ("lora_E", "lora_magnitude_vector", "vera_lambda", "ia3_l"))


def _is_sharded(parameter: Tensor) -> bool:
    return hasattr(parameter, "to_local") or parameter.dim() < 2


def _orthogonality(model: nn.Module) -> Tensor:
    """Mean distance of AdaLoRA's A A^T and B^T B from the identity (https://arxiv.org/abs/2303.10512)."""
    terms = []
    for name, parameter in model.named_parameters():
        if ("lora_A" in name or "lora_B" in name) and parameter.requires_grad and parameter.numel():
            product = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
            terms.append(torch.linalg.norm(product - torch.eye(len(product), device=product.device)))
    return torch.stack([term.to(terms[0].device) for term in terms]).mean()


@torch.no_grad()
def _copy_into(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        if parameter.shape != values[name].shape:
            raise UsageError("bitfit can't be compared with its base while the model is sharded (FSDP)")
        parameter.copy_(values[name])


def _require(good: bool, name: str, wanted: str) -> None:
    if not good:
        raise ConfigError(f"method.{name} must be {wanted}")
