#!/usr/bin/env bash
# A real Grid Engine of one host, for tests and for trying a recipe: sge_qmaster and sge_execd from Debian's packages.
#
# Usage: tools/sge_cluster.sh start|stop|status DIR
#
# Needs root, and once: apt-get install gridengine-master gridengine-exec gridengine-client (none of their questions
# needs an answer: DEBIAN_FRONTEND=noninteractive). All it makes is in DIR; the host's own cell is not touched. After
# start, `. DIR/env.sh` points qsub and its kin to this cluster: one queue, as many slots as cores, the parallel
# environment smp.
set -euo pipefail

fail() { echo "sge_cluster.sh: error: $*" >&2; exit 1; }
usage() { sed -n '2,/^set/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2; exit 1; }
[ $# -eq 2 ] || usage
mkdir -p "$2"
dir=$(cd "$2" && pwd)
programs=/usr/lib/gridengine
home=/var/lib/gridengine

alive() { [ -s "$dir/$1.pid" ] && kill -0 "$(cat "$dir/$1.pid")" 2> /dev/null; }
quietly() { "$@" >> "$dir/start.log" 2>&1 || fail "$1 failed; see $dir/start.log"; }

configure() {
  local ports
  rm -rf "$dir/cell" "$dir/spool"
  mkdir -p "$dir/cell/common" "$dir/spool/qmaster/job_scripts" "$dir/spool/execd"
  for folder in bin lib util utilbin; do ln -sfn "$home/$folder" "$dir/$folder"; done
  ports=$(python3 -c 'import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*[s.getsockname()[1] for s in sockets])')
  {
    printf 'export SGE_ROOT=%q SGE_CELL=cell\n' "$dir"
    echo "export SGE_QMASTER_PORT=${ports% *} SGE_EXECD_PORT=${ports#* }"
  } > "$dir/env.sh"
  echo "localhost $(hostname -s) $(hostname)" > "$dir/cell/common/host_aliases"
  echo localhost > "$dir/cell/common/act_qmaster"
  printf '%s\n' "admin_user root" "default_domain none" "ignore_fqdn true" "spooling_method classic" \
    "spooling_lib libspoolc" "spooling_params $dir/cell/common;$dir/spool/qmaster" "binary_path /usr/sbin" \
    "qmaster_spool_dir $dir/spool/qmaster" "security_mode none" "listener_threads 2" "worker_threads 2" \
    "scheduler_threads 1" > "$dir/cell/common/bootstrap"
  sed "s|^execd_spool_dir.*|execd_spool_dir $dir/spool/execd|; s|^min_\(.\)id.*|min_\1id 0|
    s|^gid_range.*|gid_range 20000-20100|; s|flush_time=[0-9:]*|flush_time=00:00:01|" \
    /usr/share/gridengine/default-configuration > "$dir/configuration"
}

# What the queue master is told once it runs: one host, one queue, one parallel environment, a scheduler in a hurry.
describe() {
  local keys
  printf '%s NONE\n' load_scaling complex_values user_lists xuser_lists projects xprojects usage_scaling \
    report_variables > "$dir/host"
  sed -i '1i hostname localhost' "$dir/host"
  keys="user_lists NONE,xuser_lists NONE,start_proc_args NONE,stop_proc_args NONE,control_slaves FALSE"
  keys+=",job_is_first_task TRUE,urgency_slots min,accounting_summary FALSE,qsort_args NONE"
  echo "pe_name smp,slots 999,allocation_rule \$pe_slots,$keys" | tr , '\n' > "$dir/smp"
  qconf -sq | sed "s/^qname .*/qname all.q/; s/^hostlist .*/hostlist localhost/; s/^slots .*/slots $(getconf _NPROCESSORS_ONLN)/
    s/^pe_list .*/pe_list smp/; s/^load_thresholds .*/load_thresholds NONE/" > "$dir/queue"
  qconf -ssconf | sed 's/^\(schedule_interval\|flush_submit_sec\|flush_finish_sec\) .*/\1 1/
    s/^schedule_interval .*/schedule_interval 0:0:1/' > "$dir/scheduler"
  quietly qconf -as localhost
  quietly qconf -Ae "$dir/host"
  quietly qconf -Ap "$dir/smp"
  quietly qconf -Aq "$dir/queue"
  quietly qconf -Msconf "$dir/scheduler"
}

start() {
  for program in "$programs/sge_qmaster" "$programs/sge_execd" qconf; do
    command -v "$program" > /dev/null ||
      fail "no $program; apt-get install gridengine-master gridengine-exec gridengine-client"
  done
  [ "$(id -u)" -eq 0 ] || fail "sge_execd starts jobs as their users, so this must be run by root"
  ! alive sge_qmaster || fail "there is a cluster in $dir already; stop it first"
  configure
  # shellcheck source=/dev/null
  . "$dir/env.sh"
  quietly "$programs/spoolinit" classic libspoolc "$dir/cell/common;$dir/spool/qmaster" init
  quietly "$programs/spooldefaults" configuration "$dir/configuration"
  quietly "$programs/spooldefaults" complexes /usr/share/gridengine/util/resources/centry
  quietly "$programs/spooldefaults" usersets /usr/share/gridengine/util/resources/usersets
  quietly "$programs/spooldefaults" managers root
  SGE_ND=1 "$programs/sge_qmaster" >> "$dir/start.log" 2>&1 < /dev/null &
  echo $! > "$dir/sge_qmaster.pid"
  for _ in $(seq 100); do
    ! qconf -sh > /dev/null 2>&1 || break
    sleep 0.2
  done
  describe
  SGE_ND=1 "$programs/sge_execd" >> "$dir/start.log" 2>&1 < /dev/null &
  echo $! > "$dir/sge_execd.pid"
  for _ in $(seq 100); do
    if qstat -f 2> /dev/null | grep -q '^all.q@localhost .* lx-[a-z0-9]* *$'; then
      echo "sge_cluster.sh: started; use it with: . $1/env.sh"
      return
    fi
    sleep 0.2
  done
  stop
  fail "the queue is not ready after 20 seconds; messages are in $dir"
}

stop() {
  if alive sge_qmaster; then
    # shellcheck source=/dev/null
    ( . "$dir/env.sh"; qdel -u '*' > /dev/null 2>&1 || true; sleep 2 )
  fi
  for daemon in sge_execd sge_qmaster; do
    alive "$daemon" || continue
    local pid
    pid=$(cat "$dir/$daemon.pid")
    kill "$pid"
    for _ in $(seq 50); do
      kill -0 "$pid" 2> /dev/null || break
      sleep 0.1
    done
    ! kill -0 "$pid" 2> /dev/null || kill -9 "$pid"
    rm -f "$dir/$daemon.pid"
  done
}

status() {
  local code=0
  for daemon in sge_qmaster sge_execd; do
    if alive "$daemon"; then echo "$daemon runs"; else echo "$daemon does not run"; code=1; fi
  done
  # shellcheck source=/dev/null
  [ "$code" -ne 0 ] || ( . "$dir/env.sh"; qstat -f )
  return "$code"
}

case $1 in
  start) start "$2" ;;
  stop) stop ;;
  status) status ;;
  *) usage ;;
esac
