# make demo | test | test-web | web-pages | page-pictures | test-long | cluster-test | attacks | check | docs | lock | chart | sbom | signing-test | lint-manifests | proto | bench | bench-peers |
# bench-thesis | bench-churn -- every target installs what it needs first: exactly what locks/ says, each file with the hash that it must have.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
HASHED := pip install --quiet --require-hashes --no-deps
WEB := client/web/node_modules/installed client/web/assets/yunet.onnx client/web/src/gen/generated
IMAGES := gateway dealer party client
PACKAGES := client services/wire services/engine services/common services/party services/dealer services/gateway
# the machines we run on are small: one thread a process, as in the services
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: all demo test test-long cluster-test test-recovery test-inside test-outside test-web web-pages page-pictures browser attacks check docs lock chart sbom signing-test lint-manifests proto bench bench-peers bench-thesis bench-churn clean
all: $(STAMP)

# torch has a step of its own, without a hash: one version has several builds (for the processor alone, for each CUDA) with a
# hash each, which of them pip takes is the machine's matter, and only some ask for more packages. What all of them need is in
# the lock and so here before it. No image contains torch.
$(STAMP): $(PACKAGES:%=%/pyproject.toml) locks/dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/$(HASHED) -r locks/dev.txt
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --no-deps --no-build-isolation $(PACKAGES:%=--editable %)
	touch $@

# The locks, from pyproject.toml and locks/*.in. Versions stay as they are unless these ask for others; make lock UPGRADE=--upgrade
# takes the newest. What goes into an image is resolved for it; the rest for all platforms.
OURS := visard visard-wire visard-engine visard-common visard-party visard-dealer visard-gateway
COMPILE := .tools/bin/uv pip compile --quiet --config-file locks/uv.toml --generate-hashes --python-version 3.11 \
  --custom-compile-command "make lock" --no-emit-package torch $(OURS:%=--no-emit-package %) $(UPGRADE)
IMAGE := --python-platform linux --constraints locks/dev.txt
lock: .tools/installed
	$(COMPILE) --universal --all-extras --group dev $(PACKAGES:%=%/pyproject.toml) locks/build.in -o locks/dev.txt
	$(COMPILE) --universal --extra cli --extra local --extra owner --extra tracing --constraints locks/dev.txt \
	  client/pyproject.toml locks/build.in -o locks/owner.txt
	$(COMPILE) $(IMAGE) --extra cli --extra registrar --extra tracing client/pyproject.toml -o locks/client.txt
	for role in gateway dealer party; do \
	  $(COMPILE) $(IMAGE) --extra tracing services/$$role/pyproject.toml -o locks/$$role.txt || exit 1; done
	$(COMPILE) $(IMAGE) locks/build.in -o locks/build.txt
	for peer in crypten spu; do \
	  $(COMPILE) --python-platform linux locks/$$peer.in -o locks/$$peer.txt || exit 1; done
	$(COMPILE) --universal locks/tools.in -o locks/tools.txt
	$(COMPILE) --universal locks/lint.in -o locks/lint.txt
	$(COMPILE) --universal locks/docs.in -o locks/docs.txt
	$(COMPILE) --universal locks/node.in -o locks/node.txt
	$(COMPILE) --no-deps locks/photos.in -o locks/photos.txt

.tools/installed: locks/tools.txt
	$(PYTHON) -m venv .tools
	.tools/bin/$(HASHED) -r locks/tools.txt
	touch $@

# what each image holds, in CycloneDX: build/sbom/visard-*.cdx.json. make sbom DPKG=status lists the base image's packages as well
sbom: $(STAMP)
	$(BIN)/python deploy/sbom.py $(DPKG:%=--dpkg %) build/sbom $(IMAGES)

# images and bills signed, verified and refused, in a registry here: cosign, skopeo and docker-registry are needed (docs/releases.md)
signing-test: $(STAMP)
	$(BIN)/python -m pytest tests/deploy/signing.py

# the Helm chart, from the kustomize base: deploy/k8s/chart. kubectl is needed
chart: $(STAMP)
	$(BIN)/python -m deploy.helm

# photos for the demonstration: the test images in the source package of face_recognition
PHOTOS := .photos/obama.jpg .photos/obama2.jpg .photos/biden.jpg
.photos/%.jpg: $(STAMP)
	mkdir -p .photos
	$(BIN)/pip download --quiet --require-hashes --no-deps --no-binary :all: --no-build-isolation --dest .photos -r locks/photos.txt
	tar -xzf .photos/face_recognition-1.3.0.tar.gz -C .photos --strip-components=3 \
	  face_recognition-1.3.0/tests/test_images/obama.jpg face_recognition-1.3.0/tests/test_images/obama2.jpg \
	  face_recognition-1.3.0/tests/test_images/biden.jpg
	touch $(PHOTOS)

# kernels are compiled once before services start: on a clean checkout a dealer and three parties would each compile all of them,
# and the first enrolment wait for it
demo: $(STAMP) .photos/obama.jpg
	$(BIN)/python -m visard_engine.warm
	$(BIN)/visard demo $(PHOTOS)

# four parts, two at a time, because tests with services wait more than they compute: the longest first, and those of recovery,
# which wait most, beside it. One that fails does not stop the others
OUTSIDE := $(addprefix tests/,client deploy docs e2e)
INSIDE := $(filter-out $(OUTSIDE) tests/recovery tests/__pycache__,$(patsubst %/,%,$(wildcard tests/*/)))
test: $(STAMP) .photos/obama.jpg browser
	$(BIN)/python -m visard_engine.warm
	$(MAKE) --no-print-directory --keep-going --jobs=2 test-outside test-recovery test-inside test-web

# tests/web drives a real browser, the distribution's: where there is none, and it may not be installed here, they say what is missing
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
browser:
	@command -v chromium google-chrome > /dev/null || { $(AS_ROOT) apt-get update --quiet && \
	  $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends chromium; } || true

# the web client: its linter, its types, its tests. Node and npm are those of the lock, from a wheel; node_modules is as its lock says
NPM := cd client/web && PATH="$(CURDIR)/.node/bin:$$PATH" npm
test-web: $(WEB)
	$(NPM) test

# the pages for people, as a site serves them (docs/web.md): client/web/build/pages, with SHA256SUMS
web-pages: $(WEB)
	$(NPM) run pages

# a picture of each of them, taken in a browser at services of its own: docs/figures/page-*.webp
page-pictures: $(STAMP) $(WEB) browser
	$(BIN)/python -m tests.web.pictures

client/web/node_modules/installed: .node/installed client/web/package-lock.json
	$(NPM) ci --no-progress
	touch $@

# messages, for whoever runs what is not built; npm test makes them anew
client/web/src/gen/generated: client/web/node_modules/installed $(wildcard protos/visard/v1/*.proto)
	$(NPM) run generate
	touch $@

# the detector's file, as the browser loads it
client/web/assets/yunet.onnx: $(STAMP) client/web/scripts/detector.py
	$(BIN)/python client/web/scripts/detector.py $@

.node/installed: locks/node.txt
	$(PYTHON) -m venv .node
	.node/bin/$(HASHED) -r locks/node.txt
	touch $@

# what takes minutes and shows what shorter tests show in parts: wheels alone run the demonstration, each training is repeatable
test-long: $(STAMP) .photos/obama.jpg $(WEB) browser
	$(BIN)/python -m pytest -m long tests/client tests/deploy tests/e2e tests/engine tests/party tests/web

test-recovery: $(STAMP) .photos/obama.jpg
	$(BIN)/python -m pytest --durations=10 tests/recovery

test-inside: $(STAMP) .photos/obama.jpg $(WEB)
	$(BIN)/python -m pytest --durations=10 $(INSIDE)

test-outside: $(STAMP) .photos/obama.jpg
	$(BIN)/python -m pytest --durations=10 $(OUTSIDE)

# the manifests on a real Kubernetes, by docs/operations.md; without arguments it says what it needs. Not part of make test
cluster-test: $(STAMP) .photos/obama.jpg
	$(BIN)/python -m tests.cluster

# the whole campaign of one lying party; the last line counts what became of its runs. make attacks SEED=2 takes others
SEED ?= 1
attacks: $(STAMP)
	$(BIN)/python -m tests.attacks.campaign --runs 2000 --services 60 --seed $(SEED)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python services/wire/generate.py --check

# the pages of docs/ and the reference of the SDK: build/docs/index.html. Warnings are errors (mkdocs.yml).
docs: .docs/installed
	.docs/bin/mkdocs build

.docs/installed: locks/docs.txt
	$(PYTHON) -m venv .docs
	.docs/bin/$(HASHED) -r locks/docs.txt
	touch $@

# a linter with opinions; those that we do not share are in deploy/checkov.yaml, with the reason
lint-manifests: .lint/installed
	mkdir -p .lint/rendered
	for overlay in try scale operator; do \
	  kubectl kustomize deploy/k8s/overlays/$$overlay > .lint/rendered/$$overlay.yaml || exit 1; done
	.lint/bin/checkov --config-file deploy/checkov.yaml -d .lint/rendered
	.lint/bin/checkov --config-file deploy/checkov.yaml -f deploy/Dockerfile

.lint/installed: locks/lint.txt
	$(PYTHON) -m venv .lint
	.lint/bin/$(HASHED) -r locks/lint.txt
	touch $@

proto: $(STAMP)
	$(BIN)/python services/wire/generate.py

bench: $(STAMP) .photos/obama.jpg
	$(BIN)/python -m bench --profile
	$(BIN)/python -m bench.stores
	$(BIN)/python -m bench.histories

bench-peers: $(STAMP)
	$(BIN)/python -m bench.peers

# the plots of the 2020 thesis, next to MPyC's own arrays
bench-thesis: $(STAMP)
	$(BIN)/python -m bench.sizes --mpyc

# a day of 50,000 writes at three stores, which must not grow; 40 minutes on a busy machine
bench-churn: $(STAMP)
	$(BIN)/python -m bench.churn

clean:
	rm -rf .venv .tools .lint .docs .node client/web/node_modules .photos .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis
