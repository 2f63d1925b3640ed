#!/usr/bin/env bash
# Compiles BraggNN (s=1), runs the bit-exact model on test patches, and prints accuracy, latency, interval and resources.
# Needs npm packages only (npm ci), no external tool.
set -euo pipefail
cd "$(dirname "$0")/.."
example=examples/braggnn
out=${1:-build/braggnn_s1}

[ -d node_modules ] || npm ci --no-audit --no-fund
npm run --silent build
mkdir -p "$(dirname "$out")"
node dist/cli/main.js compile "$example/braggnn_s1.onnx" -o "$out" --config "$example/compile.yaml"
node dist/cli/main.js run "$out" --input "$example/data/test.npz" --output "$out/test-result.npz"
node "$example/localisation.mjs" "$out/test-result.npz"
