"""Trains S2-LoRA in one process and in two (gloo, CPU; DDP and both FSDPs) and leaves the weights: MODEL FOLDER."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.fsdp import FullStateDictConfig, FullyShardedDataParallel, StateDictType, fully_shard
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.nn.parallel import DistributedDataParallel

STEPS = 4


def sample() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    x = {
        "input_features": torch.randn(4, 80, 100, generator=draw),
        "decoder_input_ids": torch.randint(0, 300, (4, 8), generator=draw),
    }
    return x, torch.randint(0, 7, (4, 8), generator=draw)


def wrap(attached, mode: str):
    from transformers.models.whisper.modeling_whisper import WhisperDecoderLayer, WhisperEncoderLayer

    blocks = {WhisperEncoderLayer, WhisperDecoderLayer}
    if mode == "ddp":
        return DistributedDataParallel(attached.model)
    if mode == "fsdp1":
        policy = partial(transformer_auto_wrap_policy, transformer_layer_cls=blocks)
        cpu = torch.device("cpu")
        return FullyShardedDataParallel(attached.model, auto_wrap_policy=policy, use_orig_params=True, device_id=cpu)
    mesh = dist.device_mesh.init_device_mesh("cpu", (dist.get_world_size(),))
    for module in list(attached.model.modules()):
        if type(module) in blocks:
            fully_shard(module, mesh=mesh)
    return fully_shard(attached.model, mesh=mesh)


def whole_state(model, mode: str) -> dict[str, torch.Tensor]:
    if mode == "fsdp1":
        with FullyShardedDataParallel.state_dict_type(
            model, StateDictType.FULL_STATE_DICT, FullStateDictConfig(rank0_only=False)
        ):
            return model.state_dict()
    state = model.state_dict()
    state = {key: value.full_tensor() if hasattr(value, "full_tensor") else value for key, value in state.items()}
    return {key.removeprefix("module."): value for key, value in state.items()}


def train(rank: int, count: int, mode: str, folder: str, out: str) -> None:
    from asrlsa.training.base import load_base
    from asrlsa.training.methods import MethodSettings, attach

    torch.manual_seed(0)
    base = load_base(Path(folder))
    attached = attach(base.model, MethodSettings("s2lora", r=4, lora_dropout=0.0, l1=0.3), STEPS)
    model = wrap(attached, mode) if count > 1 else attached.model
    optimizer = torch.optim.AdamW(attached.parameter_groups(1e-2, 0.0), eps=1e-4)
    x, labels = sample()
    mine = slice(rank * 4 // count, (rank + 1) * 4 // count)
    for number in range(1, STEPS + 1):
        logits = model(**{key: value[mine] for key, value in x.items()}).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[mine].flatten()).backward()
        optimizer.step()
        attached.after_step(number, 1e-2)
        optimizer.zero_grad()
    state = attached.model.state_dict() if count == 1 else whole_state(model, mode)
    if rank == 0:
        torch.save({key: value for key, value in state.items() if "s2lora" in key}, f"{out}/{mode}.pt")


def meet(rank: int, folder: str, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{out}/meet", rank=rank, world_size=2)
    for mode in ("ddp", "fsdp1", "fsdp2"):
        train(rank, 2, mode, folder, out)
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    train(0, 1, "one", *sys.argv[1:])
    # Forked, so that torch is imported once; safe as there is one thread.
    mp.start_processes(meet, tuple(sys.argv[1:]), nprocs=2, start_method="fork")
