#!/bin/bash
# Two machines with eight GPUs each: sbatch recipes/multi-node/slurm.sh DATA RUN [more arguments of asrlsa finetune]
# The same command starts the run and goes on with it after the time limit. DATA and RUN lie on a shared disk.
# Not run here: it needs a cluster.
#SBATCH --job-name=asrlsa
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --output=asrlsa-%j.log

set -euo pipefail
data=$1
run=$2
shift 2
# SLURM runs a copy of this script, so the recipe is found from where sbatch was called.
recipe=${ASRLSA_RECIPE:-$SLURM_SUBMIT_DIR/recipes/multi-node/multi-node.toml}
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
first=${hosts%%$'\n'*} # not through head: it may close the pipe while scontrol still writes
resume=()
[[ -e "$run/recipe.toml" ]] && resume=(--resume)

export OMP_NUM_THREADS=4
srun torchrun \
  --nnodes="$SLURM_NNODES" \
  --nproc-per-node="${SLURM_GPUS_ON_NODE:-8}" \
  --rdzv-id="$SLURM_JOB_ID" \
  --rdzv-backend=c10d \
  --rdzv-endpoint="$first:29500" \
  -m asrlsa finetune "$recipe" --data "$data" -o "$run" "${resume[@]}" "$@"
