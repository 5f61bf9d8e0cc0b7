"""The streams of the generated chip, on both simulators: every beat, under random pauses."""

from ohmloop_hdl.config import config_named


def test_no_beat_is_lost_repeated_or_reordered(run_chip_bench):
    run_chip_bench(config_named("tiny"), "verification.cosim.bench_streams")
