#!/usr/bin/env bash
# What is to be measured on a machine with an NVIDIA GPU, from a clean clone: builds with TorchSharp (gigabytes of packages, once), runs the
# conformance suite on the GPU (golden ids with 1 and 2 ranks that share it among them), compares a text of two ranks with the managed backend's,
# and takes decode and prefill of the 1B shape next to the GPU's memory bandwidth.
#
#   bench/gpu.sh [cuda-linux|cuda-windows|cpu]
set -euo pipefail
cd "$(dirname "$0")/.."
torch=${1:-cuda-linux}
device=cuda
if [ "$torch" = cpu ]; then device=cpu; else nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv; fi
build=(-c Release "-p:Torch=$torch" -v q --nologo)

dotnet build "${build[@]}" launcher
dotnet build "${build[@]}" tests/Engine.Tests
dotnet build "${build[@]}" bench

echo '--- conformance'
DISTRIBUTED_TEST_DEVICE=$device "tests/Engine.Tests/bin/torch-$torch/Release/net10.0/Engine.Tests" -namespace Distributed.Engine.Tests.Torch

echo '--- two ranks on one device, against the managed backend'
distrun=launcher/bin/torch-$torch/Release/net10.0/distrun
run=("$distrun" --nproc-per-node 2 worker complete --config configs/demo.json --temperature 0)
diff <("${run[@]}" 2>/dev/null) <(CUDA_VISIBLE_DEVICES=0 "${run[@]}" --backend torch --device "$device" --dtype fp32) && echo 'the same text'
diff <("${run[@]}" 2>/dev/null) <(CUDA_VISIBLE_DEVICES=0 "${run[@]}" --backend torch --device "$device" --dtype bf16 2>/dev/null) && echo 'the same text in bfloat16' || true

echo '--- decode and prefill of the 1B shape'
bench=bench/bin/torch-$torch/Release/net10.0/Distributed.Bench
"$bench" gpu --device "$device" --shape 1b
"$bench" gpu --device "$device" --shape 1b --batch 16
