# For slurm.sh and mpi.sh: runs a command and checks what it printed and how it ended. Sourced; sets $distrun, $folder and $failed.
distrun=${DISTRUN:-$(cd "$(dirname "$0")/../.." && pwd)/launcher/bin/Release/net10.0/distrun}
failed=0

require() { # require PROGRAM...: ends the script, as skipped, where one is missing
  if [ ! -x "$distrun" ]; then
    echo "$distrun is not built"
    exit 1
  fi
  for program in "$@"; do
    if ! command -v "$program" >/dev/null; then
      echo "skipped: $program is not here"
      exit 0
    fi
  done
}

# check TITLE EXIT_CODE LINE... -- COMMAND...: the command ends with that code, and each line is one of those that it prints (a pattern of grep -E that
# fits the whole line). All that it printed is shown where that does not hold.
check() {
  title=$1 expected=$2
  shift 2
  lines=()
  while [ "$1" != -- ]; do
    lines+=("$1")
    shift
  done
  shift
  timeout 120 "$@" >"$folder/out" 2>&1 </dev/null
  code=$?
  problems=()
  [ "$code" = "$expected" ] || problems+=("exit code $code, not $expected")
  for line in "${lines[@]}"; do
    grep -qxE -- "$line" "$folder/out" || problems+=("no line $line")
  done
  if [ ${#problems[@]} -eq 0 ]; then
    echo "ok: $title"
  else
    failed=$((failed + 1))
    echo "FAILED: $title"
    printf '  %s\n' "${problems[@]}"
    sed 's/^/  | /' "$folder/out"
  fi
}

# What a rank prints, for the patterns above.
say='echo "rank $RANK of $WORLD_SIZE, $LOCAL_RANK of $LOCAL_WORLD_SIZE on node $GROUP_RANK of $GROUP_WORLD_SIZE, ${SLURMD_NODENAME-here}, $MASTER_ADDR"'
