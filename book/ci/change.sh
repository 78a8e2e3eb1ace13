#!/bin/sh
# Sweeps seeds that belong to a commit: `change.sh HASH`.
set -eu
SEEDS=${SEEDS:-4000}

# The canary: a bug that is planted, and must be found. It is no failure to annotate.
code=0
GITHUB_ACTIONS= vertebra sweep --count 300 --defect acknowledge-before-sync --fail-fast --no-keep --no-ledger || code=$?
if [ "$code" != 1 ]; then
    echo "the canary was not found: exit code $code instead of 1" >&2
    exit 1
fi

vertebra sweep --seeds "$1" --count "$SEEDS" --no-ledger --junit sweep.xml
