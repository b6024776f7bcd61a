# shellcheck shell=bash disable=SC2034
# Sourced by run.sh: how jobs are started. A launcher is called as in Kaldi,
#
#   $cmd JOB=1:$nj exp/log/name.JOB.log command ... JOB
#
# and takes --mem 4G --num-threads 2 --gpu 1 --time 1:00:00. run.py starts processes on this machine;
# a run.pl, slurm.pl or queue.pl of your own can stand in its place.
cmd="run.py"         # feature dumps, copy-synthesis, scoring: many small jobs
train_cmd="run.py"   # pretraining and SVM fitting: one larger job
