package main

import (
	"os/exec"
	"strings"
	"testing"
)

// forbidden are packages that pkg must not link, each with all below it: they cost
// start time (see the package doc), and belong into the other programs.
var forbidden = []string{
	"k8s.io/api/",
	"k8s.io/apiserver/",
	"k8s.io/apiextensions-apiserver/",
	"k8s.io/cli-runtime/",
	"k8s.io/client-go/applyconfigurations",
	"k8s.io/client-go/discovery",
	"k8s.io/client-go/informers",
	"k8s.io/client-go/kubernetes",
	"k8s.io/kubectl/",
	"k8s.io/kube-openapi/pkg/validation",
	"helm.sh/helm/v3/internal/sympath",
	"helm.sh/helm/v3/pkg/action",
	"helm.sh/helm/v3/pkg/chart",
	"helm.sh/helm/v3/pkg/chartutil",
	"helm.sh/helm/v3/pkg/cli",
	"helm.sh/helm/v3/pkg/engine",
	"helm.sh/helm/v3/pkg/getter",
	"helm.sh/helm/v3/pkg/ignore",
	"helm.sh/helm/v3/pkg/kube",
	"helm.sh/helm/v3/pkg/registry",
	"helm.sh/helm/v3/pkg/release",
	"github.com/distribution/distribution/",
	"github.com/santhosh-tekuri/jsonschema",
	"github.com/getsops/sops/",
	"github.com/opencontainers/runc/",
	"github.com/seed38700745/pkg/cluster/kind",
	"github.com/seed38700745/pkg/cluster/store",
	"github.com/vishvananda/netlink",
	"go.etcd.io/bbolt",
}

// forbiddenInFront are those that only pkg-release may link.
var forbiddenInFront = []string{
	"crypto/tls",
	"crypto/x509",
	"html/template",
	"net/http",
	"filippo.io",
	"github.com/BurntSushi",
	"github.com/Masterminds",
	"github.com/ProtonMail/go-crypto",
	"github.com/docker",
	"github.com/google/go-containerregistry",
	"github.com/google/uuid",
	"github.com/klauspost",
	"github.com/opencontainers",
	"github.com/shopspring",
	"github.com/sirupsen",
	"github.com/spf13/cast",
	"golang.org/x/crypto/bcrypt",
	"golang.org/x/crypto/scrypt",
	"k8s.io",
	"sigs.k8s.io/yaml/goyaml.v3",
	"github.com/seed38700745/pkg/cluster",
	"github.com/seed38700745/pkg/release",
}

func TestLinksNothingHeavy(t *testing.T) {
	for _, program := range []struct {
		name      string
		tags      string
		forbidden []string
	}{
		{"pkg-release", "", forbidden},
		{"pkg", "front", append(forbiddenInFront, forbidden...)},
	} {
		out, err := exec.Command("go", "list", "-tags", program.tags, "-deps", ".").Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for _, dep := range strings.Fields(string(out)) {
			for _, bad := range program.forbidden {
				if strings.HasPrefix(dep+"/", strings.TrimSuffix(bad, "/")+"/") {
					t.Errorf("%s links %s", program.name, dep)
				}
			}
		}
	}
}
