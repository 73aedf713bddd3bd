#!/usr/bin/env bash
# Builds and runs the C tests of src/fastimagezmq/native: under AddressSanitizer with
# UndefinedBehaviorSanitizer, those of threads under ThreadSanitizer, and those of fork
# without either. Warnings are errors. CC names the compiler, LIBJPEG_TURBO_PREFIX a
# libjpeg-turbo.
#
# test-native.sh ARGUMENT...: the first of these programs alone, with arguments, in
# build/test-native: see tests/native/main.c.
set -euo pipefail
cd "$(dirname "$0")/.."

cc=${CC:-cc}
out=build/test-native
prefix=${LIBJPEG_TURBO_PREFIX:-}
if [ -n "$prefix" ]; then
    jpeg=(-I"$prefix/include")
    libs=(-L"$prefix/lib" -L"$prefix/lib64" -Wl,-rpath,"$prefix/lib:$prefix/lib64" -ljpeg)
elif pkg-config --exists libjpeg 2>/dev/null; then
    read -ra jpeg <<<"$(pkg-config --cflags libjpeg)"
    read -ra libs <<<"$(pkg-config --libs libjpeg)"
else
    jpeg=()
    libs=(-ljpeg)
fi

flags=(-std=gnu11 -O1 -g -fno-omit-frame-pointer -pthread
    -Wall -Wextra -Wpedantic -Wshadow -Werror -Isrc/fastimagezmq)
# What the tests make fail, or count.
wrap=(-Wl,--wrap=posix_memalign -Wl,--wrap=calloc -Wl,--wrap=pthread_create
    -Wl,--wrap=fiz_jpeg_encode_alone -Wl,--wrap=fiz_jpeg_decode_alone)
libs+=(-ldl)
sources=(src/fastimagezmq/native/*.c tests/native/*.c)
mkdir -p "$out"

# build NAME SANITIZERS
build() {
    "$cc" "${flags[@]}" -fsanitize="$2" -fno-sanitize-recover=all ${jpeg[@]+"${jpeg[@]}"} \
        "${sources[@]}" "${wrap[@]}" "${libs[@]}" -o "$out/$1"
}

# ThreadSanitizer wants its addresses where they are without randomisation.
fixed=()
if setarch -R true 2>/dev/null; then
    fixed=(setarch -R)
fi

export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0
if [ $# -gt 0 ]; then
    build address address,undefined
    cd "$out"
    exec ./address "$@"
fi

echo "native tests: AddressSanitizer, UndefinedBehaviorSanitizer"
build address address,undefined
"$out/address"
(cd "$out" && ./address fuzz 1 20000)

echo "native tests: ThreadSanitizer"
build thread thread
TSAN_OPTIONS=halt_on_error=1 ${fixed[@]+"${fixed[@]}"} "$out/thread" threads

echo "native tests: UndefinedBehaviorSanitizer, fork"
build fork undefined
"$out/fork" threads

echo "native tests: passed"
