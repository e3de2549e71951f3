"""What the devices of this machine compute fast with CTranslate2, and what it takes instead where they can't."""

from __future__ import annotations

from typing import Final

CPU_TYPES: Final = frozenset({"int8", "int8_float32", "float32"})  # what CTranslate2 has on every processor


def usual_device() -> str:
    """Return ``cuda`` where there is a GPU, else ``cpu``."""
    import ctranslate2

    return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"


def supported(device: str) -> frozenset[str]:
    """Return the compute types that run fast on a device of this machine; none where it has no such device."""
    import ctranslate2

    if device == "cuda" and not ctranslate2.get_cuda_device_count():
        return frozenset()
    return frozenset(ctranslate2.get_supported_compute_types(device))


def runs_as(kind: str, have: frozenset[str]) -> str:
    """Return the compute type that CTranslate2 takes for a model of a stored type when it is left to itself.

    https://opennmt.net/CTranslate2/quantization.html#implicit-type-conversion-on-load

    Args:
        kind: Type of the stored weights.
        have: Compute types of the device.
    """
    if kind == "int8" and "int8_float32" in have:
        return "int8_float32"
    if kind in have:
        return kind
    return "int8_float32" if kind.startswith("int8") and "int8_float32" in have else "float32"
