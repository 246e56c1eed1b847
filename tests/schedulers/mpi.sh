#!/usr/bin/env bash
# distrun inside Open MPI's mpirun, on this machine alone (Debian: openmpi-bin). Build first (dotnet build -c Release launcher). Skips with the reason where
# mpirun is not installed; ends with 1 where a check fails.
set -uo pipefail
. "$(dirname "$0")/checks.sh"
require mpirun
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
mpirun=(mpirun --oversubscribe --mca plm isolated --mca btl_tcp_if_include lo --mca oob_tcp_if_include lo)
[ "$(id -u)" != 0 ] || mpirun+=(--allow-run-as-root)

mpirun --version | head -n 1
check 'a distrun a process, a rank each' 0 \
  '.*rank 0 of 3, 0 of 1 on node 0 of 3, here, 127\.0\.0\.1' '.*rank 1 of 3, 0 of 1 on node 1 of 3, here, 127\.0\.0\.1' '.*rank 2 of 3, 0 of 1 on node 2 of 3, here, 127\.0\.0\.1' \
  'distrun: inside mpirun \(Open MPI\): --nnodes 3 --node-rank 0 .*' \
  -- "${mpirun[@]}" -np 3 "$distrun" sh -c "$say"
check 'as many distruns on a host as ranks each is refused' 2 \
  '.*has started 2 distruns on this node, and each would start 2 ranks, 4 in all; start one a node \(mpirun --map-by ppr:1:node\), or leave --nproc-per-node out\.' \
  -- "${mpirun[@]}" -np 2 "$distrun" --nproc-per-node 2 true
check "one distrun alone is no job of several" 0 \
  '.*rank 1 of 2, 1 of 2 on node 0 of 1, here, 127\.0\.0\.1' \
  -- "${mpirun[@]}" -np 1 "$distrun" --nproc-per-node 2 sh -c "$say"
check "a rank's failure is mpirun's exit code" 7 \
  '  rank      : 1 \(local_rank: 0\)' \
  -- "${mpirun[@]}" -np 2 "$distrun" sh -c 'test $RANK = 1 || exec sleep 60; sleep 0.5; exit 7'
echo "$failed checks failed"
[ "$failed" -eq 0 ]
