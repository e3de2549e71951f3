"""What several tests of fine-tuning methods need."""

from __future__ import annotations

import torch

from asrlsa.training.base import load_base
from asrlsa.training.methods import Attached, MethodSettings, attach

ADAPTERS = ("lora", "dora", "adalora", "bitfit", "ia3", "vera", "s2lora")
STOCK = tuple(method for method in ADAPTERS if method != "s2lora")  # PEFT loads these without asrlsa


def batch(seed: int = 1, frames: int = 100) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "input_features": torch.randn(2, 80, frames, generator=draw),
        "decoder_input_ids": torch.randint(0, 300, (2, 8), generator=draw),
    }


def logits(model, frames: int = 100) -> torch.Tensor:
    with torch.no_grad():
        return model(**batch(frames=frames)).logits


def attached(folder, method: str, **more) -> Attached:
    torch.manual_seed(0)
    small = {"r": 4} if method not in ("adalora", "bitfit", "ia3", "full") else {}
    if method == "adalora":
        small = {"init_r": 4, "target_r": 2, "delta_t": 1}
    return attach(load_base(folder).model, MethodSettings(method=method, lora_dropout=0.0, **{**small, **more}), 20)


def disturb(model: Attached, size: float = 0.1) -> Attached:
    """Give what is trained random values, as training would."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.model.parameters():
            if parameter.requires_grad:
                parameter.add_(size * torch.randn(parameter.shape, generator=draw))
    return model


def step(model: Attached, optimizer: torch.optim.Optimizer, number: int, lr: float = 1e-2) -> float:
    """One step of training towards fixed labels, hooks and penalty included."""
    labels = torch.arange(16).reshape(2, 8) % 7
    out = model.model(**batch(number)).logits
    loss = torch.nn.functional.cross_entropy(out.flatten(0, 1), labels.flatten())
    penalty = model.penalty()
    (loss if penalty is None else loss + penalty).backward()
    optimizer.step()
    model.after_step(number, lr)
    optimizer.zero_grad()
    return loss.item()


def optimizer_of(model: Attached, lr: float = 1e-2) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameter_groups(lr, 0.0))
