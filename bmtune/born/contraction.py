"""Contraction of a Born machine: amplitudes and partition functions, in logs.

Notation: `N` sites, `d` physical dimension, `D` bond dimension, `C` classes, `B` rows.
psi_c(x) is the contraction of the chain; u(x, c) = |psi_c(x)|^2; Z_c = integral of u(x, c) dx;
Z = sum over classes of Z_c; p(x, c) = u(x, c) / Z.

Running vectors travel as (mantissa, log-scale): they are rescaled every few sites, so that any
number of sites neither underflows nor overflows. Written for one trial.
"""

from math import log10

import torch
from jaxtyping import Float
from jaxtyping import Shaped
from torch import Tensor

from bmtune.born.cores import Cores
from bmtune.born.logspace import log_abs2
from bmtune.born.logspace import rescale

RESCALE_EVERY = 8
"""Sites between two rescalings of a running vector; more often costs time, less often range."""

ENVIRONMENT_DECADES = 30
"""Powers of ten that an environment may grow by between two rescalings; float32 has 38."""


def amplitudes(
    cores: Cores, phi: Shaped[Tensor, "N d B"]
) -> tuple[Shaped[Tensor, "C B"], Float[Tensor, " B"] | Float[Tensor, " 1"]]:
    """The class amplitudes as (mantissa, log-scale): psi_c(x) = mantissa * exp(log-scale).

    Cost O(N B d D^2).

    Args:
        cores: The cores.
        phi: Embedded rows in the order of contraction (`Chain.features`).
    """
    num_edges, num_odd = cores.edge.shape[0], cores.odd.shape[0]
    running = torch.bmm(cores.edge, phi[:num_edges])
    if num_odd:
        pair = (phi[num_edges].unsqueeze(1) * running[0]).flatten(0, 1)
        running = torch.stack((cores.odd[0].flatten(1) @ pair, running[1]))
    if not cores.bulk.shape[0]:
        return _close(cores, running), torch.zeros(1, dtype=phi.real.dtype, device=phi.device)
    inner, log_scale = _inner_features(cores.bulk, phi[num_edges + num_odd :])
    # Sliced by unbind and shaped before it: an index or a view in the loop costs a backward node a site.
    for step, (core, feature) in enumerate(
        zip(cores.bulk.flatten(-2).unbind(0), inner.unbind(0), strict=True), start=1
    ):
        # Khatri-Rao product of feature and running vector, then one matrix product for both halves.
        running = torch.bmm(core, (feature * running.unsqueeze(1)).flatten(1, 2))
        # At the end the halves are multiplied: what each has gathered since its last rescaling counts twice.
        far = step == cores.bulk.shape[0] and step % RESCALE_EVERY >= RESCALE_EVERY // 2
        if step % RESCALE_EVERY == 0 or far:
            running, log_divisor = rescale(running, (1,))
            log_scale = log_scale + log_divisor.sum((0, 1))
    return _close(cores, running), log_scale


def _inner_features(bulk: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
    """The features of the inner sites (steps, 2, d, 1, B), each divided by its core's size, and the log of all sizes.

    A start of any spread then stays in range for the steps between two rescalings. It is the features that
    are divided, and not the cores, since they need no gradient.
    """
    size = bulk.detach().abs().amax((2, 3, 4))
    size = size.masked_fill(size == 0, 1.0)
    shaped = phi.reshape(*size.shape, phi.shape[1], 1, phi.shape[2])
    return shaped / size[..., None, None, None], size.log().sum().reshape(1)


def _close(cores: Cores, running: Tensor) -> Tensor:
    """Joins the halves (2, D, B) at the class core, to (C, B)."""
    num_classes = cores.centre.shape[0]
    if cores.edge.shape[0] == 1:
        return cores.centre[..., 0] @ running[0]
    left, right = running.unbind(0)
    joined = torch.mm(cores.centre.flatten(0, 1), right).view(num_classes, -1, right.shape[-1])
    return (joined * left).sum(1)


def log_weights(cores: Cores, phi: Shaped[Tensor, "N d B"]) -> Float[Tensor, "C B"]:
    """log u(x, c) = log |psi_c(x)|^2 of every class and row."""
    mantissa, log_scale = amplitudes(cores, phi)
    if cores.bulk.shape[0] == 0:
        return log_abs2(mantissa)
    return log_abs2(mantissa) + 2 * log_scale


def log_partitions(cores: Cores, gram: Tensor | None) -> Float[Tensor, " C"]:
    """log Z_c of every class; log Z is their logsumexp. Cost O(N d D^3).

    Args:
        cores: The cores.
        gram: (d, d) Gram matrix of the embedding, or None for the identity (`Chain.gram`).
    """
    halves, log_scale = half_environments(cores, gram)
    top = close_right(cores, halves[-1])
    partition = (top * halves[-1][0]).sum((1, 2)).real
    return partition.log() + log_scale


def half_environments(cores: Cores, gram: Tensor | None) -> tuple[list[Tensor], Tensor]:
    """The contraction of each half with its conjugate, from the outer end towards the class core.

    Returns:
        A list with one (1 or 2, D, D) tensor after the edge, after the odd core if there is one, and after
        every step, each in range; and the log of what was divided out of the last in all, shape ().
    """
    environment = _edge_environment(cores.edge, gram)
    environment, log_divisor = rescale(environment, (1, 2))
    log_scale, found = log_divisor.sum(), [environment]
    for core in cores.odd.unbind(0):
        left, log_divisor = rescale(pull(core, environment[0], gram), (0, 1))
        environment = torch.stack((left, environment[1]))
        log_scale, found = log_scale + log_divisor.sum(), [*found, environment]
    inner, log_size = _inner_environments(cores.bulk, environment, gram)
    return [*found, *inner], log_scale + log_size


def _inner_environments(bulk: Tensor, environment: Tensor, gram: Tensor | None) -> tuple[list[Tensor], Tensor | float]:
    """The environments after each step in which both halves advance, and the log of what was divided out of the last.

    Each core is divided by its size at once, so that a few steps without rescaling stay in range whatever the start.
    """
    if not bulk.shape[0]:
        return [], 0.0
    bond_dim, physical_dim = bulk.shape[2], bulk.shape[3]
    size = bulk.detach().abs().amax((2, 3, 4), keepdim=True)
    size = size.masked_fill(size == 0, 1.0)
    scaled = bulk / size
    log_scale, found = 2 * size.log().sum(), list[Tensor]()
    # Shaped before they are sliced: a view in the loop costs a backward node a site.
    tall, wide = scaled.flatten(2, 3).unbind(0), scaled.flatten(3, 4).mH.unbind(0)
    # With cores of size 1 an entry grows at most by the number of terms in it.
    every = max(1, int(ENVIRONMENT_DECADES / log10(bond_dim**2 * physical_dim)))
    for step, (onto, back) in enumerate(zip(tall, wide, strict=True), start=1):
        product = torch.bmm(onto, environment)
        if gram is not None:
            product = gram @ product.view(2, bond_dim, physical_dim, bond_dim)
        environment = torch.bmm(product.reshape(2, bond_dim, -1), back)
        if step % every == 0 or step == len(tall):
            environment, log_divisor = rescale(environment, (1, 2))
            log_scale = log_scale + log_divisor.sum()
        found.append(environment)
    return found, log_scale


def _edge_environment(edge: Tensor, gram: Tensor | None) -> Tensor:
    weighted = edge if gram is None else edge @ gram
    return weighted @ edge.mH


def pull(core: Shaped[Tensor, "*half D d D"], environment: Tensor, gram: Tensor | None) -> Tensor:
    """One step of an environment towards the class core: sum of core E conj(core) through the Gram matrix."""
    bond_dim = core.shape[-1]
    product = core.flatten(-3, -2) @ environment
    if gram is not None:
        product = gram @ product.unflatten(-2, (bond_dim, -1))
        product = product.flatten(-3, -2)
    pulled: Tensor = product.unflatten(-2, (bond_dim, -1)).flatten(-2) @ core.flatten(-2).mH
    return pulled


def push(core: Shaped[Tensor, "D d D"], environment: Shaped[Tensor, "C D D"], gram: Tensor | None) -> Tensor:
    """One step of per-class environments away from the class core: over the out bond instead of the in bond."""
    return pull(core.permute(2, 1, 0), environment, gram)


def close_right(cores: Cores, environment: Shaped[Tensor, "half D D"]) -> Shaped[Tensor, "C D D"]:
    """The class core closed with the right half: per class, what the left half sees."""
    if cores.edge.shape[0] == 1:
        return cores.centre @ cores.centre.mH
    return (cores.centre @ environment[1]) @ cores.centre.mH
