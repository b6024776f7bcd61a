# shellcheck shell=bash disable=SC2034
# Sourced by run.sh: how many small jobs (cmd) and trainings (train_cmd) are started: on this machine, by Slurm or
# Grid Engine, or by a launcher of your own with its options, such as MASD_CMD="queue.pl --mem 4G" (docs/cluster.md).
case ${MASD_CMD:=local} in
  local) cmd=run.py train_cmd=run.py ;;
  slurm | sge) cmd="$MASD_CMD.py --mem 4G --time 8:00:00"
    train_cmd="$MASD_CMD.py --mem 16G --time 72:00:00 --num-threads ${MASD_TRAIN_THREADS:=8}" ;;
  *) cmd=$MASD_CMD train_cmd=$MASD_CMD ;;
esac
