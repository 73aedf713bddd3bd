#!/usr/bin/env bash
# test-sanitized.sh [address|undefined|thread...] [-- PYTEST ARGUMENT...]: runs the Python tests on
# extensions that are built with each of these sanitizers; without a name, with all three. Arguments
# for pytest replace the choice of tests, not what is left out.
#
# One sanitizer a build: of two shared runtimes in a process, only the first writes to its file.
#
# Each build has a folder of its own, build/sanitized/NAME, with a virtual environment that knows
# this build and the packages of .venv, but not the package that is installed in place there.
# So the processes that tests start use it too. First each sanitizer has to report an error that is
# made on purpose. Reports go to files, since what is written to stderr belongs to the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  printf 'test-sanitized: %s\n' "$*" >&2
  exit 1
}

python=$PWD/.venv/bin/python
[[ -x $python ]] || die "no .venv here: run it as make test-sanitized"
[[ $(uname -s) == Linux ]] || die "it needs Linux, where a sanitizer's runtime can be preloaded"

sanitizers=()
while [[ $# -gt 0 && $1 != -- ]]; do
  case $1 in
    address | undefined | thread) sanitizers+=("$1") ;;
    *) die "there is no sanitizer $1: name address, undefined or thread" ;;
  esac
  shift
done
[[ ${#sanitizers[@]} -gt 0 ]] || sanitizers=(address undefined thread)
[[ $# -eq 0 ]] || shift
chosen=("$@")
[[ ${#chosen[@]} -gt 0 ]] || chosen=(tests)

left_out=(
  # These are about text, programs and builds; no C code of ours is new in them.
  --ignore=tests/test_build.py
  --ignore=tests/test_demo.py
  --ignore=tests/test_docs.py
  --ignore=tests/test_examples.py
  --ignore=tests/test_migration.py
  --ignore=tests/test_run.py
  --ignore=tests/test_scripts.py
  # The same programs as test_stream.py's and test_robustness.py's, with imageZMQ at the other end.
  --ignore=tests/test_dropin.py
  --ignore=tests/test_interop.py
  # They measure the memory of the process, most of which is the sanitizer's.
  --deselect=tests/test_messages.py::test_nothing_is_retained
  --deselect=tests/test_newest.py::test_memory_is_bounded
  --deselect=tests/test_backlog.py::test_a_hub_that_connects_later_has_the_limit_too
  --deselect=tests/test_codec_hostile.py::test_thousands_of_failures_take_no_memory
  --deselect=tests/test_reply.py::test_no_envelope_stays
)
# A process forks while its threads, or libzmq's, allocate: in the child the locks of the
# sanitizer's own malloc may stay shut (glibc's are seen to), what the threads that are not there
# held is called a leak, and ThreadSanitizer takes no new ones ("dup thread with used id").
forks_amid_threads=(
  --deselect=tests/test_codec_strips.py::test_a_forked_child_ends_by_itself
  --deselect=tests/test_codec_strips.py::test_a_child_that_was_forked_while_others_encode_has_threads_too
  --deselect=tests/test_messages.py::test_a_forked_child_cannot_use_the_socket_and_does_not_hang
  --deselect=tests/test_pool.py::test_a_forked_child_can_encode_while_the_parent_does
)

# A race that the test makes on purpose.
races_on_purpose=(
  --deselect=tests/test_codec_strips.py::test_data_that_changes_while_it_is_decoded
)

# The compiler that setup.py uses; CC may carry flags.
read -ra cc <<<"${CC:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CC"))')}"

runtime() { # name of a library: where the compiler has it
  local file
  file=$("${cc[@]}" -print-file-name="$1")
  [[ $file == /* ]] || die "${cc[*]} has no $1: use gcc, with its sanitizers' libraries"
  printf '%s' "$file"
}

build() {
  rm -rf "$out"
  mkdir -p "$out/reports"
  FASTIMAGEZMQ_SANITIZE=$name "$python" setup.py -q build --build-base "$out" \
    --build-lib "$out/lib" >"$out/build.log" 2>&1 ||
    { tail -n 20 "$out/build.log" >&2; die "the build with $name failed"; }
  local extension
  while IFS= read -r -d '' extension; do
    nm -D "$extension" | grep -E ' __(asan|tsan|ubsan)_' >/dev/null ||
      die "$extension is not instrumented"
  done < <(find "$out/lib" -name '*.so' -print0)
  "${cc[@]}" -fsanitize="$name" -g -O1 -fPIC -shared tests/sanitizers/canary.c -o "$out/canary.so"
  "$python" -m venv --without-pip "$out/venv"
  local site
  site=$("$out/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  {
    printf '%s\n' "$out/lib" "$PWD/tests/sanitizers"
    "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
    echo "import leaks_at_exit"
  } >"$site/sanitized.pth"
}

# Sets `run`: the Python of this build as a command, up to its arguments.
prepare() { # where reports go
  local preloaded=() common="log_path=$1:allocator_may_return_null=1"
  run=()
  # AddressSanitizer finds the function that throws C++ exceptions only if libstdc++ is there when
  # it starts; Python brings none.
  case $name in
    address) preloaded=("$(runtime libasan.so)" "$(runtime libstdc++.so.6)") ;;
    undefined) preloaded=("$(runtime libubsan.so)") ;;
    thread)
      preloaded=("$(runtime libtsan.so)")
      # Its memory map has no room for addresses that are chosen at random.
      if setarch -R true 2>/dev/null; then run+=(setarch -R); fi
      ;;
  esac
  run+=(
    env -u PYTHONPATH "LD_PRELOAD=${preloaded[*]}"
    # With Python's own allocator, many of its blocks are one to the sanitizer.
    PYTHONMALLOC=malloc
    # OpenCV's threads agree by atomic operations, which ThreadSanitizer cannot see in its code.
    OPENCV_FOR_THREADS_NUM=1
    # tests/sanitizers/leaks_at_exit.py looks for leaks instead.
    "ASAN_OPTIONS=$common:detect_leaks=1:leak_check_at_exit=0"
    "LSAN_OPTIONS=print_suppressions=0:suppressions=$PWD/tests/sanitizers/leak.supp"
    "UBSAN_OPTIONS=$common:print_stacktrace=1"
    # A forked child of the tests starts the threads of its own pool.
    "TSAN_OPTIONS=$common:die_after_fork=0:suppressions=$PWD/tests/sanitizers/thread.supp"
    "$out/venv/bin/python"
  )
}

must_report() { # kind of error, words of its report
  prepare "$out/canary.$1"
  "${run[@]}" tests/sanitizers/canary.py "$out/canary.so" "$out" "$1" >"$out/canary.log" 2>&1 || true
  grep -qsF "$2" "$out/canary.$1".* ||
    { cat "$out/canary.log" >&2; die "$name does not report '$2' in tests/sanitizers/canary.c"; }
}

failed=()
for name in "${sanitizers[@]}"; do
  printf 'test-sanitized: %s\n' "$name"
  out=$PWD/build/sanitized/$name
  build
  more=()
  case $name in
    address)
      must_report address "in overflow"
      must_report leak "in leak"
      more=("${forks_amid_threads[@]}")
      ;;
    undefined) must_report undefined "in overflow_int" ;;
    thread)
      must_report thread "in count"
      more=("${forks_amid_threads[@]}" "${races_on_purpose[@]}")
      ;;
  esac
  began=$SECONDS
  prepare "$out/reports/report"
  # pytest's fault handler would hide where a sanitizer says that it happened.
  "${run[@]}" -m pytest -p no:faulthandler --timeout=180 "${left_out[@]}" \
    ${more[@]+"${more[@]}"} "${chosen[@]}" </dev/null || failed+=("$name: pytest")
  # Tests ask for more memory than there is; that this was noticed is no finding.
  for report in "$out"/reports/*; do
    if [[ -e $report ]] && grep -qvE '(WARNING: \w+Sanitizer failed to allocate|^$)' "$report"; then
      cat "$report"
      failed+=("$name: $(basename "$report")")
    fi
  done
  printf 'test-sanitized: %s took %d s\n' "$name" $((SECONDS - began))
done

if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'test-sanitized: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "test-sanitized: nothing found"
