# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by run.sh: how small jobs (cmd), copies (copy_cmd) and trainings (train_cmd) are started: on this machine, by Slurm
# or Grid Engine, or by a launcher of your own with its options, such as MASD_CMD="queue.pl --mem 4G" (docs/cluster.md).
case ${MASD_CMD:=local} in
  local) cmd=run.py copy_cmd=run.py train_cmd=run.py ;;
  slurm | sge) if [ "${size-}" = full ]; then _asked=(8G 24 72 64G); else _asked=(4G 8 8 16G); fi
    cmd="$MASD_CMD.py --mem ${_asked[0]} --time ${_asked[1]}:00:00" copy_cmd="$MASD_CMD.py --mem ${_asked[0]} --time ${_asked[2]}:00:00"
    train_cmd="$MASD_CMD.py --mem ${_asked[3]} --time 72:00:00 --num-threads ${MASD_TRAIN_THREADS:=8}" ;;
  *) cmd=$MASD_CMD copy_cmd=$MASD_CMD train_cmd=$MASD_CMD ;;
esac
