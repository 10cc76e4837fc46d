#!/bin/bash
# A recipe on several machines of a SLURM cluster. The processes share the embedding, the shards of unlabelled speech
# and each batch of a training.
#
#     sbatch --nodes=4 --gpus-per-node=2 --export=ALL,PROCESSES=2 examples/slurm/recipe.sh my.toml runs/mine
#
# All machines must see the recipe, the corpora and the run folder. Further arguments go to `ser-graph run`. If the job
# runs out of time, submit it again: the run continues.
#
#SBATCH --job-name=ser-graph
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00

set -euo pipefail

recipe=${1:?give a recipe: recipe.sh RECIPE RUN_FOLDER}
out=${2:?give a run folder: recipe.sh RECIPE RUN_FOLDER}
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
first=${hosts%%$'\n'*} # no `| head -n 1`: it can end scontrol by a signal, and the script with it

# One torchrun on each machine. PROCESSES is the number of processes of a machine: one for each GPU, or 1 on CPUs.
srun --kill-on-bad-exit=1 python -m torch.distributed.run \
    --nnodes="$SLURM_NNODES" \
    --nproc-per-node="${PROCESSES:-1}" \
    --rdzv-id="$SLURM_JOB_ID" \
    --rdzv-backend=c10d \
    --rdzv-endpoint="$first:${PORT:-29500}" \
    -m ser_graph run "$recipe" --out "$out" "${@:3}"
