# make demo | test | check | lint-manifests | proto | bench | bench-peers | bench-thesis -- every target installs what it needs into .venv first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
CHECKOV := 3.3.30
PROTOS := $(wildcard protos/visard/v1/*.proto)
# the machines we run on are small: one thread a process, as in the services
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: all demo test check lint-manifests proto bench bench-peers bench-thesis clean
all: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable ".[owner,services,tracing,dev]"
	touch $@

# photos for the demonstration: the test images in the source package of face_recognition
PHOTOS := .photos/obama.jpg .photos/obama2.jpg .photos/biden.jpg
.photos/%.jpg: $(STAMP)
	mkdir -p .photos
	$(BIN)/pip download --quiet --no-deps --no-binary :all: --dest .photos face_recognition==1.3.0
	tar -xzf .photos/face_recognition-1.3.0.tar.gz -C .photos --strip-components=3 \
	  face_recognition-1.3.0/tests/test_images/obama.jpg face_recognition-1.3.0/tests/test_images/obama2.jpg \
	  face_recognition-1.3.0/tests/test_images/biden.jpg
	touch $(PHOTOS)

demo: $(STAMP) .photos/obama.jpg
	$(BIN)/visard demo $(PHOTOS)

test: $(STAMP) .photos/obama.jpg
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.stubs

# a linter with opinions; those that we do not share are in deploy/checkov.yaml, with the reason
lint-manifests:
	test -x .lint/bin/checkov || ($(PYTHON) -m venv .lint && .lint/bin/pip install --quiet checkov==$(CHECKOV))
	mkdir -p .lint/rendered
	for overlay in try operator scale; do \
	  kubectl kustomize deploy/k8s/overlays/$$overlay > .lint/rendered/$$overlay.yaml || exit 1; done
	.lint/bin/checkov --config-file deploy/checkov.yaml -d .lint/rendered
	.lint/bin/checkov --config-file deploy/checkov.yaml -f deploy/Dockerfile

proto: $(STAMP)
	PATH=$(BIN):$$PATH $(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=client --grpc_python_out=client \
	  --mypy_out=client --mypy_grpc_out=client $(PROTOS)

bench: $(STAMP) .photos/obama.jpg
	$(BIN)/python -m bench --profile
	$(BIN)/python -m bench.stores
	$(BIN)/python -m tests.party.test_recovery

bench-peers: $(STAMP)
	$(BIN)/python -m bench.peers

# the plots of the 2020 thesis, next to MPyC's own arrays
bench-thesis: $(STAMP)
	$(BIN)/python -m bench.sizes --mpyc

clean:
	rm -rf .venv .lint .photos .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis
