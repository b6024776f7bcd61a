# shellcheck shell=bash disable=SC2034
# Sourced by run.sh: how jobs are started. A launcher is called as in Kaldi,
#
#   $cmd JOB=1:$nj exp/log/name.JOB.log command ... JOB
#
# and takes --mem 4G --num-threads 2 --gpu 1 --time 1:00:00. MASD_CMD chooses: local starts processes on this
# machine; slurm and sge submit to a cluster, where conf/slurm.conf and conf/sge.conf say what a resource means
# (docs/cluster.md); anything else is a launcher of your own with its options, such as "queue.pl --mem 4G".
# cmd is for feature dumps, copy-synthesis, embeddings and scoring: many small jobs;
# train_cmd for pretraining and SVM fitting: one larger job.
case ${MASD_CMD:=local} in
  local)
    cmd="run.py"
    train_cmd="run.py"
    ;;
  slurm | sge)
    cmd="$MASD_CMD.py --mem 4G --time 8:00:00"
    train_cmd="$MASD_CMD.py --mem 16G --time 72:00:00 --num-threads ${MASD_TRAIN_THREADS:=8}"
    ;;
  *)
    cmd=$MASD_CMD
    train_cmd=$MASD_CMD
    ;;
esac
# a recipe that is told of no such launcher fails here, not hours later
command -v "${cmd%% *}" > /dev/null || { echo "cmd.sh: error: no launcher '${cmd%% *}' (MASD_CMD)" >&2; exit 1; }
