#!/usr/bin/env bash
# Writes the tables of the chapter on what sweeps reach: of the default sweep, over so many seeds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seeds=${1:-20000}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cargo build --release --quiet
vertebra=${CARGO_TARGET_DIR:-target}/release/vertebra
"$vertebra" sweep --seeds "0..$seeds" --no-keep --ledger "$scratch/ledger"
"$vertebra" coverage --markdown --ledger "$scratch/ledger" >"$scratch/tables.md"
mv "$scratch/tables.md" book/src/coverage-tables.md
