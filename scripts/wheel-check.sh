#!/usr/bin/env bash
# Builds an sdist from what git would carry, a wheel from the sdist, and checks the wheel: the
# stable ABI is kept, each extension exports one symbol, nothing is left out, and it works when unpacked.
# Everything happens in a temporary folder, so that nothing lying about in the checkout gets in.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$PWD/.venv/bin/python
abi3audit=$PWD/.venv/bin/abi3audit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
  printf 'wheel-check: %s\n' "$*" >&2
  exit 1
}

mkdir "$work/tree" "$work/dist" "$work/site"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  if [[ -e $file ]]; then printf '%s\0' "$file"; fi # not one that was deleted but is still in the index
done | tar -c --null -T - | tar -x -C "$work/tree"

cd "$work/tree"
"$python" -c 'import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])' \
  "$work/dist" >"$work/sdist.log" 2>&1 || { tail -n 20 "$work/sdist.log" >&2; die "no sdist"; }
cd "$work"
"$python" -m pip --disable-pip-version-check -q wheel --no-deps --no-build-isolation -w dist dist/*.tar.gz
wheel=$(echo dist/*.whl)
"$python" -m zipfile -e "$wheel" site

if "$python" -c 'import sys, sysconfig; sys.exit(not sysconfig.get_config_var("Py_GIL_DISABLED"))'; then
  echo "wheel-check: a free-threaded Python has no stable ABI: nothing to audit"
else
  [[ $wheel == *-cp311-abi3-* ]] || die "not a wheel for the stable ABI of Python 3.11: $wheel"
  "$abi3audit" --strict --summary "$wheel"
fi

# Another libjpeg may be in the same process (OpenCV's, Pillow's), and each extension has a copy of
# some of our own C: none of it must show.
for name in _codec _libzmq _gate; do
  extension=$(echo site/fastimagezmq/$name*.so)
  [[ -e $extension ]] || die "no extension module $name in $wheel"
  if [[ $(uname -s) == Darwin ]]; then
    exported=$(nm -gUj "$extension" | sed 's/^_//')
  else
    exported=$(nm -D --defined-only "$extension" | awk '{print $NF}')
  fi
  [[ $exported == "PyInit_$name" ]] || die "exports more than PyInit_$name: ${exported//$'\n'/ }"
done

for part in fastimagezmq/py.typed fastimagezmq/_codec.pyi fastimagezmq/_libzmq.pyi fastimagezmq/_gate.pyi LICENSE IJG.txt BSD-3-Clause.txt Zlib.txt; do
  find site -path "*/$part" | grep -q . || die "$part is not in the wheel"
done

PYTHONPATH=$work/site "$python" - "$work/site" <<'PYTHON'
import sys

import numpy as np

import fastimagezmq

assert fastimagezmq.__file__.startswith(sys.argv[1]), fastimagezmq.__file__
image = np.full((48, 64, 3), 100, np.uint8)
decoded = fastimagezmq.decode_jpeg(fastimagezmq.encode_jpeg(image))
assert decoded.shape == image.shape
assert abs(decoded.astype(int) - 100).max() <= 1
with fastimagezmq.ImageSender("tcp://127.0.0.1:*", REQ_REP=False) as sender:
    sender.send_image("nobody", image)
PYTHON

echo "wheel-check: $(basename "$wheel") is good"
