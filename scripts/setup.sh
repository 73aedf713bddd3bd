#!/usr/bin/env bash
# setup.sh demo|test|bench|fuzz|lint: makes this checkout ready for that: system packages, the virtual
# environment .venv, the package built in place, and the extra of that name from pyproject.toml.
# setup.sh system: system packages only.
#
# A call that finds everything in place does nothing, prints nothing and needs no network. What was
# installed from is remembered in .make/ by content, since git does not keep files' times.
set -euo pipefail
cd "$(dirname "$0")/.."

what=$1
python=${PYTHON:-python3}
venv=.venv/bin/python

say() { printf 'fastimagezmq: %s\n' "$*"; }
pip() { "$venv" -m pip --disable-pip-version-check --no-input -q "$@"; }

remembered() { [[ -e .make/$1 && $(<".make/$1") == "$2" ]]; }
remember() { printf '%s\n' "$2" >".make/$1"; }

if [[ $what == system ]]; then
  exec scripts/system.sh
fi

command -v "$python" >/dev/null || scripts/system.sh
# Which clang there is does not depend on what stands in .venv.
[[ $what != fuzz ]] || scripts/system.sh fuzz

# A virtual environment belongs to one Python and one place.
identity=$("$python" -c 'import os, sys; print(os.getcwd(), sys.base_prefix, sys.version)' 2>/dev/null |
  cksum || true)
native=$(
  {
    echo "$identity ${FASTIMAGEZMQ_SANITIZE:-} ${LIBJPEG_TURBO_PREFIX:-} ${CC:-} ${CFLAGS:-}"
    cat pyproject.toml setup.py
    find src -type f \( -name '*.pyx' -o -name '*.pxd' -o -path '*/native/*.[ch]' \) |
      LC_ALL=C sort | xargs cat
  } | cksum
)
extras=$({ echo "$identity"; cat pyproject.toml; } | cksum)

has_venv() { remembered venv "$identity" && [[ -x $venv ]]; }
is_built() {
  local name
  remembered built "$native" || return 1
  for name in _codec _libzmq _gate; do
    compgen -G "src/fastimagezmq/$name*.so" >/dev/null || return 1
  done
}

if has_venv && remembered "$what" "$extras" && is_built; then
  exit 0
fi

mkdir -p .make
for folder in .make .venv; do
  if [[ -e $folder && ! -w $folder ]]; then
    say "$folder belongs to another user (was make run as root here?): try again after 'sudo make clean'" >&2
    exit 1
  fi
done

scripts/system.sh

if ! has_venv || ! "$venv" -c 'import pip' 2>/dev/null; then
  say "making the virtual environment .venv with $("$python" -V)"
  # What is remembered of the old one must not outlive it, even if this is interrupted.
  rm -f .make/venv .make/built .make/demo .make/test .make/bench .make/fuzz .make/lint
  "$python" -m venv --clear .venv
  remember venv "$identity"
fi

if ! is_built; then
  say "building the C part, which takes a minute or two on a small computer"
  # setuptools would keep an extension that is newer than its sources, whatever else has changed.
  rm -f src/fastimagezmq/_{codec,libzmq,gate}*.so
fi

if ! remembered "$what" "$extras"; then
  say "installing what 'make $what' needs into .venv"
  # The tools of the build live in .venv too, so that a rebuild needs no network.
  "$venv" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' |
    pip install -r /dev/stdin
  pip install --no-build-isolation -e ".[$what]"
  remember built "$native"
  remember "$what" "$extras"
  # The extras `bench` and `fuzz` contain the extra `test`, and that contains `demo`.
  if [[ $what == bench || $what == fuzz ]]; then remember test "$extras"; fi
  if [[ $what == bench || $what == fuzz || $what == test ]]; then remember demo "$extras"; fi
else
  pip install --no-build-isolation --no-deps -e .
  remember built "$native"
fi
