"""Draws depend on seed, purpose and keys alone."""

import subprocess
import sys

from lora_trainer.randomness import rng, seed_of


def test_a_seed_is_the_same_in_every_process_and_version():
    assert seed_of(42, "noise", 3, 7) == 14786791146725309163
    code = "from lora_trainer.randomness import seed_of; import sys; sys.stdout.write(str(seed_of(42, 'noise', 3, 7)))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == seed_of(42, "noise", 3, 7)


def test_every_argument_and_its_place_matter():
    seeds = {
        seed_of(0, "noise"),
        seed_of(1, "noise"),
        seed_of(0, "caption"),
        seed_of(0, "noise", 0),
        seed_of(0, "noise", 1),
        seed_of(0, "noise", 0, 1),
        seed_of(0, "noise", 1, 0),
        seed_of(0, "noise", 10),
        seed_of(0, "noise", -1),
    }
    assert len(seeds) == 9
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_seeds_spread_over_all_64_bits():
    seeds = [seed_of(0, "spread", key) for key in range(2000)]
    for bit in range(64):
        assert 800 < sum(seed >> bit & 1 for seed in seeds) < 1200


def test_a_generator_starts_afresh_at_each_call():
    assert rng(1, "caption", 2).random() == rng(1, "caption", 2).random()
    assert rng(1, "caption", 2).random() != rng(1, "caption", 3).random()
