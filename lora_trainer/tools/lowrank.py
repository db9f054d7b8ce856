"""Singular value decompositions of low-rank products, and of large matrices that are nearly low-rank. Pure maths.

A sum of LoRAs on one layer is U D with U = [s1 up1, s2 up2, ...] (out x R) and D = [down1; down2; ...] (R x in), R the sum of
the ranks. `of_product` decomposes it exactly without forming the (out x in) matrix::

    svd = of_product([(down, up, strength), ...])           # QR of both factors, SVD of the R x R core
    down, up = svd.factors(rank=8)                          # the best approximation of rank 8 (Eckart & Young 1936)

`of_matrix` decomposes a matrix that is given (the difference of two models) within random Krylov spaces, and checks a bound on
what that loses; where the bound is not good enough, it takes the exact decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..randomness import seed_of

TOLERANCE = 0.01  # an approximation may be this much farther from the matrix than the best one, relatively
NEGLIGIBLE = 1e-4  # or lose this share of the norm (its square, of the energy): less than saving in half precision does
_INDEPENDENT = 1e-3  # the least part of a column of length 1 that the columns before it may leave
_FAR_APART = 0.3
_WIDTHS = (16, 64)  # the narrowest and widest block of vectors that is sent through a matrix together
_BLOCKS = 4  # of the space, at least
_PROBES = 8  # vectors in a block of the probes: few, for many blocks are what makes their bound sharp
_LOOKS = (7, 12)  # numbers of blocks of the probes after which the bound is tried
_ROUNDING = 1e-5  # of the largest eigenvalue: more than float32 takes from any
_FAILURE = 1e-6  # how likely the bound may be wrong


@dataclass(frozen=True)
class Svd:
    """values [n] falling, `left(k)` [out, k] and `right(k)` [k, in] their first k vectors, orthonormal; float64 or float32.

    `exact` says whether `values` are all that the matrix has; an approximation knows the first ones only, and
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
            return effective(self.values)
        kept = self.values.double().square().cumsum(0)
        return max(1, min(int((kept < share * self.energy).sum()) + 1, len(kept)))


def effective(values: Tensor) -> int:
    """How many (at least 1) of the falling singular `values` are more than rounding."""
    return max(1, int((values > values[0] * 1e-7).sum()))


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

    Within random Krylov spaces (Musco & Musco 2015, arXiv 1504.05477) where these are much smaller than the matrix and the
    bound of `_most_kept` shows that the result of `rank` is within TOLERANCE of the best one. Else by the eigenvectors of the
    smaller product of the matrix with itself, where the values do not fall so far that rounding could cost as much; else
    exactly. The draw depends on `name` alone.
    """
    matrix = matrix.float()
    energy = float(torch.linalg.vector_norm(matrix, dim=1).double().square().sum())
    wide = matrix.shape[0] < matrix.shape[1]
    tall = matrix.T if wide else matrix
    found = None
    if 0 < rank * 3 < tall.shape[1] and energy > 0.0:
        found = _within_spaces(tall, rank, energy, seed_of(0, f"svd/{name}")) or _by_products(tall, rank, energy)
    if found is None:
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        return Svd(values, lambda k: left[:, :k], lambda k: right[:k], energy)
    values, first, second = found
    rows, columns = (first, second) if wide else (second, first)
    return Svd(values, lambda k: rows[:k].T, lambda k: columns[:k], energy, exact=False)


class _Krylov:
    """The space that a block of vectors spans with its images under A^T A, (A^T A)^2, ..., outside of another one.

    Vectors are rows: `basis` [d, n] orthonormal, `images` [d, m] = A times them; float32. At most `blocks` blocks of `width`.
    """

    def __init__(
        self, matrix: Tensor, width: int, blocks: int, generator: torch.Generator, outside: Tensor | None = None
    ) -> None:
        self._matrix, self._width, self._size = matrix, width, 0
        self._first = 0 if outside is None else len(outside)
        self._rows = matrix.new_empty(self._first + blocks * width, matrix.shape[1])
        self._images = matrix.new_empty(blocks * width, matrix.shape[0])
        if outside is not None:
            self._rows[: self._first] = outside
        self._start = torch.randn(width, matrix.shape[1], generator=generator).to(matrix.device)

    @property
    def basis(self) -> Tensor:
        return self._rows[self._first : self._first + self._size]

    @property
    def images(self) -> Tensor:
        return self._images[: self._size]

    def grow(self, blocks: int) -> None:
        """Make the space one of `blocks` blocks."""
        while self._size < blocks * self._width:
            block = self.residual() if self._size else self._away(self._start)
            # Away once more after the division, which makes much of the rounding in a small residual.
            block = torch.linalg.qr(self._away(torch.linalg.qr(block.T).Q.T).T).Q.T
            place = slice(self._size, self._size + self._width)
            self._rows[self._first :][place] = block
            torch.mm(block, self._matrix.T, out=self._images[place])
            self._size += self._width

    def residual(self) -> Tensor:
        """What A^T A makes of the last block outside of the space [width, n]; of the blocks before there is nothing."""
        return self._away(self.images[-self._width :] @ self._matrix)

    def _away(self, rows: Tensor) -> Tensor:
        known = self._rows[: self._first + self._size]
        return rows - (rows @ known.T) @ known

    def products(self) -> Tensor:
        """A^T A within the space [d, d], float64."""
        return _gram(self.images)


def _gram(rows: Tensor) -> Tensor:
    rows = rows.double()
    return rows @ rows.T


def _within_spaces(matrix: Tensor, rank: int, energy: float, seed: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """(values [rank] in float64, right and left vectors as rows) of `matrix` [m, n], m >= n; None where that may not do.

    Two spaces from independent draws: the first one is the approximation, the second, in its complement, bounds what the first
    has missed, and what it finds there is taken in.
    """
    width = max(_WIDTHS[0], min(rank, _WIDTHS[1]))
    blocks = max(_BLOCKS, math.ceil(2.5 * rank / width))

    def is_small(look: int) -> bool:
        return (blocks * width + look * _PROBES) * 2 <= matrix.shape[1]

    if not is_small(_LOOKS[0]):
        return None
    generator = torch.Generator("cpu").manual_seed(seed)
    space = _Krylov(matrix, width, blocks, generator)
    space.grow(blocks)
    inner, beside = space.products(), _gram(space.residual())
    probes = _Krylov(matrix, _PROBES, _LOOKS[-1], generator, space.basis)
    for look in _LOOKS:
        if not is_small(look):
            break
        probes.grow(look)
        products, vectors = torch.linalg.eigh(probes.products())
        values, right, left = _joined(space, probes, vectors[:, -width:], rank)
        outside = float(products[-1]) * _above_ritz(matrix.shape[1] - len(space.basis), _PROBES, look)
        kept = float(values.square().sum())
        if _close_enough(_most_kept(inner, beside, outside, rank) - kept, energy - kept, energy):
            return values, right, left
    return None


def _by_products(matrix: Tensor, rank: int, energy: float) -> tuple[Tensor, Tensor, Tensor] | None:
    """As `_within_spaces`, by all eigenvectors of A^T A (float32); None where the rounding of that may cost too much."""
    squares, vectors = torch.linalg.eigh(matrix.T @ matrix)
    right = vectors.flip(1)[:, :rank].T
    excess = 2 * rank * _ROUNDING * float(squares[-1])
    images = right @ matrix.T
    kept = float(_gram(images).trace())
    if not _close_enough(excess, energy - kept, energy):
        return None
    values = torch.linalg.vector_norm(images, dim=1)
    return values, right.contiguous(), images / values.clamp(min=1e-30)[:, None]


def _joined(space: _Krylov, probes: _Krylov, best: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first `rank` values and vectors within `space` and the `best` [d, k] directions of `probes` together."""
    best = best.T.float()
    basis, images = torch.cat([space.basis, best @ probes.basis]), torch.cat([space.images, best @ probes.images])
    squares, vectors = torch.linalg.eigh(_gram(images))
    chosen = vectors.flip(1)[:, :rank].T.float()
    values = squares.flip(0)[:rank].clamp(min=0.0).sqrt()
    return values, chosen @ basis, (chosen @ images) / values.clamp(min=1e-30).float()[:, None]


def _close_enough(excess: float, missed: float, energy: float) -> bool:
    """Whether keeping `excess` energy less than one could, of which `missed` is not kept at all, is as good as the best."""
    if excess <= energy * NEGLIGIBLE**2:
        return True
    return excess < missed and math.sqrt(missed / (missed - excess)) <= 1.0 + TOLERANCE


def _most_kept(inner: Tensor, beside: Tensor, outside: float, rank: int) -> float:
    """An upper bound on the energy that any matrix of `rank` can keep of A: the sum of the first eigenvalues of A^T A.

    In a basis that begins with the space's, A^T A has the blocks [[H, R^T], [R, E]]: H = `inner`, R^T R = `beside` (for the
    last block, zero for the others), E <= `outside`. For any t with g = t - outside > 0, Young's inequality for the blocks
    beside the diagonal gives A^T A - t <= diag(H - t + R^T R / g, 0), and so

        (kept by the best) <= rank * t + trace of the positive part of (H - t + R^T R / g).

    The least of a few t is taken.
    """
    best = math.inf
    levels = [outside * factor for factor in (1.02, 1.2)]
    levels.append(max(levels[-1], float(torch.linalg.eigvalsh(inner)[-rank])))
    for level in levels:
        if level > outside:
            bent = inner.clone()
            bent[-len(beside) :, -len(beside) :] += beside / (level - outside)
            best = min(best, rank * level + float((torch.linalg.eigvalsh(bent) - level).clamp(min=0.0).sum()))
    return best


def _above_ritz(size: int, width: int, steps: int) -> float:
    """By how much the largest eigenvalue of a matrix of `size` may exceed the largest in a random Krylov space, as a factor.

    One vector misses more than the share e with probability 1.648 sqrt(size) exp(-sqrt(e) (2 steps - 1)) at most (Kuczynski &
    Wozniakowski 1992, theorem 4.1); all vectors of a block, which are independent, with its `width`-th power: _FAILURE here.
    """
    share = (math.log(1.648 * math.sqrt(size) / _FAILURE ** (1.0 / width)) / (2 * steps - 1)) ** 2
    return 1.0 / (1.0 - share) if share < 1.0 else math.inf
