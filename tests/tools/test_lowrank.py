"""Singular value decompositions of products and of large matrices."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.tools import lowrank


def pair(out: int, inside: int, rank: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, inside, generator=generator), torch.randn(out, rank, generator=generator)


def best(matrix: torch.Tensor, rank: int) -> torch.Tensor:
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


@pytest.mark.parametrize(("out", "inside"), [(40, 30), (12, 50), (50, 6)])
@pytest.mark.parametrize("rank", [1, 5, 8])
def test_the_cut_of_a_sum_is_the_best_of_its_rank(out, inside, rank):
    parts = [(*pair(out, inside, 4, 0), 0.7), (*pair(out, inside, 6, 1), -0.4)]
    matrix = sum(strength * (up.double() @ down.double()) for down, up, strength in parts)
    down, up = lowrank.of_product(parts).factors(rank)
    assert down.dtype == up.dtype == torch.float32
    torch.testing.assert_close((up.double() @ down.double()), best(matrix, rank), rtol=1e-5, atol=1e-5)


def test_dependent_factors_are_exact_too():
    """One file merged with itself, a zero row, and columns that nearly agree: the fast way cannot be used."""
    down, up = pair(40, 30, 5, 0)
    near = up + 1e-6 * pair(40, 30, 5, 2)[1]
    down = torch.cat([down[:4], torch.zeros(1, 30)])
    parts = [(down, up, 0.5), (down, up, 0.25), (down, near, 0.25)]
    matrix = sum(strength * (up.double() @ down.double()) for down, up, strength in parts)
    svd = lowrank.of_product(parts)
    found_down, found_up = svd.factors(4)
    torch.testing.assert_close(found_up.double() @ found_down.double(), matrix, rtol=1e-5, atol=1e-5)
    assert svd.rank_for_energy(1.0) == 4


def test_rank_for_energy_is_the_smallest_that_keeps_the_share():
    svd = lowrank.of_product([(torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5])), torch.eye(4), 1.0)])  # energies 9 4 1 .25
    assert [svd.rank_for_energy(share) for share in (0.1, 9 / 14.25, 0.64, 13 / 14.25, 0.99, 1.0)] == [1, 1, 2, 2, 4, 4]


def falling(size: tuple[int, int], values: torch.Tensor, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(size[0], len(values), generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(size[1], len(values), generator=generator, dtype=torch.float64)).Q
    return (left * values) @ right.T


@pytest.mark.parametrize("size", [(400, 320), (320, 400)])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_a_decomposition_within_krylov_spaces_is_as_good_as_it_claims(power, size):
    values = torch.arange(1, 321, dtype=torch.float64) ** -power
    matrix = falling(size, values).float()
    svd = lowrank.of_matrix(matrix, 8, name="layer")
    assert not svd.exact
    down, up = svd.factors(8)
    least = values[8:].square().sum().sqrt()
    apart = (matrix.double() - up.double() @ down.double()).norm()
    assert apart <= least * (1 + lowrank.TOLERANCE) + lowrank.NEGLIGIBLE * values.norm()
    torch.testing.assert_close(svd.values.double(), values[:8], rtol=1e-3, atol=1e-4)
    for rows in (svd.right(8), svd.left(8).T):
        torch.testing.assert_close(rows @ rows.T, torch.eye(8), rtol=0, atol=1e-4)


@pytest.mark.parametrize("power", [0.3, 0.6, 1.0, 3.0])
def test_the_bound_is_never_below_what_the_best_keeps(power):
    """Over spectra of all slopes, from the first space with next to nothing in it to one that holds nearly all."""
    size = 160
    values = torch.arange(1, size + 1, dtype=torch.float64) ** -power
    matrix = falling((200, size), values).float()
    excess = []
    for blocks in (1, 2, 4):
        generator = torch.Generator().manual_seed(blocks)
        space = lowrank._Krylov(matrix, 16, blocks, generator)
        space.grow(blocks)
        probes = lowrank._Krylov(matrix, 16, 4, generator, space.basis)
        probes.grow(4)
        left_over = matrix - (matrix @ space.basis.T) @ space.basis
        norm = float(torch.linalg.matrix_norm(left_over, 2)) ** 2
        found = float(torch.linalg.eigvalsh(probes.products())[-1])
        outside = found * lowrank._above_ritz(size - 16 * blocks, 16, 4)
        assert found <= norm * 1.0001 <= outside * 1.0002
        bound = lowrank._most_kept(space.products(), lowrank._gram(space.residual()), outside, 6)
        excess.append(bound - float(values[:6].square().sum()))
    assert min(excess) > -1e-6 and excess[-1] < 0.5


def test_a_flat_spectrum_is_decomposed_by_the_eigenvectors_of_its_product():
    matrix = torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
    svd = lowrank.of_matrix(matrix, 8)
    assert not svd.exact
    down, up = svd.factors(8)
    torch.testing.assert_close((up @ down).double(), best(matrix, 8), rtol=1e-3, atol=1e-4)


def test_the_exact_decomposition_where_rounding_could_cost_too_much():
    """A large value above many small ones, too few of which a Krylov space could tell apart."""
    matrix = falling((120, 100), torch.tensor([1.0, *[1e-3] * 99], dtype=torch.float64)).float()
    assert lowrank.of_matrix(matrix, 8).exact
    assert lowrank.of_matrix(torch.zeros(60, 50), 4).exact


def test_a_low_rank_matrix_with_rounding_is_decomposed_within_krylov_spaces():
    matrix = falling((400, 300), 0.9 ** torch.arange(8, dtype=torch.float64)) + 1e-6 * torch.randn(
        400, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    svd = lowrank.of_matrix(matrix.float(), 8)
    assert not svd.exact
    down, up = svd.factors(8)
    assert float((matrix - up.double() @ down.double()).norm()) <= 1.001 * float((matrix - best(matrix, 8)).norm())
