"""Partitions: every unknown once, no block too large, grids and pairs found where they are."""

import os

import numpy as np
import pytest

from ohmloop.ensembles import grid_of, heat, impedance, oscillator, sparse5, tridiagonal, wishart
from ohmloop.errors import InputError
from ohmloop.solvers import partition

SEED = int(os.environ.get("OHMLOOP_SEED", "0"))


def generator() -> np.random.Generator:
    """A fresh one."""
    return np.random.default_rng(SEED)


@pytest.mark.parametrize("n", [65, 100, 128, 200, 256, 512])
def test_every_unknown_is_in_one_block_that_fits(n: int):
    print(f"OHMLOOP_SEED={SEED}")
    systems = [heat(n), sparse5(n, 30.0, generator()), wishart(n, 30.0, generator())]
    if n % 2 == 0:
        systems += [oscillator(n), impedance(n, generator())]
    for matrix in systems:
        for name, blocks in partition.partitions(matrix, 64).items():
            assert max(map(len, blocks)) <= 64, name
            assert np.array_equal(np.sort(np.concatenate(blocks)), np.arange(n)), name
    assert len(partition.natural(heat(n), 64)) == -(-n // 64)


def test_which_partitions_are_tried():
    assert list(partition.partitions(heat(256), 64)) == ["boxes", "band"]
    assert list(partition.partitions(oscillator(256), 64)) == ["pairs", "band"]
    assert list(partition.partitions(impedance(128, generator()), 64)) == ["pairs"]
    assert list(partition.partitions(sparse5(128, 30.0, generator()), 64)) == ["bisection", "band"]
    assert list(partition.partitions(wishart(128, 30.0, generator()), 64)) == ["natural"]
    assert list(partition.partitions(wishart(128, 30.0, generator()), 64, (8, 16))) == ["boxes"]
    with pytest.raises(InputError, match=r"grid: must have 128 points, as many as unknowns, not \(8, 8\)"):
        partition.partitions(wishart(128, 30.0, generator()), 64, (8, 8))


def test_boxes_are_few_and_square():
    blocks = partition.boxes((16, 16), 64)
    assert [len(block) for block in blocks] == [64] * 4
    rows, columns = np.divmod(blocks[1], 16)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 7, 8, 15)
    assert [len(block) for block in partition.boxes((16, 32), 64)] == [64] * 8
    assert [len(block) for block in partition.boxes((1, 100), 64)] == [50, 50]
    assert max(map(len, partition.boxes((13, 17), 64))) <= 64


def test_grids_are_found():
    for n in (100, 128, 200, 256, 512):
        assert partition.grid_in(heat(n)) == grid_of(n)
    nine = np.kron(tridiagonal(9), np.abs(tridiagonal(12))) + np.eye(108)
    assert partition.grid_in(nine) == (9, 12)
    hole = heat(256)
    hole[5, 6] = hole[6, 5] = 0.0
    for other in (tridiagonal(128), sparse5(128, 30.0, generator()), wishart(64, 30.0, generator()), np.eye(64), hole):
        assert partition.grid_in(other) is None


def test_pairs_stay_together_and_keep_their_form():
    assert partition.has_pairs(oscillator(128)) and partition.has_pairs(impedance(128, generator()))
    assert not partition.has_pairs(heat(128)) and not partition.has_pairs(np.eye(65))
    blocks = partition.paired(oscillator(256), 64)
    for block in blocks:
        assert np.array_equal(block[:32] + 128, block[32:])
        assert np.array_equal(oscillator(256)[np.ix_(block, block)], oscillator(64))


def test_orderings_find_a_hidden_chain():
    hidden = np.random.default_rng(SEED).permutation(128)
    chain = tridiagonal(128)[np.ix_(hidden, hidden)]
    for maker in (partition.bisected, partition.banded):
        first, second = maker(chain, 64)
        assert np.count_nonzero(chain[np.ix_(first, second)]) == 1, maker.__name__
    assert np.count_nonzero(chain[:64, 64:]) > 30
