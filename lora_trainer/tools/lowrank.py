"""Singular value decompositions of low-rank products, and of large matrices that are nearly low-rank. Pure maths.

A sum of LoRAs on one layer is U D with U = [s1 up1, s2 up2, ...] (out x R) and D = [down1; down2; ...] (R x in), R the sum of
the ranks. `of_product` decomposes it exactly without forming the (out x in) matrix::

    svd = of_product([(down, up, strength), ...])           # QR of both factors, SVD of the R x R core
    down, up = svd.factors(rank=8)                          # the best approximation of rank 8 (Eckart & Young 1936)

`of_matrix` decomposes a matrix that is given (the difference of two models) by random projection, and checks a bound on what
that loses; where the bound is not good enough, it takes the exact decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..randomness import seed_of

TOLERANCE = 0.01  # a randomised result may be this much farther from the matrix than the best one, relatively
NEGLIGIBLE = 1e-4  # or lose this share of the norm (its square, of the energy): less than saving in half precision does
_POWER_STEPS = 2
_INDEPENDENT = 1e-3  # the least part of a column of length 1 that the columns before it may leave
_FAR_APART = 0.3
_PROBES, _PROBE_STEPS = 20, 4


@dataclass(frozen=True)
class Svd:
    """values [n] falling, `left(k)` [out, k] and `right(k)` [k, in] their first k vectors, orthonormal; float64 or float32.

    `exact` says whether `values` are all that the matrix has; a randomised decomposition knows the first ones only, and
    `energy` (the squared Frobenius norm) of the whole matrix.
    """

    values: Tensor
    left: Callable[[int], Tensor]
    right: Callable[[int], Tensor]
    energy: float
    exact: bool = True

    def factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """(down [k, in], up [out, k]), k = min(rank, n), float32, whose product up @ down is the best one of this rank.

        Each gets the root of the singular values, so that both have the same size: kindest to half precision.
        """
        rank = min(rank, len(self.values))
        root = self.values[:rank].sqrt()
        return (root[:, None] * self.right(rank)).float(), (self.left(rank) * root).float()

    def rank_for_energy(self, share: float) -> int:
        """The smallest rank (at least 1) that keeps `share` (0..1] of the energy, the sum of the squared values."""
        if share >= 1.0:
            return max(1, int((self.values > self.values[0] * 1e-7).sum()))
        kept = self.values.double().square().cumsum(0)
        return max(1, min(int((kept < share * self.energy).sum()) + 1, len(kept)))


def of_product(parts: Sequence[tuple[Tensor, Tensor, float]]) -> Svd:
    """Decompose the sum of strength * (up @ down) over (down [r, in...], up [out, r...], strength), exactly.

    Costs O((out + in) R^2 + R^3) for R = sum of the ranks. Kernels are flattened. Computed in float64: at these sizes that
    costs little, and the result is then as exact as float32 can hold it.
    """
    downs = torch.cat([down.flatten(1).float() for down, _, _ in parts]).T
    ups = torch.cat([up.flatten(1).float() * strength for _, up, strength in parts], dim=1)
    upper, left = _orthogonalized(ups)
    lower, right = _orthogonalized(downs)
    u, values, vh = torch.linalg.svd(upper @ lower.T, full_matrices=False)
    energy = float(values.square().sum())
    return Svd(values, lambda k: left(u[:, :k]), lambda k: right(vh[:k].T).T, energy)


def _orthogonalized(columns: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """(R, m -> Q m) with columns = Q R, Q's columns orthonormal; R in float64, `columns` in float32.

    By the Cholesky factor of the columns' products, which is several times faster than Householder's QR and in float64 as good
    while the columns are clearly independent; else (one file merged with itself, more ranks than rows) by that.
    """
    double = columns.double()
    products = double.T @ double
    size = products.diagonal().sqrt()
    if columns.shape[1] <= columns.shape[0] and float(size.min()) > 0:
        factor, failed = torch.linalg.cholesky_ex(products / (size[:, None] * size))
        least = 0.0 if failed else float(factor.diagonal().min())
        if least > _INDEPENDENT:
            upper = factor.T * size
            exact = columns if least > _FAR_APART else double  # float32 loses nothing where nothing cancels
            return upper, lambda m: exact @ torch.linalg.solve_triangular(upper, m, upper=True).to(exact.dtype)
    basis, upper = torch.linalg.qr(double)
    return upper, lambda m: basis @ m


def of_matrix(matrix: Tensor, rank: int, *, name: str = "") -> Svd:
    """Decompose `matrix` [out, in], at least its first `rank` values.

    By random projection (Halko, Martinsson & Tropp 2011, arXiv 0909.4061) where that pays and `_loss_bound` shows that the
    approximation of `rank` is within TOLERANCE of the best one; else exactly. The draw depends on `name` alone.
    """
    matrix = matrix.float()
    width = rank + max(rank, 16)
    if width * 3 < min(matrix.shape):
        double = matrix.double()
        found = _randomized(double, width, seed_of(0, f"svd/{name}"))
        if _close_enough(double, found, rank):
            return found
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return Svd(values, lambda k: left[:, :k], lambda k: right[:k], _energy(matrix))


def _energy(matrix: Tensor) -> float:
    return float(torch.linalg.vector_norm(matrix, dtype=torch.float64)) ** 2


def _randomized(matrix: Tensor, width: int, seed: int) -> Svd:
    """The decomposition of `matrix` (float64) within a random subspace of `width` that power steps have sharpened.

    The first steps are in float32, which is faster and exact enough to find the subspace; the last one brings float64.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    single = matrix.float()
    basis = torch.linalg.qr(single @ torch.randn(matrix.shape[1], width, generator=generator).to(matrix.device)).Q
    for _ in range(_POWER_STEPS):
        basis = torch.linalg.qr(single.T @ basis).Q
        basis = torch.linalg.qr(single @ basis).Q
    basis = torch.linalg.qr(matrix @ torch.linalg.qr(matrix.T @ basis.double()).Q).Q
    u, values, right = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
    left = basis @ u
    return Svd(values, lambda k: left[:, :k], lambda k: right[:k], _energy(matrix), exact=False)


def _close_enough(matrix: Tensor, found: Svd, rank: int) -> bool:
    """Whether cutting `found` to `rank` is provably about as near to `matrix` as anything of this rank can be."""
    down, up = found.factors(rank)
    reached = _energy(matrix - up.double() @ down.double())
    excess = _loss_bound(matrix, found, rank)
    if excess <= found.energy * NEGLIGIBLE**2:
        return True
    return excess < reached and math.sqrt(reached / (reached - excess)) <= 1.0 + TOLERANCE


def _loss_bound(matrix: Tensor, found: Svd, rank: int) -> float:
    """An upper bound on how much more energy the best approximation of `rank` keeps than `found` does.

    With Q the left vectors, E = A - Q Q^T A and R = (I - Q Q^T) A A^T Q, the matrix A A^T has the blocks [[H, R^T], [R, E E^T]]
    in a basis that begins with Q, H = diag(values^2). For any t with g = t - ||E||^2 > 0, Young's inequality for the blocks
    beside the diagonal gives A A^T - t <= diag(H - t + R^T R / g, 0), and so

        (kept by the best) <= rank * t + trace of the positive part of (H - t + R^T R / g).

    The least of a few t is taken. ||E|| is bounded from above with a failure probability of 2^-_PROBES (Halko et al., lemma
    4.1, on powers of E).
    """
    width = len(found.values)
    left, values, right = found.left(width), found.values, found.right(width)
    residual = (matrix @ right.T - left * values) * values  # R in the basis of the right vectors: value_i * E v_i
    inner, products = torch.diag(values.square()), residual.T @ residual
    outside = _remainder_norm(matrix, found) ** 2
    best = math.inf
    for level in (float(values[rank - 1]) ** 2, *(outside * factor for factor in (1.01, 1.1, 1.5))):
        if level > outside:
            positive = (torch.linalg.eigvalsh(inner + products / (level - outside)) - level).clamp(min=0)
            best = min(best, rank * level + float(positive.sum()))
    return max(0.0, best - float(values[:rank].square().sum()))


def _remainder_norm(matrix: Tensor, found: Svd) -> float:
    """An upper bound on the spectral norm of E = A - Q Q^T A, by probes sent through E (E^T E)^s."""
    generator = torch.Generator("cpu").manual_seed(seed_of(0, "svd/probes"))
    probes = torch.randn(matrix.shape[1], _PROBES, generator=generator, dtype=torch.float64).to(matrix.device)
    basis = found.left(len(found.values))

    def away(columns: Tensor) -> Tensor:
        return columns - basis @ (basis.T @ columns)

    result = away(matrix @ probes)
    scale = 1.0
    for _ in range(_PROBE_STEPS):
        largest = float(result.norm(dim=0).max())
        if largest == 0.0:
            return 0.0
        scale, result = scale * largest, result / largest
        result = away(matrix @ (matrix.T @ away(result)))
    norm = 2.0 * math.sqrt(2.0 / math.pi) * float(result.norm(dim=0).max())
    return _root(norm, scale)


def _root(norm: float, scale: float) -> float:
    power = 2 * _PROBE_STEPS + 1
    return 0.0 if norm == 0.0 else math.exp((math.log(norm) + math.log(scale)) / power)
