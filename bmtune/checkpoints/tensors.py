"""Named tensors as the bytes of a safetensors file, complex ones included.

safetensors knows no complex128 and older releases no complex64, so a complex tensor of shape (...) is
kept as its real view of shape (..., 2), and its name is remembered.
"""

from collections.abc import Iterable
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from safetensors.torch import save
from torch import Tensor


def pack_tensors(tensors: Mapping[str, Tensor]) -> tuple[bytes, list[str]]:
    """The bytes of all tensors, and the names of those that are complex."""
    packed = save({name: _plain(tensor) for name, tensor in tensors.items()})
    return packed, sorted(name for name, tensor in tensors.items() if tensor.is_complex())


def unpack_tensors(packed: bytes, complex_names: Iterable[str]) -> dict[str, Tensor]:
    """The tensors that `pack_tensors` packed, on the CPU.

    Raises:
        ValueError: The bytes are no safetensors file, or lack one of the complex tensors.
    """
    try:
        tensors = load(packed)
        views = {name: torch.view_as_complex(tensors[name]) for name in complex_names}
    except (SafetensorError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(str(error)) from error
    return tensors | views


def _plain(tensor: Tensor) -> Tensor:
    """A copy on the CPU that shares memory with nothing, real and contiguous."""
    copy = tensor.detach().cpu().resolve_conj().resolve_neg()
    real = torch.view_as_real(copy) if copy.is_complex() else copy
    # safetensors refuses tensors that share storage, which views of one parameter do.
    return real.clone(memory_format=torch.contiguous_format)
