#!/usr/bin/env bash
# Sees to what pip cannot install: a Python with venv and C headers, a C compiler, libjpeg-turbo's
# headers. Each is probed for; what is missing is installed with apt where there is apt, and named
# where there is not. Prints nothing when nothing is missing.
# system.sh fuzz: also a clang with libFuzzer; CLANG names one.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
for_fuzzing=${1:-}
clang=${CLANG:-clang}

die() {
  printf 'fastimagezmq: %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }
ask_python() { "$python" -c "import sys, sysconfig; print($1)"; }

python_is_new_enough() { "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
has_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }
has_python_headers() { [[ -e $(ask_python 'sysconfig.get_path("include")')/Python.h ]]; }

# The compiler that setuptools would call. CC may carry flags, hence the unquoted uses.
compiler() { printf '%s' "${CC:-$(ask_python 'sysconfig.get_config_var("CC") or "cc"')}"; }

# shellcheck disable=SC2046
has_compiler() {
  printf '#include <stdlib.h>\nint main(void) { return 0; }\n' |
    $(compiler) -x c - -o /dev/null >/dev/null 2>&1
}

# shellcheck disable=SC2046,SC2086
has_jpeg_headers() {
  local flags=
  if [[ -n ${LIBJPEG_TURBO_PREFIX:-} ]]; then
    flags=-I$LIBJPEG_TURBO_PREFIX/include
  elif have pkg-config; then
    flags=$(pkg-config --cflags libjpeg 2>/dev/null || true)
  fi
  printf '#include <stdio.h>\n#include <jpeglib.h>\n' |
    $(compiler) $flags -x c -E - >/dev/null 2>&1
}

has_libfuzzer() {
  printf 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p[n - 1] & 0; }\n' |
    "$clang" -fsanitize=fuzzer,address,undefined -x c - -o /dev/null >/dev/null 2>&1
}

# Fills `packages` (Debian's names) and `lacking` (the same in words).
packages=
lacking=
need() {
  packages+=" $1"
  lacking+="${lacking:+, }$2"
}

probe() {
  packages=
  lacking=
  # Debian names the packages of its Pythons python3-dev or, for any version, python3.12-dev.
  local name=python3
  if have "$python"; then
    python_is_new_enough || die "it needs Python 3.11 or newer, and $python is" \
      "$("$python" -V 2>&1): name a newer one, as in: make demo PYTHON=python3.12"
    name=python$(ask_python '"%d.%d" % sys.version_info[:2]')
  elif [[ $python == python3 ]]; then
    need python3 "Python"
  else
    die "there is no Python at $python"
  fi
  if ! have "$python" || ! has_venv; then need "$name-venv" "virtual environments"; fi
  if ! have "$python" || ! has_python_headers; then need "$name-dev" "Python's C headers"; fi
  if ! have "$python" || ! has_compiler; then need "gcc libc6-dev" "a C compiler"; fi
  if ! have "$python" || ! has_jpeg_headers; then need libjpeg-dev "libjpeg-turbo's headers"; fi
  if [[ $for_fuzzing == fuzz ]] && ! has_libfuzzer; then
    # Debian's runtime has the version in its name, which clang tells when it is there.
    local version
    version=$("$clang" -dumpversion 2>/dev/null | cut -d . -f 1) || true
    need "clang${version:+ libclang-rt-$version-dev}" "clang with libFuzzer"
  fi
}

# What to type on systems without apt.
advice() {
  local clang_too=${for_fuzzing:+ clang compiler-rt}
  if have dnf; then
    echo "sudo dnf install python3 python3-devel gcc libjpeg-turbo-devel$clang_too"
  elif have pacman; then
    echo "sudo pacman -S python base-devel libjpeg-turbo$clang_too"
  elif have zypper; then
    echo "sudo zypper install python3 python3-devel gcc libjpeg8-devel${for_fuzzing:+ clang}"
  elif have apk; then
    echo "sudo apk add python3 python3-dev build-base libjpeg-turbo-dev$clang_too"
  elif [[ $(uname -s) == Darwin ]]; then
    echo "xcode-select --install; brew install python jpeg-turbo${for_fuzzing:+ llvm}"
  else
    echo "Python 3.11 or newer with its headers, a C compiler and libjpeg-turbo's headers"
  fi
}

install_with_apt() {
  local root=
  if [[ $(id -u) != 0 ]]; then
    have sudo || die "missing: $lacking; there is neither root nor sudo, so have someone" \
      "who may run: apt-get install$packages"
    root=sudo
    # Nobody is there to type a password.
    if [[ -n ${CI:-} || ! -t 0 ]]; then
      sudo -n true 2>/dev/null || die "missing: $lacking; sudo wants a password, so run first:" \
        "sudo apt-get install$packages"
      root="sudo -n"
    fi
  fi
  printf 'fastimagezmq: installing with apt, for want of %s:%s\n' "$lacking" "$packages"
  local log
  log=$(mktemp)
  # On a Raspberry Pi that has just started, apt's daily job may hold the lock: wait for it.
  # shellcheck disable=SC2086
  apt_get() {
    $root env DEBIAN_FRONTEND=noninteractive \
      apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >>"$log" 2>&1
  }
  # The lists may be absent or old; they are fetched only when the first try fails.
  # shellcheck disable=SC2086
  apt_get install -y --no-install-recommends $packages ||
    { apt_get update && apt_get install -y --no-install-recommends $packages; } || {
    tail -n 12 "$log" >&2
    die "apt could not install$packages (the whole log: $log)"
  }
  rm -f "$log"
}

probe
[[ -n $packages ]] || exit 0

if have "$python" && [[ $(ask_python 'sys.base_prefix') != /usr ]] &&
  ! { has_venv && has_python_headers; }; then
  die "$python lacks venv or its C headers, and no system package can add them to a Python in" \
    "$(ask_python 'sys.base_prefix'): name another, as in: make demo PYTHON=/usr/bin/python3"
fi
have apt-get || die "missing: $lacking; install them first, with: $(advice)"
install_with_apt
installed=$packages
probe
if [[ -n $packages && $packages != "$installed" ]]; then # clang's version is known only now
  install_with_apt
  installed=$packages
  probe
fi
[[ -z $packages ]] || die "still missing after installing$installed: $lacking"
