#!/usr/bin/env bash
# fuzz.sh SECONDS [TARGET...]: looks for so long (600), by coverage, for bytes that break something;
# each target in turn, from the seeds in tests/fuzz/seeds and what earlier runs have left in
# build/fuzz/corpus. Prints a row of figures for each. Ends with status 1 if something was found,
# and says where the bytes lie.
# fuzz.sh again TARGET FILE: takes the bytes of a find once more.
#
# The targets in C (tests/fuzz/*.c) are libFuzzer's: the C files under AddressSanitizer and
# UndefinedBehaviorSanitizer. Those in Python (tests/fuzz/python_target.py) are atheris's: the
# package's Python code, and its extensions under AddressSanitizer. CLANG names a clang.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  printf 'fuzz: %s\n' "$*" >&2
  exit 1
}

c_targets=(decode encode header newest)
python_targets=(message jpeg picture key_file)
clang=${CLANG:-clang}
python=$PWD/.venv/bin/python
out=build/fuzz
[[ -x $python ]] || die "no .venv here: run it as make fuzz"

is_in_c() { [[ " ${c_targets[*]} " == *" $1 "* ]]; }

# Debian has the flags of libjpeg in pkg-config; elsewhere LIBJPEG_TURBO_PREFIX names one.
jpeg=()
libs=(-ljpeg)
if [[ -n ${LIBJPEG_TURBO_PREFIX:-} ]]; then
  jpeg=(-I"$LIBJPEG_TURBO_PREFIX/include")
  libs=(-L"$LIBJPEG_TURBO_PREFIX/lib" -Wl,-rpath,"$LIBJPEG_TURBO_PREFIX/lib" -ljpeg)
elif pkg-config --exists libjpeg 2>/dev/null; then
  read -ra jpeg <<<"$(pkg-config --cflags libjpeg)"
  read -ra libs <<<"$(pkg-config --libs libjpeg)"
fi

flags=(-std=gnu11 -O1 -g -fno-omit-frame-pointer -pthread -Wall -Wextra -Wpedantic -Wshadow -Werror
  -Isrc/fastimagezmq -Itests/native -Itests/fuzz -fsanitize=address,undefined
  -fno-sanitize-recover=all ${jpeg[@]+"${jpeg[@]}"})

# The sources in an archive: a target has, and counts, only what it calls.
build_sources() {
  local source
  rm -rf "$out/native"
  mkdir -p "$out/native"
  for source in src/fastimagezmq/native/*.c; do
    "$clang" "${flags[@]}" -fsanitize=fuzzer-no-link -c "$source" \
      -o "$out/native/$(basename "$source" .c).o"
  done
  ar rcs "$out/native/sources.a" "$out"/native/*.o
}

build_in_c() { # target
  local more=()
  case $1 in
    decode | encode)
      more=(tests/fuzz/codec.c tests/native/check.c tests/native/any_jpeg.c
        -Wl,--wrap=posix_memalign -Wl,--wrap=calloc -Wl,--wrap=pthread_create
        -Wl,--wrap=fiz_jpeg_encode_alone -Wl,--wrap=fiz_jpeg_decode_alone)
      ;;
  esac
  "$clang" "${flags[@]}" -fsanitize=fuzzer "tests/fuzz/$1.c" ${more[@]+"${more[@]}"} \
    "$out/native/sources.a" "${libs[@]}" -ldl -o "$out/native/$1"
}

build_extensions() {
  FASTIMAGEZMQ_SANITIZE=address,fuzzer-no-link CC=$clang LDSHARED="$clang -shared" \
    "$python" setup.py -q build --build-base "$out/python" --build-lib "$out/python/lib" \
    >"$out/python.log" 2>&1 || { tail -n 20 "$out/python.log" >&2; die "the build failed"; }
}

# Sets `command`: a target with its limits, up to options and folders.
prepare() { # target
  if is_in_c "$1"; then
    command=(env ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 "$out/native/$1")
  else
    # atheris has libFuzzer and the sanitizer's runtime in one library. What Python itself keeps
    # until its end is no leak; leases are counted by the targets.
    command=(env "LD_PRELOAD=$("$python" -c 'import atheris; print(atheris.path())')/asan_with_fuzzer.so"
      ASAN_OPTIONS=detect_leaks=0 "PYTHONPATH=$PWD/$out/python/lib:$PWD/tests" PYTHONMALLOC=malloc
      "$python" tests/fuzz/python_target.py "$1" -detect_leaks=0)
  fi
  command+=(-timeout=20 -rss_limit_mb=2048)
}

seeds_of() { # target
  case $1 in
    decode) echo tests/fuzz/seeds/jpeg ;;
    *) echo "tests/fuzz/seeds/$1" ;;
  esac
}

dictionary_of() { # target
  case $1 in
    decode | jpeg) echo tests/fuzz/jpeg.dict ;;
    *) echo tests/fuzz/message.dict ;;
  esac
}

finds=()
fuzz() { # target, seconds
  local log=$out/$1.log status=0 found=""
  mkdir -p "$out/corpus/$1" "$out/finds"
  prepare "$1"
  "${command[@]}" -max_total_time="$2" -max_len=8192 -print_final_stats=1 \
    -dict="$(dictionary_of "$1")" -artifact_prefix="$out/finds/$1-" \
    "$out/corpus/$1" "$(seeds_of "$1")" >"$log" 2>&1 || status=$?
  if ((status != 0)); then
    found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    finds+=("$1 ${found:-no file: see $log}")
    tail -n 40 "$log" >&2
  fi
  # In Python libFuzzer knows of an edge only once it was seen.
  awk -v target="$1" -v find="$((status != 0))" -v in_c="$(is_in_c "$1" && echo yes || true)" '
    in_c && /^INFO: Loaded .* inline 8-bit counters/ { gsub(/[()]/, ""); all = " of " $5 }
    match($0, /cov: [0-9]+/) { covered = substr($0, RSTART + 5, RLENGTH - 5) }
    match($0, /^#[0-9]+/) { runs = substr($0, 2, RLENGTH - 1) }
    /^stat::number_of_executed_units/ { runs = $2 }
    /^stat::average_exec_per_sec/ { pace = $2 }
    END { printf "| %s | %s | %s | %s | %d |\n", target, runs, pace, covered (all ? all : ""), find }
  ' "$log"
}

mkdir -p "$out"
if [[ ${1:-} == again ]]; then
  [[ $# -eq 3 ]] || die "say: scripts/fuzz.sh again TARGET FILE"
  if is_in_c "$2"; then
    build_sources
    build_in_c "$2"
  else
    build_extensions
  fi
  prepare "$2"
  exec "${command[@]}" "$3"
fi

seconds=${1:-600}
shift $(($# > 0))
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=("${c_targets[@]}" "${python_targets[@]}")
sanitized_tests=""
if ! "$python" -c 'import atheris' 2>/dev/null; then
  echo "fuzz: atheris is not here, which has wheels for CPython 3.11 to 3.14 on x86-64 Linux only:" \
    "in place of its targets the tests of hypothesis run under AddressSanitizer"
  sanitized_tests=yes
fi

build_sources
for target in "${targets[@]}"; do
  if is_in_c "$target"; then build_in_c "$target"; fi
done
[[ -n $sanitized_tests ]] || build_extensions

echo "| target | executions | a second | edges seen | finds |"
echo "| --- | --- | --- | --- | --- |"
for target in "${targets[@]}"; do
  if is_in_c "$target" || [[ -z $sanitized_tests ]]; then
    fuzz "$target" $((seconds / ${#targets[@]} + 1))
  fi
done
if [[ -n $sanitized_tests ]]; then
  scripts/test-sanitized.sh address -- -q -m hypothesis --hypothesis-profile=fuzz \
    tests/test_codec_hostile.py tests/test_wire.py || finds+=("hypothesis: see above")
fi

if [[ ${#finds[@]} -gt 0 ]]; then
  printf 'fuzz: found by %s\n' "${finds[@]}" >&2
  echo "fuzz: scripts/fuzz.sh again TARGET FILE takes those bytes once more" >&2
  exit 1
fi
echo "fuzz: nothing found in $SECONDS s"
