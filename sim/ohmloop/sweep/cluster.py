"""Worker processes, through Dask: a cluster on this machine, or one that runs elsewhere.

Dask is imported here only, and only when there is something to compute. It says nothing on its own: what goes wrong is
an error of ours, in one line.
"""

import asyncio
import logging
import os
import re
import signal
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import resource_tracker
from typing import Any

from ohmloop.errors import InputError, OhmloopError
from ohmloop.sweep.measure import Measured, measure
from ohmloop.sweep.store import Task
from ohmloop.sweep.version import code_version

CONNECT_S = 4.0
"""Seconds in which a scheduler must answer, and after that have a worker."""

AHEAD = 4
"""Tasks given out a worker thread: enough that none waits, few enough that nothing piles up."""

_QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
          "PYTHONWARNINGS": "ignore"}


@contextmanager
def cluster(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A Dask client: of the scheduler at an address, or of ``workers`` new processes of one thread each.

    Ctrl-C is for this process alone: workers do not see it, they are ended when the block is left. No port is opened to
    the outside, and no dashboard.

    Errors: :class:`InputError` when there is no scheduler at the address, or it has no worker.
    """
    # Threads and processes inherit that SIGINT is blocked; one that comes meanwhile waits. The tracker is a process
    # that multiprocessing would start with the first worker, and then unblock SIGINT.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        import distributed

        logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)
        local = None
        if scheduler is not None:
            _knock(distributed, scheduler)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")     # Such as that a busy disk takes its time.
                local = distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1",
                    dashboard_address=None,  # pyright: ignore[reportArgumentType]
                    worker_dashboard_address=None, silence_logs=logging.CRITICAL + 1, env=_QUIET)
        client = _connect(distributed, local or scheduler)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield client
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with suppress(Exception):
                client.close(timeout=2)
            if local:
                _end(local)
        finally:
            signal.signal(signal.SIGINT, before)


def results(client: Any, tasks: Iterable[Task]) -> Iterator[tuple[Task, Measured]]:
    """Tasks with their results, in the order in which they come.

    Errors: :class:`OhmloopError` when the workers are lost; what a task raises.
    """
    from distributed import KilledWorker, as_completed

    waiting = iter(tasks)
    threads = sum(client.nthreads().values())

    def submit(task: Task) -> Any:
        future = client.submit(_run, task, code_version(), key=f"sweep-{task.key}", pure=False)
        given[future.key] = task
        return future

    given: dict[str, Task] = {}
    running = as_completed([submit(task) for task in islice(waiting, AHEAD * threads)], loop=client.loop,
                           raise_errors=False)
    for future in running:
        try:
            measured = future.result()
        except KilledWorker:
            raise OhmloopError("a worker process ended again and again in one task: out of memory?") from None
        if measured is None:
            raise InputError("--scheduler: its workers run another version of the program, or of numpy or scipy")
        yield given.pop(future.key), measured
        running.update([submit(task) for task in islice(waiting, 1)])


def check_address(scheduler: str | None) -> None:
    """Raise :class:`InputError` for what is no address of a scheduler."""
    if scheduler is not None and not re.fullmatch(r"(tcp|tls)://.+:\d{1,5}", scheduler):
        raise InputError(f"--scheduler must be tcp://HOST:PORT, not {scheduler!r}")


def default_workers() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def _run(task: Task, version: str) -> Measured | None:
    """In the worker; None when its code is another."""
    return measure(task.point, task.first, task.count) if version == code_version() else None


def _knock(distributed: Any, scheduler: str) -> None:
    """Raise :class:`InputError` unless a scheduler answers; a Dask client would wait for ever, and be loud."""
    async def identity() -> dict:
        async with distributed.rpc(scheduler, timeout=CONNECT_S) as peer:
            return await asyncio.wait_for(peer.identity(), CONNECT_S)

    try:
        kind = asyncio.run(identity())["type"]
    except Exception:  # whatever speaks at that port, and however
        kind = ""
    if kind != "Scheduler":
        raise InputError(f"--scheduler: no Dask scheduler of this version answers at {scheduler} within "
                         f"{CONNECT_S:g} s")


def _connect(distributed: Any, where: Any) -> Any:
    try:
        client = distributed.Client(where, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError, ImportError) as error:
        if not isinstance(where, str):
            raise OhmloopError(f"cannot start worker processes: {error}") from None
        raise InputError(f"--scheduler: no Dask scheduler answers at {where} within {CONNECT_S:g} s") from None
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError:
        client.close()
        raise InputError(f"--scheduler: the scheduler at {where} has no workers; start one with `dask worker {where}`"
                         ) from None
    return client


def _end(local: Any) -> None:
    """End the worker processes now: what they are at is not waited for."""
    for nanny in local.workers.values():
        with suppress(Exception):
            nanny.auto_restart = False
            os.kill(nanny.pid, signal.SIGKILL)
    with suppress(Exception):
        local.close(timeout=5)
