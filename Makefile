# Two commands for people: `make demo` and `make test`. Everything they need is installed below this folder.
PYTHON ?= python3
UV = .venv/bin/uv
UV_VERSION = 0.13.8
INSTALL = $(UV) pip install --quiet --no-deps --require-hashes --compile-bytecode
LOCK = $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 --universal --no-header

lock: .venv/.uv
	$(LOCK) pyproject.toml --extra embedded -o requirements/daemon.txt
	$(LOCK) pyproject.toml --extra embedded --extra test -c requirements/daemon.txt -o requirements/test.txt
	printf 'ultralytics>=8.3.217\ntorch\ntorchvision\nopencv-python-headless\n' | \
		$(LOCK) - --override requirements/trainer-overrides.txt -o requirements/trainer.txt
	printf 'ultralytics==8.3.217\ntorch\ntorchvision\nopencv-python-headless\n' | \
		$(LOCK) - --override requirements/trainer-overrides.txt -o requirements/trainer-8.3.217.txt

.venv/.uv:
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet uv==$(UV_VERSION)
	touch $@
