#!/usr/bin/env python3
"""Run a command, or an array of them, as processes on this machine.

usage: run.py [options] [JOB=1:N] LOG COMMAND [ARGUMENT ...]

JOB in the log's name and in the command is replaced by the number of the job. Each job's output goes
to its log, with the command and date at the top and the exit status and time at the end.

options:
  --max-jobs-run N   how many jobs run at once (default: the number of cores)
  --num-threads N    threads of one job, set as OMP_NUM_THREADS (default: what that variable says already,
                     else cores / jobs that run at once)
  --mem 4G, --gpu N, --time H:MM:SS
                     what a cluster's launcher would ask for; this one takes them and does nothing with them

The exit status is 0 if every job ended with 0, else 1; then the last lines of the first failed
job's log are shown. A job killed by a signal has failed.
When this process is told to stop, so are its jobs, and its exit status is 128 + the signal; told a second
time, it kills them.
slurm.py and sge.py are called in the same way.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import jobs


def main() -> None:
    """Run the jobs the command line asks for."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in {"-h", "--help"}:
        sys.exit(print(__doc__.strip()))
    call = jobs.parse(arguments)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    at_once = jobs.whole_number("--max-jobs-run", call.options.get("--max-jobs-run", str(cores)))
    at_once = min(at_once, len(call.jobs))
    inherited = os.environ.get("OMP_NUM_THREADS", "")
    share = int(inherited) if inherited.isdigit() and int(inherited) else max(1, cores // at_once)
    threads = jobs.whole_number("--num-threads", call.options.get("--num-threads", str(share)))
    jobs.heed_signals()
    try:
        with ThreadPoolExecutor(at_once) as pool:
            codes = pool.map(lambda job: jobs.run_job(call, job, threads), call.jobs)
            ended = dict(zip(call.jobs, codes, strict=True))
    except OSError as error:  # a log that cannot be written
        jobs.fail(f"{error.filename or call.log}: {error.strerror}")
    failed = {job: jobs.describe(code) for job, code in ended.items() if code != 0}
    if failed:
        jobs.report(call, failed)


if __name__ == "__main__":
    main()
