#!/bin/sh
# Installs the foreign programs that tests talk to: the official gRPC implementations, OpenAI's client for JavaScript, Chromium and what drives it,
# PyTorch, etcd, Slurm, Open MPI, ip (for nodes) and ps. Does nothing where they are present; on a machine without apt-get or npm the tests that need them
# are skipped and say why.
set -eu
cd "$(dirname "$0")"

packages=""
needs() { # needs PACKAGES COMMAND...: a command that works where the packages are installed
  wanted=$1
  shift
  "$@" >/dev/null 2>&1 || packages="$packages $wanted"
}

needs ruby-grpc ruby -e 'require "grpc"'
needs "python3-grpcio python3-protobuf" /usr/bin/python3 -c 'import grpc, google.protobuf'
needs python3-torch /usr/bin/python3 -c 'import torch'
needs etcd-server etcd --version
needs slurm-client scontrol --version
needs "slurmctld slurmd munge" slurmctld -V
needs openmpi-bin mpirun --version
needs python3-yaml /usr/bin/python3 -c 'import yaml'
needs iproute2 ip -V
needs procps ps --version
needs chromium chromium --version
needs "nodejs npm" npm --version
if [ -n "$packages" ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
  else
    echo "not installed (needs apt-get and root):$packages" >&2
  fi
fi

# node_modules/.package-lock.json is npm's record of what it installed last.
for folder in Rpc.Tests/interop/js EndToEnd.Tests/interop/js; do
  if [ ! "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ]; then
    if command -v npm >/dev/null; then
      npm ci --prefix "$folder" --ignore-scripts --no-fund --no-audit --loglevel=error
      touch "$folder/node_modules/.package-lock.json"
    else
      echo "the npm packages of $folder are not installed (needs npm)" >&2
    fi
  fi
done
