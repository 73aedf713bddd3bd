#!/usr/bin/env bash
# fuzz.sh [SECONDS]: looks for so long (300) for bytes that break the decoder or the wire format.
# In turns, each with seeds of its own: the mutation fuzzer in C (tests/native/fuzz_decode.c) under
# AddressSanitizer and UndefinedBehaviorSanitizer, and the tests of hypothesis with new examples,
# under the one and then under the other. Stops at the first find; a turn that has begun is ended.
set -euo pipefail
cd "$(dirname "$0")/.."

deadline=$((SECONDS + ${1:-300}))
seed=$(date +%s)
tests=(tests/test_codec_hostile.py tests/test_wire.py)

in_c() {
  local end=$((SECONDS + $1))
  while ((SECONDS < end && SECONDS < deadline)); do
    scripts/test-native.sh fuzz "$seed" 200000
    seed=$((seed + 1))
  done
}

in_python() { # sanitizer
  ((SECONDS < deadline)) || return 0
  scripts/test-sanitized.sh "$1" -- -q -m hypothesis --hypothesis-profile=fuzz "${tests[@]}"
}

while ((SECONDS < deadline)); do
  in_c 30
  in_python address
  in_c 30
  in_python undefined
done
echo "fuzz: nothing found in $SECONDS s"
