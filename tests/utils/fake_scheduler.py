#!/usr/bin/python3 -SE
"""A batch system that misbehaves on demand: called as sbatch, squeue, qsub, qstat ... it acts as they do.

Its state is the folder FAKE_SCHEDULER: `calls` (every call of it), `tasks/<array>_<index>` (one line:
RUNNING, or how it ended), and `rules.json`: {"limits": {...}, "tasks": {"<index>": rule}} where a rule is

    vanish   the task never runs and ends as NODE_FAIL
    held     the task stays pending for a reason that does not pass
    murder   the process that runs the task is killed with signal 9 once there is a file `victim`
    late     the task leaves the queue a second before it ends
    requeue  the task ends once with exit status 143, waits, and runs again
    linger   the task ends but is said to run until it is cancelled
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ["FAKE_SCHEDULER"])
TASKS = HOME / "tasks"
RULES = json.loads((HOME / "rules.json").read_text())


def expand(text):
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def known():
    return {path.name: path.read_text().strip() for path in sorted(TASKS.iterdir()) if path.suffix != ".pid"}


def count(what):
    path = HOME / f"{what}.count"
    value = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(value))
    return value


def submit(indices, script, log, variable):
    """Start every task in the background and return the array's id."""
    array = str(100 + count("arrays"))
    for index in indices:
        task = TASKS / f"{array}_{index}"
        task.write_text("RUNNING")
        words = [
            sys.executable,
            "-SE",
            __file__,
            "run",
            task,
            script,
            log.replace("INDEX", str(index)),
            variable,
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(list(map(str, words)), start_new_session=True, **quiet)
        (TASKS / f"{array}_{index}.pid").write_text(str(process.pid))
    return array


def elsewhere(script, index):
    """Return the command of a task whose exit status goes where no launcher looks: it would be a 0."""
    words = shlex.split(Path(script).read_text().splitlines()[1])[1:-1]
    HOME.joinpath("requeued").mkdir(exist_ok=True)
    words[-1] = shutil.copy(words[-1], HOME / "requeued")
    return [*map(str, words), index]


def run(task, script, log, variable):
    """Run one task to its end in a process of its own, and write down how it ended."""
    task = Path(task)
    index = task.name.split("_")[1]
    rule = RULES["tasks"].get(index)
    if rule == "vanish":
        return task.write_text("NODE_FAIL 0:0")
    if rule == "held":
        return task.write_text("PENDING launch failed requeued held")
    with open(log, "w") as stream:
        again = rule == "requeue" and count(f"runs{index}") == 1
        command = elsewhere(script, index) if again else ["sh", script]
        environment = {**os.environ, variable: index}
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        (TASKS / f"{task.name}.pid").write_text(str(process.pid))
        if rule == "murder":
            while not Path("victim").exists():
                time.sleep(0.05)
            stream.write("the node says why\n")
            process.kill()
            Path("murdered").touch()
        if rule == "late":
            task.write_text("COMPLETED 0:0")
        code = process.wait()
    if again:
        (Path(script).parent / f"exit.{index}").write_text("143\n")
        task.write_text("PENDING BeginTime")
        time.sleep(0.5)
        return run(task, script, log, variable)
    if rule != "linger" and task.read_text().startswith("RUNNING"):
        state = "COMPLETED" if code == 0 else "FAILED"
        task.write_text(f"{state} 0:{-code}" if code < 0 else f"{state} {code}:0")


def cancel(names):
    for name in known():
        if name in names or name.split("_")[0] in names:
            (TASKS / name).write_text("CANCELLED 0:15")
            try:
                os.kill(int((TASKS / f"{name}.pid").read_text()), signal.SIGTERM)
            except (OSError, ValueError):
                continue


def refuse_too_many(number, message):
    active = sum(state.split()[0] in {"RUNNING", "PENDING"} for state in known().values())
    if active + number > RULES["limits"].get("submit", 10**9):
        sys.exit(message)
    if count("submissions") <= RULES["limits"].get("busy", 0):
        sys.exit("error: Socket timed out on send/recv operation")


def sbatch(words):
    given = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
    indices = list(expand(given["--array"].split("%")[0]))
    if max(indices) >= RULES["limits"].get("array", 1001):
        sys.exit("sbatch: error: Batch job submission failed: Invalid job array specification")
    refuse_too_many(len(indices), "sbatch: error: Job violates accounting/QOS policy (job submit limit)")
    print(submit(indices, words[-1], given["--output"].replace("%a", "INDEX"), "SLURM_ARRAY_TASK_ID"))


def squeue(_words):
    if count("questions") <= RULES["limits"].get("silent", 0):
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller")
    for name, text in known().items():
        state, _, reason = text.partition(" ")
        print(f"{name}|{state}|{reason if state == 'PENDING' else 'None'}")


def scontrol(words):
    if "config" in words:
        print(f"MaxArraySize            = {RULES['limits'].get('array', 1001)}")
    elif words[-1] in known() and "late" not in RULES["tasks"].values():
        state, _, code = known()[words[-1]].partition(" ")
        print(f"JobId=1 JobState={state} Reason=None ExitCode={code}")


def qsub(words):
    indices = list(expand(words[words.index("-t") + 1]))
    refuse_too_many(len(indices), "Unable to run job: job rejected: limit of max_u_jobs reached")
    log = words[words.index("-o") + 1].replace("$TASK_ID", "INDEX")
    array = submit(indices, words[-1], log, "SGE_TASK_ID")
    print(f"{array}.{indices[0]}-{indices[-1]}:1")


def qstat(_words):
    if count("questions") <= RULES["limits"].get("silent", 0):
        sys.exit("error: unable to contact qmaster")
    print("<?xml version='1.0'?><job_info><queue_info>")
    for name, text in known().items():
        array, index = name.split("_")
        state = {"RUNNING": "r", "PENDING": "qw"}.get(text.split()[0])
        state = "Eqw" if "held" in text else state
        if state:
            print(f"<job_list><JB_job_number>{array}</JB_job_number><state>{state}</state>")
            print(f"<tasks>{index}</tasks></job_list>")
    print("</queue_info></job_info>")


def qacct(words):
    state = known()[f"{words[1]}_{words[3]}"]
    name, _, code = state.partition(" ")
    status, _, number = code.partition(":")
    print(f"failed       {'37  : ' + name if name not in {'COMPLETED', 'FAILED'} else 0}")
    print(f"exit_status  {128 + int(number) if number != '0' else status}")


def main():
    name, words = Path(sys.argv[0]).name, sys.argv[1:]
    if words[:1] == ["run"]:
        return run(*words[1:])
    with open(HOME / "calls", "a") as stream:
        print(name, *words, file=stream)
    if name == "qdel":
        cancel([words[0] + (f"_{words[2]}" if len(words) > 1 else "")])
    elif name == "scancel":
        cancel(words)
    elif name == "qconf":
        print(f"max_aj_tasks {RULES['limits'].get('array', 75000)}")
    elif name == "sacct":
        sys.exit("Slurm accounting storage is disabled")
    else:
        globals()[name](words)


main()
