"""The long runs of the host buses and the streams; the tests run a share of them.

Run as ``make buses`` or ``make streams``. Each prints a line a simulator: what was
counted, seed and seconds. Exit code 1 where anything differs.
"""

import argparse
import random
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from verification.cosim.chip_runs import CHIPS, run_on_chip

from ohmloop.command import ends
from ohmloop.engines.cosim import ENGINES, SimulationError
from ohmloop_hdl.chip import HOSTS
from ohmloop_hdl.config import ChipConfig, config_named

SMALL = config_named("tiny")

AMOUNTS = {"buses": 10_000, "streams": 2_000_000}
"""Random accesses, and beats in both directions together, of each run."""


def run(what: str, engine: str, host: str, config: ChipConfig, amount: int, seed: int) -> tuple[bool, str]:
    """One run: whether all was as it must be, and a line about it."""
    begun = time.monotonic()
    module, case = ("bench_states", None) if what == "buses" else ("bench_streams", "vectors_in_and_out")
    try:
        told, good = "; ".join(run_on_chip(engine, config, f"verification.cosim.{module}", seed=seed, host=host,
                                           testcase=case, amount=amount)), True
    except SimulationError as error:
        told, good = str(error), False
    return good, f"{engine} {config.name} {host}, seed {seed}: {told}; {time.monotonic() - begun:.0f} s"


def main() -> int:
    """Parse the options, run, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=AMOUNTS)
    parser.add_argument("--amount", type=int, help="random accesses, or beats, of each run")
    parser.add_argument("--engine", choices=ENGINES, help="one simulator instead of all")
    parser.add_argument("--host", choices=HOSTS, help="one host bus; SPI only runs when named")
    parser.add_argument("--config", help="another chip than the test's")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    hosts = [options.host] if options.host else list(CHIPS) if options.what == "buses" else ["axil"]
    amount = options.amount or AMOUNTS[options.what]
    failed = 0
    with ProcessPoolExecutor(2) as pool:
        futures = []
        for engine in [options.engine] if options.engine else ENGINES:
            for host in hosts:
                usual = CHIPS.get(host, SMALL) if options.what == "buses" else SMALL
                config = config_named(options.config) if options.config else usual
                futures.append(pool.submit(run, options.what, engine, host, config, amount, options.seed))
        for future in as_completed(futures):
            good, line = future.result()
            failed += not good
            print(line, flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    ends("campaign", main)
