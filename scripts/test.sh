#!/usr/bin/env bash
# Installs what the tests need (Debian packages if missing, npm packages, ONNX Runtime in .venv), builds, lints, and runs all tests.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

command -v node >/dev/null || fail "node is missing: install Node.js 20.19 or newer from https://nodejs.org"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' \
  || fail "Node.js $(node --version) is too old: 20.19 or newer is needed"

# Programs and the Debian packages that hold them.
declare -A packages=([verilator]=verilator [yosys]=yosys [iverilog]=iverilog [ccache]=ccache [g++]=g++ [make]=make)
missing=()
for program in "${!packages[@]}"; do
  command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  command -v apt-get >/dev/null || fail "missing programs: ${missing[*]}; there is no apt-get here, install them by hand and run this again"
  root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "missing packages: ${missing[*]}; run as root: apt-get install ${missing[*]}"
    root=(sudo)
  fi
  apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=400)
  "${apt[@]}" update -qq || fail "apt-get update failed; install by hand: apt-get install ${missing[*]}"
  "${apt[@]}" install -y -qq --no-install-recommends "${missing[@]}" || fail "installation failed; install by hand: apt-get install ${missing[*]}"
fi

say "npm packages"
npm ci --no-audit --no-fund

# ONNX Runtime is what results are held against; $ONNX_HLS_PYTHON names a Python that has it.
if [ -z "${ONNX_HLS_PYTHON:-}" ] && ! cmp -s scripts/requirements.txt .venv/requirements.txt; then
  say "Python packages"
  if python3 -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/requirements.txt; then
    cp scripts/requirements.txt .venv/requirements.txt
  else
    say "ONNX Runtime could not be installed: tests that need it are skipped and say so"
  fi
fi

say "build"
npm run --silent build

say "lint"
npm run --silent lint

say "tests"
npm run --silent test
