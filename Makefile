# Two commands matter: `make demo` shows the product at work, `make test` tests it.
# Both install what is missing; see scripts/setup.sh.

PYTHON ?= python3
DURATION ?= 5
FUZZ_SECONDS ?= 600
export PYTHON

# Homebrew keeps jpeg-turbo outside the compiler's default paths.
ifeq ($(shell uname -s),Darwin)
  ifndef LIBJPEG_TURBO_PREFIX
    brewed := $(shell brew --prefix jpeg-turbo 2>/dev/null)
    ifneq ($(brewed),)
      export LIBJPEG_TURBO_PREFIX := $(brewed)
    endif
  endif
endif

bin := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: demo test test-pyzmq test-slow soak bench bench-targets bench-publish lint wheel-check test-native test-sanitized fuzz clean help

demo: ## stream pictures through a hub and print the figures
	@scripts/setup.sh demo
	@$(bin)/python examples/demo.py --seconds "$(DURATION)" $${SOURCE:+--source "$$SOURCE"}

test: ## run the tests
	@scripts/setup.sh test
	@$(bin)/python -m pytest $(ARGS)

through_pyzmq := $(addprefix tests/test_,stream.py robustness.py recovery.py interop.py dropin.py \
  waiting.py waiting_hub.py clocks.py mistakes.py security.py hostile.py reply.py cuts.py)

test-pyzmq: ## run the tests of streams with messages going through pyzmq's public calls
	@scripts/setup.sh test
	@FASTIMAGEZMQ_MESSAGES=pyzmq $(bin)/python -m pytest -q $(through_pyzmq) $(ARGS)

test-slow: ## run the tests that take minutes
	@scripts/setup.sh test
	@$(bin)/python -m pytest -m slow --timeout 600 $(ARGS)

SOAK ?= recovery hostile frames freshness
soak_recovery := tests/soak_recovery.py "$${KILLS:-100}" "$${FRAMES:-10000}"
soak_hostile := tests/soak_hostile.py "$${HOSTILE:-10}"
soak_frames := tests/soak_frames.py "$${STREAMED:-1000000}"
soak_freshness := tests/soak_freshness.py "$${FRESHNESS:-60}"

soak: ## stream, and fail, for long, and print the figures: half an hour
	@scripts/setup.sh test
	@failed=; $(foreach part,$(SOAK),PYTHONPATH=tests $(bin)/python $(soak_$(part)) || failed="$$failed $(part)";) \
	  [ -z "$$failed" ] || { echo "soak: not as promised:$$failed" >&2; exit 1; }

bench: ## measure beside imagezmq, NetGear and pyzmq, into build/bench
	@scripts/setup.sh bench
	@$(bin)/python -m bench $(if $(QUICK),--quick) $(if $(ROUNDS),--rounds "$(ROUNDS)") \
	  $(if $(SECONDS),--seconds "$(SECONDS)") $${VIDEO:+--video "$$VIDEO"} $(ARGS)

bench-targets: ## compare what make bench measured with what must be reached
	@scripts/setup.sh bench
	@$(bin)/python -m bench.targets

bench-publish: ## put the tables of make bench into docs/benchmarks.md
	@scripts/setup.sh bench
	@$(bin)/python -m bench.publish

# SC2054 would take the comma in an array's -Wl,option for a mistake.
lint: ## check style, types and shell scripts
	@scripts/setup.sh lint
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy --strict
	$(bin)/python -m mypy.stubtest --mypy-config-file pyproject.toml \
	  fastimagezmq._codec fastimagezmq._libzmq fastimagezmq._gate
	PATH="$(CURDIR)/$(bin):$$PATH" cython-lint src
	$(bin)/shellcheck --exclude=SC2054 scripts/*.sh .ci/run

wheel-check: ## build a wheel in a temporary folder and check what is in it
	@scripts/setup.sh lint
	@scripts/wheel-check.sh

test-native: ## test the C part alone, under the compiler's sanitizers
	@scripts/setup.sh system
	@scripts/test-native.sh

test-sanitized: ## run the Python tests on extensions built with each sanitizer
	@scripts/setup.sh test
	@scripts/test-sanitized.sh $(SANITIZERS) $(if $(ARGS),-- $(ARGS))

fuzz: ## look by coverage for bytes that break something, ten minutes
	@scripts/setup.sh fuzz
	@scripts/fuzz.sh "$(FUZZ_SECONDS)" $(TARGETS)

clean: ## remove everything that was built or installed here
	rm -rf .venv .make build dist src/*.egg-info src/fastimagezmq/*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks demo-last-frame.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'make demo SOURCE=PATH    a video file or a folder of images; DURATION=SECONDS'
	@echo 'make test ARGS="-k jpeg" options of pytest'
	@echo 'make bench QUICK=1       two minutes, not twenty; ROUNDS=N SECONDS=S VIDEO=PATH'
	@echo 'make test-sanitized SANITIZERS="thread" ARGS="-k pool"'
	@echo 'make soak SOAK="frames" STREAMED=100000; recovery: KILLS= FRAMES=, hostile: HOSTILE=, freshness: FRESHNESS=seconds'
	@echo 'make fuzz FUZZ_SECONDS=60 TARGETS="decode message"'
	@echo 'make ... PYTHON=PATH     another Python than python3'
