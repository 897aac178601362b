#!/usr/bin/env bash
# A search on the machines of one Slurm allocation: sbatch deploy/slurm.sh gan --trials 256 --gpus-per-trial 0.25
#
# What follows the name of this script is what `bmtune search` takes. The run lies in outputs/ of the folder where
# sbatch was called, or in --storage; that folder must be one that all machines share. Slurm warns the search a minute
# before its time is up, so that it ends in good order; `sbatch deploy/slurm.sh gan --name NAME --resume` goes on.
#
# EDIT what your cluster calls for:
#SBATCH --job-name=bmtune
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@60

set -euo pipefail
source "${BMTUNE_ENV:-$HOME/bmtune-env}/bin/activate"

# A token that only the processes of this job know.
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
ip=$(srun --overlap --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}')
# Jobs that share a machine have ports of their own.
port=$((20000 + SLURM_JOB_ID % 20000))
here=(--num-cpus="${SLURM_CPUS_PER_TASK:-1}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --disable-usage-stats --block)

# Whatever happens, what was started here ends with this script.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

srun --overlap --nodes=1 --ntasks=1 -w "$head" \
    ray start --head --node-ip-address="$ip" --port="$port" --include-dashboard=false \
    --temp-dir="/tmp/ray-$SLURM_JOB_ID" "${here[@]}" &
for attempt in $(seq 60); do
    if ray status --address="$ip:$port" >/dev/null 2>&1; then break; fi
    [ "$attempt" -lt 60 ] || { echo "error: Ray did not start on $head" >&2; exit 1; }
    sleep 2
done
if [ "${#nodes[@]}" -gt 1 ]; then
    others=("${nodes[@]:1}")
    srun --overlap --nodes="${#others[@]}" --ntasks="${#others[@]}" --ntasks-per-node=1 \
        -w "$(IFS=,; echo "${others[*]}")" \
        ray start --address="$ip:$port" "${here[@]}" &
fi

# The search uses machines as they come, and hears SIGTERM through this script.
bmtune search "$@" --address="$ip:$port" &
search=$!
trap 'kill -TERM "$search" 2>/dev/null || true' TERM INT
code=0
wait "$search" || code=$?
# A signal ends `wait` before the search has ended.
while kill -0 "$search" 2>/dev/null; do wait "$search" || code=$?; done
exit "$code"
