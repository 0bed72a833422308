#!/bin/bash
# Two machines with eight GPUs each: sbatch docs/launch/slurm.sh
# One process a machine, all of its GPUs; jax finds the machines by SLURM's own variables.
#SBATCH --job-name=dsnjax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=04:00:00
#SBATCH --requeue
# SIGTERM a minute before the time is up: the run saves and ends with 75.
#SBATCH --signal=TERM@60

# Folders that all machines see at these paths.
STORE=${STORE:-$HOME/quickdraw/store}
WORKDIR=${WORKDIR:-$HOME/runs/dsn_plus}

# None is killed for another's sake: all end by themselves with a code that tells, within seconds,
# or, where one does not come at all, after this many.
export DSNJAX_START_TIMEOUT=60
srun --kill-on-bad-exit=0 \
    dsnjax train --config dsn_plus --data.store "$STORE" --data.batch-size 4096 \
    --data.threads 8 --workdir "$WORKDIR"
code=$?
# 75: stopped or a process was lost; above 128: one was killed, as srun says it. The same job goes
# on from the last checkpoint, a hundred times at most. 1 (a bug), 2, 3 and 4 would only fail again.
case $code in
0 | 1 | 2 | 3 | 4) ;;
*) [ "${SLURM_RESTART_COUNT:-0}" -ge 100 ] || scontrol requeue "$SLURM_JOB_ID" ;;
esac
exit "$code"
