# The targets that people use stand first. `make demo` and `make test` need a
# Debian or Ubuntu machine with Go, as root, and nothing else.

VERSION ?= 0.1.0-dev
GO      ?= go
LDFLAGS := -s -w -X github.com/seed38700745/pkg/cmd/internal/version.Version=$(VERSION)

.PHONY: demo test test-kubernetes build generate lint e2e bench corpus deps testdeps benchdeps tools clean

demo: deps build        ## start a cluster, install MySQL, ask it something
	@bash .ci/demo

# Tests find helm and kubectl in bin/tools where the machine has none.
test e2e: export PATH := $(PATH):$(CURDIR)/bin/tools

test: testdeps build tools   ## all tests
	CGO_ENABLED=0 $(GO) test -timeout 45m ./...
	CGO_ENABLED=0 $(GO) test -tags front ./engine -run FullProgram

build: bin/pkg bin/pkg-release bin/pkgd bin/pkg-kubectl bin/pkg-repo   ## all programs into bin/

tools: bin/pkg-kubectl  ## real helm, helmfile, ct, crane, sops and kubectl, to test beside them
	cd .ci/helm3 && CGO_ENABLED=0 $(GO) build -ldflags '-s -w $(helmkube)' -o ../../bin/tools/helm helm.sh/helm/v3/cmd/helm
	cd .ci/helm3 && CGO_ENABLED=0 $(GO) build -ldflags '-s -w $(helmkube)' -o ../../bin/tools/helm-oracle ./oracle
	cd .ci/helm4 && CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o ../../bin/tools/helm4 helm.sh/helm/v4/cmd/helm
	cd .ci/chart-testing && CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o ../../bin/tools/ct github.com/helm/chart-testing/v3/ct
	cd .ci/helmfile && CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o ../../bin/tools/helmfile github.com/helmfile/helmfile
	CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o bin/tools/crane github.com/google/go-containerregistry/cmd/crane
	cd .ci/sops && CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o ../../bin/tools/sops github.com/getsops/sops/v3/cmd/sops
	ln -sf ../pkg-kubectl bin/tools/kubectl
	bash .ci/page/install

# The Kubernetes that helm assumes is, as in its releases, that of its client library.
helmkube = $(foreach package,chartutil lint/rules,-X helm.sh/helm/v3/pkg/$(package).k8sVersionMinor=$(basename \
	$(shell sed -n 's|^\tk8s.io/client-go v0\.\([0-9.]*\).*|\1|p' .ci/helm3/go.mod)))

deps:                   ## the Debian packages that building and running need
	@bash .ci/deps

testdeps:               ## and those that the tests need
	@bash .ci/deps test

benchdeps:              ## and those that the benchmarks need
	@bash .ci/deps bench

# Go's own build cache decides what is out of date, so these always run.
.PHONY: bin/pkg bin/pkg-release bin/pkgd bin/pkg-kubectl bin/pkg-repo cmd/pkgd/programs/shim cmd/pkgd/programs/helper
bin/pkg-kubectl bin/pkg-repo:
	CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)' -o $@ ./cmd/$(@F)
bin/pkg-release:
	CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)' -o $@ ./cmd/pkg
bin/pkg:
	CGO_ENABLED=0 $(GO) build -tags front -ldflags '$(LDFLAGS)' -o $@ ./cmd/pkg
# kubectl's version is its module's: it is compared with the server's.
kubectl = $(shell sed -n 's|^\tk8s.io/kubectl v0\.||p' go.mod)
bin/pkg-kubectl: LDFLAGS += $(addprefix -X k8s.io/component-base/version.,gitCommit= \
	gitMajor=1 gitMinor=$(basename $(kubectl)) gitVersion=v1.$(kubectl))
bin/pkgd: cmd/pkgd/programs/shim cmd/pkgd/programs/helper
	CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)' -o $@ ./cmd/pkgd
cmd/pkgd/programs/shim:
	CGO_ENABLED=0 $(GO) build -ldflags '-s -w' -o $@ ./cmd/shim
cmd/pkgd/programs/helper:
	CGO_ENABLED=1 $(GO) build -tags 'seccomp netgo osusergo' \
		-ldflags '-s -w -linkmode external -extldflags "-static"' -o $@ ./cmd/helper

generate:               ## the checked-in OpenAPI documents
	bash .ci/openapi/generate cluster/api/openapi/data

lint:                   ## formatting, vet, linters
	@bash .ci/lint

e2e: testdeps build tools    ## the main path with the real programs, verbosely
	CGO_ENABLED=0 $(GO) test -timeout 45m -count=1 -v ./cmd/pkgd/... ./cmd/pkg/...

# The tests of releases, with the same code, on kube-apiserver, kube-controller-manager,
# kube-scheduler and etcd; pods are marked ready by a stand-in for the nodes.
test-kubernetes: testdeps build tools   ## the tests of releases on Kubernetes itself
	bash .ci/kubernetes/build
	PKG_TEST_KUBERNETES=$(CURDIR)/bin/kubernetes CGO_ENABLED=0 $(GO) test -timeout 55m -count=1 -v ./cmd/pkg \
		-run '$(KUBERNETES_TESTS)'
KUBERNETES_TESTS = Credentials|Life|Waiting|HelmsWait|GoBack|FailingHook|Ownership|FieldsOfOthers|ImmutableField|DryRun|HistoryMax|Namespaces|OneOperation|Interrupted|Rollback|Plan|Diff|Drift|Outdated|Definitions|CRDPolicies|DependsOn|Stack|TakesOver|Helm4|After|Removed|NewKey|TwoMegabytes

corpus: build           ## render a corpus of public charts, where there is one
	bash .ci/corpus

bench: benchdeps build tools       ## speed and size, against peers where they can be run
	bash .ci/bench

clean:
	rm -rf bin cmd/pkgd/programs/shim cmd/pkgd/programs/helper
