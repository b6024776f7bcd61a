#!/usr/bin/env bash
# A real Slurm of one host, for tests and for trying a recipe: munged, slurmctld and slurmd from Debian's packages.
#
# Usage: tools/slurm_cluster.sh start|stop|status DIR
#
# Needs root, and once: apt-get install munge slurmctld slurmd slurm-client. All it makes is in DIR, but for munge's
# socket in a folder of its own in /run; the host's own Slurm or munge is not touched. After start, `. DIR/env.sh`
# points sbatch and its kin to this cluster. There is no accounting, so no sacct. The node has the host's cores (more
# jobs than that wait) and nine tenths of its memory; a job that uses more memory than it asked for is killed.
set -euo pipefail

fail() { echo "slurm_cluster.sh: error: $*" >&2; exit 1; }
usage() { sed -n '2,/^set/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2; exit 1; }
[ $# -eq 2 ] || usage
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)

alive() { [ -s "$dir/$1.pid" ] && kill -0 "$(cat "$dir/$1.pid")" 2> /dev/null; }
# The socket's path may have 107 characters at most, and munged wants the way to it safe: so not in DIR itself.
socket_dir() { cat "$dir/socket_dir"; }

needs() {
  for program in munged slurmctld slurmd sbatch; do
    command -v "$program" > /dev/null || [ -x "/usr/sbin/$program" ] ||
      fail "no $program; apt-get install munge slurmctld slurmd slurm-client"
  done
  [ "$(id -u)" -eq 0 ] || fail "slurmd starts jobs as their users, so this must be run by root"
}

free_ports() {
  python3 - << 'END_PYTHON'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*[s.getsockname()[1] for s in sockets])
END_PYTHON
}

configure() {
  local host cores memory controller daemon
  host=$(hostname -s)
  cores=$(getconf _NPROCESSORS_ONLN)
  memory=$(awk '/^MemTotal/ { print int($2 / 1024 * 0.9) }' /proc/meminfo)
  read -r controller daemon < <(free_ports)
  mkdir -p "$dir/state" "$dir/spool"
  mktemp -d /run/masd_munge.XXXXXX > "$dir/socket_dir"
  chmod 755 "$(socket_dir)"
  ( umask 077; head -c 128 /dev/urandom > "$dir/munge.key" )
  cat > "$dir/slurm.conf" << END_CONF
ClusterName=masd
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmdPort=$daemon
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$(socket_dir)/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=512
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
END_CONF
  printf 'export SLURM_CONF=%q\n' "$dir/slurm.conf" > "$dir/env.sh"
}

start() {
  needs
  ! alive slurmctld || fail "there is a cluster in $dir already; stop it first"
  configure
  export PATH="$PATH:/usr/sbin" SLURM_CONF=$dir/slurm.conf
  munged --force --key-file="$dir/munge.key" --socket="$(socket_dir)/socket" --pid-file="$dir/munged.pid" \
    --log-file="$dir/munged.log" --seed-file="$dir/munge.seed" 2> "$dir/munged.stderr" ||
    fail "munged does not start; its log is $dir/munged.log"
  slurmctld -c -f "$SLURM_CONF" || fail "slurmctld does not start; its log is $dir/slurmctld.log"
  slurmd -f "$SLURM_CONF" || fail "slurmd does not start; its log is $dir/slurmd.log"
  for _ in $(seq 100); do
    if sinfo --noheader --format %T 2> /dev/null | grep -qx idle; then
      echo "slurm_cluster.sh: started; use it with: . $2/env.sh"
      return
    fi
    sleep 0.2
  done
  stop
  fail "the node is not ready after 20 seconds; logs are in $dir"
}

stop() {
  export SLURM_CONF=$dir/slurm.conf
  [ ! -f "$SLURM_CONF" ] || ! alive slurmctld || scancel --full --quiet --user root 2> /dev/null || true
  for _ in $(seq 50); do
    alive slurmctld && [ -n "$(squeue --noheader 2> /dev/null)" ] || break
    sleep 0.1
  done
  for daemon in slurmd slurmctld munged; do
    alive "$daemon" || continue
    local pid
    pid=$(cat "$dir/$daemon.pid")
    kill "$pid"
    for _ in $(seq 100); do
      kill -0 "$pid" 2> /dev/null || break
      sleep 0.1
    done
    ! kill -0 "$pid" 2> /dev/null || kill -9 "$pid"
    rm -f "$dir/$daemon.pid"
  done
  [ ! -f "$dir/socket_dir" ] || rm -rf "$(socket_dir)" "$dir/socket_dir"
  rm -rf "$dir/state" "$dir/spool"
}

status() {
  local code=0
  for daemon in munged slurmctld slurmd; do
    if alive "$daemon"; then echo "$daemon runs"; else echo "$daemon does not run"; code=1; fi
  done
  [ "$code" -ne 0 ] || SLURM_CONF=$dir/slurm.conf sinfo
  return "$code"
}

case $action in
  start) start "$@" ;;
  stop) stop ;;
  status) status ;;
  *) usage ;;
esac
