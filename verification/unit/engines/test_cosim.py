"""The bench runner on both simulators: what passes, what is rebuilt, what a failure says, what is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ohmloop.engines.cosim import ENGINES, SimulationError, run_bench, waves_of
from ohmloop.errors import InputError

HERE = Path(__file__).parent
Bench = Callable[..., Path]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    return request.param


@pytest.fixture
def bench(engine: str, tmp_path: Path) -> Bench:
    """Runs a test of the counter bench; keyword arguments go to ``run_bench``."""

    def run(testcase: str | None = "counts", **changed: object) -> Path:
        arguments: dict[str, object] = {
            "sources": [HERE / "counter.sv"], "toplevel": "counter", "test_module": "bench_counter",
            "work": tmp_path / "work", "parameters": {"WIDTH": 5}, "env": {"CLOCKS": "40"}, "testcase": testcase,
            "python_path": [HERE], "public": {"counter_core": ["next_count"]}}
        return run_bench(engine, **(arguments | changed))  # type: ignore[arg-type]

    return run


def test_passing_bench_returns_its_results(bench: Bench):
    results = bench("counts|sees_inside")
    assert results.name == "results.xml"
    assert "PASS=2 FAIL=0" in results.with_name("run.log").read_text()


def test_same_content_is_not_built_again(bench: Bench, tmp_path: Path, engine: str):
    bench()
    (build,) = (tmp_path / "work").glob(f"{engine}-counter-*")
    built = (build / "build.log").stat().st_mtime_ns
    copy = tmp_path / "elsewhere" / "counter.sv"
    copy.parent.mkdir()
    copy.write_text((HERE / "counter.sv").read_text())
    started = time.monotonic()
    bench(sources=[copy])
    spent = time.monotonic() - started
    assert (build / "build.log").stat().st_mtime_ns == built
    assert spent < 5  # well under a second on an idle machine

    copy.write_text(copy.read_text().replace("count + 1'b1", "count + WIDTH'(2)"))
    with pytest.raises(SimulationError, match="1 of 1 tests failed: counts"):
        bench(sources=[copy])


def test_a_parameter_is_part_of_the_build(bench: Bench, tmp_path: Path, engine: str):
    bench(parameters={"WIDTH": 7})
    bench(parameters={"WIDTH": 3})
    assert len(list((tmp_path / "work").glob(f"{engine}-counter-*"))) == 2


def test_failing_test_is_named_with_log_and_last_lines(bench: Bench, engine: str):
    with pytest.raises(SimulationError) as caught:
        bench("fails|counts")
    first, *rest = str(caught.value).splitlines()
    assert first == f"bench_counter on {engine}: 1 of 2 tests failed: fails; log: {caught.value.log}"
    assert "the counter was asked to fail" in caught.value.log.read_text()
    assert 0 < len(rest) <= 20
    assert "FAIL=1" in "".join(rest)


def test_source_that_does_not_compile(bench: Bench, tmp_path: Path, engine: str):
    broken = tmp_path / "counter.sv"
    broken.write_text("module counter(input wire clk);\n  assign nonsense = ;\nendmodule\n")
    with pytest.raises(SimulationError, match=f"^building counter for {engine} failed; log: .*build.log") as caught:
        bench(sources=[broken])
    assert "counter.sv:2" in "".join(caught.value.tail)


def test_no_matching_test_is_a_failure(bench: Bench):
    with pytest.raises(SimulationError, match="bench_counter on"):
        bench("no_such_test")


def test_waves_are_kept(bench: Bench):
    results = bench(waves=True)
    assert waves_of(results).stat().st_size > 100
    with pytest.raises(InputError, match="waves=True"):
        waves_of(bench())


def test_environment_of_the_shell_does_not_reach_the_bench(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"SIM": "ghdl", "COCOTB_TEST_FILTER": "fails", "VERILATOR_ROOT": "/nowhere",
                        "MAKEFLAGS": "n", "COCOTB_RESULTS_FILE": "/nowhere/results.xml"}.items():
        monkeypatch.setenv(name, value)
    bench()


def test_wrong_inputs_are_named(bench: Bench, tmp_path: Path):
    with pytest.raises(InputError, match="engine must be one of icarus, verilator, not 'vcs'"):
        run_bench("vcs", sources=[], toplevel="t", test_module="m", work=tmp_path)
    with pytest.raises(InputError, match="source must be a file that exists, not .*missing.sv"):
        bench(sources=[tmp_path / "missing.sv"])
    with pytest.raises(InputError, match="work and sources must have no spaces"):
        run_bench("verilator", sources=[HERE / "counter.sv"], toplevel="counter", test_module="bench_counter",
                  work=tmp_path / "my work")


def test_verilator_warnings_stop_the_build_only_when_waivers_are_given(tmp_path: Path):
    source = tmp_path / "top.sv"
    source.write_text("module top(input wire clk, output wire [3:0] total);\n  assign total = 5'd3;\nendmodule\n")
    waivers = tmp_path / "top.vlt"

    def build_and_run():
        run_bench("verilator", sources=[source], toplevel="top", test_module="bench_counter", work=tmp_path / "work",
                  testcase="no_such_test", python_path=[HERE], waivers=waivers if waivers.exists() else None)

    with pytest.raises(SimulationError, match="^bench_counter"):
        build_and_run()
    waivers.write_text("`verilator_config\n")
    with pytest.raises(SimulationError, match="^building top for verilator failed"):
        build_and_run()
    waivers.write_text('`verilator_config\nlint_off -rule WIDTHTRUNC -file "*top.sv"\nlint_off -rule UNUSEDSIGNAL\n')
    with pytest.raises(SimulationError, match="^bench_counter"):
        build_and_run()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_runs_on_when_the_caller_ends(bench: Bench, engine: str, tmp_path: Path, how: signal.Signals):
    bench()  # build first, so that the simulation itself is what gets stopped
    # In the background of a shell SIGINT is ignored, and so it is in what is started from there.
    program = f"""
import signal
from pathlib import Path
from ohmloop.engines.cosim import run_bench
signal.signal(signal.SIGINT, signal.default_int_handler)
here = Path({str(HERE)!r})
run_bench({engine!r}, sources=[here / "counter.sv"], toplevel="counter", test_module="bench_counter",
          work=Path({str(tmp_path / "work")!r}), parameters={{"WIDTH": 5}}, testcase="hangs", python_path=[here],
          public={{"counter_core": ["next_count"]}})
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    caller = subprocess.Popen([sys.executable, "-c", program], env=env, stderr=subprocess.DEVNULL)
    try:
        _wait_until(lambda: _simulators(tmp_path))
        caller.send_signal(how)
        assert caller.wait(timeout=20) != 0
        _wait_until(lambda: not _simulators(tmp_path))
    finally:
        caller.kill()


def _simulators(folder: Path) -> list[str]:
    """Command lines of running processes that name ``folder``, ours and the caller's aside."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(folder).encode() in b" ".join(command) and b"-c" not in command:
            found.append(b" ".join(command).decode())
    return [line for line in found if "cosim_job" not in line]


def _wait_until(condition: Callable[[], object]):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited 30 s in vain"
        time.sleep(0.05)
