"""S2-LoRA as a PEFT tuner: sparsely shared low-rank adaptation.

Liu, Hsu, Chang and Lee, "Sparsely Shared LoRA on Whisper for Child Speech Recognition", ICASSP 2024,
https://arxiv.org/abs/2309.11756. The paper's abstract says that both low-rank matrices are shared by all weight
matrices and that each keeps a sparse vector of rank coefficients. What is computed here is our reading of it::

    W_m' = W_m + (alpha / r) * B diag(lambda_m) A

A (r x in) and B (out x r) form a bank: one for the whole model, of which a smaller matrix takes the first columns and
rows (``sharing="global"``), or one for every shape of weight matrix (``sharing="shape"``). They start Gaussian and
lambda_m starts at zero, so that the model starts unchanged. An L1 pull on the lambdas is applied as a proximal step
after the optimizer's, because a gradient of the L1 norm never reaches exactly zero.

Importing this module registers the tuner, so import it before `peft.PeftModel.from_pretrained` reads a saved one;
`S2LoraModel.to_lora` gives the equal plain LoRA, which needs nothing but PEFT. Rests on PEFT 0.21's hooks for the keys
of saved adapters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_adapters_to_merge
from peft.utils import PeftType, register_peft_method
from torch import Tensor, nn

_NAME = "S2LORA"
WHISPER_LINEARS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def _extend_peft_types() -> None:
    """Add the tuner to PEFT's closed Enum of methods; PEFT has no other way in for a method of one's own."""
    if _NAME in PeftType.__members__:
        return
    member = str.__new__(PeftType, _NAME)
    member._name_ = member._value_ = _NAME
    type.__setattr__(PeftType, _NAME, member)
    PeftType._member_map_[_NAME] = member
    PeftType._value2member_map_[_NAME] = member
    PeftType._member_names_.append(_NAME)


_extend_peft_types()


@dataclass
class S2LoraConfig(PeftConfig):
    """Settings of S2-LoRA; those that PEFT's other methods have mean the same.

    Attributes:
        r: Columns of B and rows of A in each bank: the highest rank that a matrix can learn.
        lora_alpha: The update is scaled by ``lora_alpha / r``.
        lora_dropout: Dropout of the update's input.
        sharing: ``global`` for one bank, ``shape`` for one bank for each (out, in).
        l1: Pull of the coefficients to zero. `S2LoraModel.sparsify` takes ``l1`` times the learning rate.
        ortho: Weight of ``|A A^T - I|^2 + |B^T B - I|^2`` over the banks, as in AdaLoRA.
    """

    r: int = 32
    lora_alpha: float = 64.0
    lora_dropout: float = 0.0
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    bias: Literal["none", "all"] = "none"
    modules_to_save: list[str] | None = None
    sharing: Literal["global", "shape"] = field(default="global")
    l1: float = 0.05
    ortho: float = 0.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A value is out of range.
        """
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = PeftType(_NAME)
        if isinstance(self.target_modules, list):
            self.target_modules = sorted(set(self.target_modules))
        if self.r < 1 or self.sharing not in ("global", "shape") or self.l1 < 0 or self.ortho < 0:
            raise ValueError("S2-LoRA needs r of at least 1, sharing 'global' or 'shape', l1 and ortho from 0")


class S2LoraLayer(nn.Module, BaseTunerLayer):
    """A linear layer with its own coefficients of shared banks."""

    adapter_layer_names = ("s2lora_lambda",)  # the banks stay off this list: they belong to the tuner
    other_param_names = ("r", "scaling", "bank_key", "s2lora_dropout")

    def __init__(self, base_layer: nn.Linear, banks: nn.ModuleDict) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = base_layer.in_features, base_layer.out_features
        self.s2lora_lambda = nn.ParameterDict()
        self.s2lora_dropout = nn.ModuleDict()
        self.r: dict[str, int] = {}
        self.scaling: dict[str, float] = {}
        self.bank_key: dict[str, str] = {}
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        # A plain reference: registered here as well, the banks would be saved once for every layer.
        self.__dict__["_banks"] = banks

    def update_layer(self, name: str, config: S2LoraConfig, bank_key: str) -> None:
        """Add an adapter; its coefficients are zero, so that the layer computes what it did."""
        self.r[name], self.scaling[name], self.bank_key[name] = config.r, config.lora_alpha / config.r, bank_key
        self.s2lora_dropout[name] = nn.Dropout(config.lora_dropout) if config.lora_dropout else nn.Identity()
        self.s2lora_lambda[name] = nn.Parameter(torch.zeros(config.r))
        self._move_adapter_to_device_of_base_layer(name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def factors(self, name: str) -> tuple[Tensor, Tensor]:
        """A (r, in) and B (out, r) of the plain LoRA that this layer equals, coefficients and scale folded into B."""
        bank: nn.ParameterDict = self.__dict__["_banks"][name]
        own = self.s2lora_lambda[name]
        a = bank[f"A_{self.bank_key[name]}"][:, : self.in_features].to(own.device)
        b = bank[f"B_{self.bank_key[name]}"][: self.out_features].to(own.device)
        return a, b * (own * self.scaling[name])

    def get_delta_weight(self, name: str) -> Tensor:
        """The update (out, in) of an adapter."""
        a, b = self.factors(name)
        return b @ a

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Linear layer plus the updates of the active adapters."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        out: Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return out
        for name in self.active_adapters:
            if name in self.s2lora_lambda:
                a, b = self.factors(name)
                h = self.s2lora_dropout[name](self._cast_input_dtype(x, a.dtype))
                out = out + F.linear(F.linear(h, a), b).to(out.dtype)
        return out

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the updates to the weight, in float32 and rounded once.

        Raises:
            ValueError: ``safe_merge`` and the result is not finite.
        """
        for name in check_adapters_to_merge(self, adapter_names):
            if name in self.s2lora_lambda:
                old = self.base_layer.weight.data
                weight = (old.float() + self.get_delta_weight(name).float()).to(old.dtype)
                if safe_merge and not torch.isfinite(weight).all():
                    raise ValueError(f"NaNs detected in the merged weights. The adapter {name} seems to be broken")
                self.base_layer.weight.data = weight
                self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Take the updates off again."""
        while self.merged_adapters:
            old = self.base_layer.weight.data
            delta = self.get_delta_weight(self.merged_adapters.pop()).float()
            self.base_layer.weight.data = (old.float() - delta).to(old.dtype)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """An equal plain LoRA always exists."""
        return True


class S2LoraModel(BaseTuner):
    """The tuner: replaces linear layers, owns the banks.

    Beyond PEFT's own calls, training needs `penalty` (added to the loss), `sparsify` (after each step of the
    optimizer) and `to_lora`.
    """

    prefix = "s2lora_"
    tuner_layer_cls = S2LoraLayer
    target_module_mapping = {"whisper": WHISPER_LINEARS}  # noqa: RUF012  # PEFT's name and kind of attribute
    uses_shared_state = True

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Make the banks, then the layers; PEFT calls this for the first adapter and for every further one."""
        if not hasattr(self, "s2lora_banks"):
            self.s2lora_banks = nn.ModuleDict()
        config = self._config(adapter_name)
        self._prepare_adapter_config(config, self.get_model_config(model))
        shapes: dict[str, tuple[int, int]] = {}
        for key, module in model.named_modules():
            base = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
            if isinstance(base, nn.Linear) and self._check_target_module_exists(config, key):
                bank = _bank_key(config, base)
                out, into = shapes.get(bank, (0, 0))
                shapes[bank] = max(out, base.out_features), max(into, base.in_features)
        device = next((p.device for p in model.parameters() if p.device.type != "meta"), torch.device("meta"))
        banks = nn.ParameterDict()
        for bank, (out, into) in shapes.items():
            # On the processor first, so that a seed gives the same banks on every device.
            a, b = torch.randn(config.r, into, device="cpu"), torch.randn(out, config.r, device="cpu")
            banks[f"A_{bank}"] = nn.Parameter((a / math.sqrt(into)).to(device))
            banks[f"B_{bank}"] = nn.Parameter((b / math.sqrt(out)).to(device))
        self.s2lora_banks[adapter_name] = banks
        super().inject_adapter(model, adapter_name, *args, **kwargs)

    def _config(self, name: str) -> S2LoraConfig:
        return cast(S2LoraConfig, self.peft_config[name])

    def _bank(self, name: str) -> nn.ParameterDict:
        return cast(nn.ParameterDict, self.s2lora_banks[name])

    def _create_and_replace(  # type: ignore[override]  # PEFT's own tuners narrow the configuration likewise
        self,
        config: S2LoraConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **_: Any,
    ) -> None:
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if type(base) is not nn.Linear:
            raise TypeError(f"S2-LoRA adapts torch.nn.Linear only, got {type(base).__name__} at {current_key}")
        layer = target if isinstance(target, S2LoraLayer) else S2LoraLayer(base, self.s2lora_banks)
        layer.update_layer(adapter_name, config, _bank_key(config, base))
        if layer is not target:
            if adapter_name not in self.active_adapters:
                layer.requires_grad_(False)
            self._replace_module(parent, target_name, layer, target)

    def _sync_banks(self) -> None:
        """A bank is trained where its adapter is active and not loaded for inference."""
        for name, bank in self.s2lora_banks.items():
            bank.requires_grad_(name in self.active_adapters and not self.peft_config[name].inference_mode)

    def _mark_only_adapters_as_trainable(self, model: nn.Module) -> None:
        super()._mark_only_adapters_as_trainable(model)
        self._sync_banks()

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Choose the active adapter or adapters."""
        super().set_adapter(adapter_name, inference_mode=inference_mode)
        self._sync_banks()

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove an adapter with its banks."""
        super().delete_adapter(adapter_name)
        self.s2lora_banks.pop(adapter_name)

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        plain = key.replace(f".s2lora_banks.{adapter_name}.", ".s2lora_banks.")
        return super()._remove_adapter_name_from_key(plain, adapter_name)

    def layers(self) -> Iterable[tuple[str, S2LoraLayer]]:
        """The adapted layers by their names in the model."""
        return ((key, module) for key, module in self.model.named_modules() if isinstance(module, S2LoraLayer))

    def coefficients(self, name: str = "default") -> list[nn.Parameter]:
        """The vector of coefficients (r,) of every adapted layer."""
        return [layer.s2lora_lambda[name] for _, layer in self.layers()]

    def penalty(self, name: str = "default") -> Tensor | None:
        """Orthogonality of the banks times ``ortho``, to be added to the loss; None where ``ortho`` is 0."""
        config = self._config(name)
        if not config.ortho:
            return None
        total = torch.zeros((), device=next(self._bank(name).parameters()).device)
        for key, bank in self._bank(name).items():
            product = bank @ bank.T if key.startswith("A_") else bank.T @ bank
            total = total + (product - torch.eye(config.r, device=bank.device)).square().sum()
        return total * config.ortho

    def l1_norm(self, name: str = "default") -> Tensor:
        """Sum of the absolute coefficients, which `sparsify` pulls down."""
        own = self.coefficients(name)
        return torch.stack([vector.abs().sum().to(own[0].device) for vector in own]).sum()

    @torch.no_grad()
    def sparsify(self, learning_rate: float, name: str = "default") -> None:
        """Proximal step of ``l1`` times the L1 norm: every coefficient moves to zero by ``learning_rate * l1``.

        A coefficient that is closer becomes exactly zero. Only local shards are touched, so it works under DDP and
        FSDP alike.
        """
        threshold = learning_rate * self._config(name).l1
        for vector in self.coefficients(name):
            own = vector.to_local() if hasattr(vector, "to_local") else vector
            own.copy_(own.sign() * (own.abs() - threshold).clamp_min(0))

    @torch.no_grad()
    def zero_share(self, name: str = "default") -> float:
        """Share of the coefficients that are exactly zero, 0 to 1 (of this process's shard under FSDP)."""
        zeros = total = 0
        for vector in self.coefficients(name):
            own = vector.to_local() if hasattr(vector, "to_local") else vector
            zeros += int((own == 0).sum())
            total += own.numel()
        return zeros / max(total, 1)

    @torch.no_grad()
    def to_lora(
        self, name: str = "default", state: Mapping[str, Tensor] | None = None
    ) -> tuple[LoraConfig, dict[str, Tensor]]:
        """The equal plain LoRA: coefficients and scale are folded into B, zero coefficients are cut.

        Args:
            name: The adapter.
            state: Full state dict of the ``PeftModel``, gathered, where the model is sharded; None reads the model.

        Returns:
            PEFT's configuration, in which every matrix has its own rank, and the tensors under PEFT's saved names.
        """
        tensors: dict[str, Tensor] = {}
        ranks: dict[str, int] = {}
        whole: list[str] = []
        for key, layer in self.layers():
            whole.append(key)
            if state is None:
                own, (a, b) = layer.s2lora_lambda[name], layer.factors(name)
            else:
                own = state[f"base_model.model.{key}.s2lora_lambda.{name}"]
                bank = f"base_model.s2lora_banks.{name}.{{}}_{layer.bank_key[name]}"
                a = state[bank.format("A")][:, : layer.in_features]
                b = state[bank.format("B")][: layer.out_features] * (own * layer.scaling[name])
            keep = own != 0
            if not keep.any() and (ranks or len(whole) < len(self.coefficients(name))):
                continue  # but one matrix stays, of zeros, as PEFT takes no adapter without any
            if not keep.any():
                keep[0] = True
            ranks[key] = int(keep.sum())
            tensors[f"base_model.model.{key}.lora_A.weight"] = a[keep].detach().cpu().contiguous()
            tensors[f"base_model.model.{key}.lora_B.weight"] = b[:, keep].detach().cpu().contiguous()
        config = LoraConfig(
            r=1,
            lora_alpha=1,
            target_modules=list(ranks),
            rank_pattern=dict(ranks),
            alpha_pattern=dict(ranks),
            base_model_name_or_path=self.peft_config[name].base_model_name_or_path,
            inference_mode=True,
        )
        return config, tensors


def _bank_key(config: S2LoraConfig, linear: nn.Linear) -> str:
    return "all" if config.sharing == "global" else f"{linear.out_features}x{linear.in_features}"


if not any(kind.value == _NAME for kind in PEFT_TYPE_TO_TUNER_MAPPING):
    register_peft_method(name="s2lora", config_cls=S2LoraConfig, model_cls=S2LoraModel, prefix="s2lora_")
