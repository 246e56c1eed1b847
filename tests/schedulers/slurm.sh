#!/usr/bin/env bash
# distrun inside Slurm: a controller and two nodes of its own on this machine's loopback, for as long as the script runs (Debian: slurmctld slurmd slurm-client
# munge; root). Build first (dotnet build -c Release launcher). Skips with the reason where that cannot be; ends with 1 where a check fails.
set -uo pipefail
. "$(dirname "$0")/checks.sh"
require slurmctld slurmd srun sbatch munged unshare
if [ "$(id -u)" != 0 ]; then
  echo "skipped: needs root, for Slurm's daemons"
  exit 0
fi

# The nodes' names have to mean something: in a mount namespace of the script's own.
if [ -z "${INSIDE-}" ]; then
  INSIDE=1 exec unshare -m "$0" "$@"
fi

folder=$(mktemp -d)
chmod 755 "$folder"
mkdir "$folder/state"
printf '127.0.0.1 localhost %s node7 node66\n' "$(hostname -s)" >"$folder/hosts"
mount --bind "$folder/hosts" /etc/hosts || { echo "skipped: no mount may be made here"; exit 0; }

port=$((20000 + $$ % 12000)) # below the ports of outgoing connections
cat >"$folder/slurm.conf" <<CONFIGURATION
ClusterName=distrun
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock
SlurmUser=root
SlurmdUser=root
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
SlurmdParameters=config_overrides
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/%n.log
NodeName=node7 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=4
NodeName=node66 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=4
PartitionName=all Nodes=ALL Default=YES State=UP
CONFIGURATION
export SLURM_CONF=$folder/slurm.conf
head -c 64 /dev/urandom >"$folder/munge.key"
chmod 400 "$folder/munge.key"

daemons=()
stop() { # the nodes first, and munge, through which all of them talk, last
  scancel --full --user root >/dev/null 2>&1
  for ((index = ${#daemons[@]} - 1; index >= 0; index--)); do
    kill "${daemons[index]}" 2>/dev/null
    for ((attempt = 0; attempt < 50; attempt++)); do
      kill -0 "${daemons[index]}" 2>/dev/null || break
      sleep 0.1
    done
    kill -9 "${daemons[index]}" 2>/dev/null
  done
  umount /etc/hosts
  rm -rf "$folder"
}
trap stop EXIT

start() { # start NAME COMMAND...
  "${@:2}" >"$folder/$1.out" 2>&1 </dev/null &
  daemons+=($!)
}
start munged munged --foreground --force --key-file "$folder/munge.key" --socket "$folder/munge.sock" --pid-file "$folder/munged.pid" \
  --log-file "$folder/munged.log" --seed-file "$folder/munge.seed"
for ((attempt = 0; attempt < 100; attempt++)); do
  [ -S "$folder/munge.sock" ] && break
  sleep 0.1
done
start controller slurmctld -D -f "$SLURM_CONF"
start node7 slurmd -D -f "$SLURM_CONF" -N node7
start node66 slurmd -D -f "$SLURM_CONF" -N node66
for ((attempt = 0; attempt < 300; attempt++)); do
  sinfo -h -o '%T %D' 2>/dev/null | grep -q '^idle 2$' && break
  sleep 0.1
done
if ! sinfo -h -o '%T %D' 2>/dev/null | grep -q '^idle 2$'; then
  echo "skipped: Slurm's nodes do not come up here:"
  tail -n 3 "$folder"/*.log
  exit 0
fi

cd "$folder" || exit 1
echo "$(slurmctld -V): nodes $(sinfo -h -N -o %N | tr '\n' ' ')on loopback"
check 'a distrun a node, two ranks each' 0 \
  '.*rank 0 of 4, 0 of 2 on node 0 of 2, node7, node7' '.*rank 1 of 4, 1 of 2 on node 0 of 2, node7, node7' \
  '.*rank 2 of 4, 0 of 2 on node 1 of 2, node66, node7' '.*rank 3 of 4, 1 of 2 on node 1 of 2, node66, node7' \
  'distrun: inside srun \(Slurm job [0-9]+\): --nnodes 2 --node-rank 0 .*' \
  -- srun -N2 --ntasks-per-node=1 "$distrun" --nproc-per-node 2 sh -c "$say"
check 'a distrun a task, a rank each' 0 \
  '.*rank 0 of 4, 0 of 1 on node 0 of 4, node7, node7' '.*rank 1 of 4, 0 of 1 on node 1 of 4, node7, node7' \
  '.*rank 2 of 4, 0 of 1 on node 2 of 4, node66, node7' '.*rank 3 of 4, 0 of 1 on node 3 of 4, node66, node7' \
  -- srun -N2 --ntasks-per-node=2 "$distrun" sh -c "$say"
check 'as many distruns a node as ranks each is refused' 2 \
  '.*has started 2 distruns on this node, and each would start 2 ranks, 4 in all; start one a node \(srun --ntasks-per-node=1\), or leave --nproc-per-node out\.' \
  -- srun -N2 --ntasks-per-node=2 "$distrun" --nproc-per-node 2 true
check "a rank's failure on one node is the exit code of all" 7 \
  '  rank      : 3 \(local_rank: 1\)' 'srun: error: .*Exited with exit code 7' \
  -- srun -N2 --ntasks-per-node=1 "$distrun" --nproc-per-node 2 sh -c 'test $RANK = 3 || exec sleep 60; sleep 0.5; exit 7'
check 'a printed batch script runs its command' 0 \
  '.*rank 0 of 4, 0 of 2 on node 0 of 2, node7, node7' '.*rank 3 of 4, 1 of 2 on node 1 of 2, node66, node7' \
  -- sh -c '"$0" --emit sbatch --nnodes 2 --nproc-per-node 2 sh -c "$1" >job && sbatch --wait --output printed job && cat printed' "$distrun" "$say"
echo "$failed checks failed"
[ "$failed" -eq 0 ]
