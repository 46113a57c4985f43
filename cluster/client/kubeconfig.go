package client

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig chooses a cluster, a user and a namespace of kubeconfig files.
type Kubeconfig struct {
	// Path is one file, or several separated as in $KUBECONFIG, merged.
	Path    string
	Context string // "" for the files' current one

	// What overrides the files; zero values do not.
	Server        string
	Token         string
	CAFile        string
	TLSServerName string
	Insecure      bool
	AsUser        string
	AsGroups      []string
}

// Loaded is a way to a cluster.
type Loaded struct {
	REST      *rest.Config
	Context   string // its name
	Namespace string // the context's; "" if it has none
}

// Load reads the files. Errors: a missing file (fs.ErrNotExist), a context that
// does not exist, a cluster without an address.
func (k Kubeconfig) Load() (*Loaded, error) {
	rules := &clientcmd.ClientConfigLoadingRules{}
	if paths := filepath.SplitList(k.Path); len(paths) == 1 {
		if _, err := os.Stat(paths[0]); err != nil {
			return nil, fmt.Errorf("kubeconfig: %w", err)
		}
		rules.ExplicitPath = paths[0]
	} else {
		rules.Precedence = paths
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, k.overrides())
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", k.Path, err)
	}
	name := k.Context
	if name == "" {
		name = raw.CurrentContext
	}
	context, ok := raw.Contexts[name]
	if !ok && (k.Server == "" || k.Context != "") {
		if name == "" {
			return nil, fmt.Errorf("kubeconfig %s chooses no context", k.Path)
		}
		return nil, fmt.Errorf("kubeconfig %s has no context %q", k.Path, name)
	}
	out := &Loaded{Context: name}
	if ok {
		out.Namespace = context.Namespace
	}
	if out.REST, err = loader.ClientConfig(); err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", k.Path, err)
	}
	if len(k.AsGroups) > 0 && k.AsUser == "" {
		return nil, errors.New("groups to act as need a user to act as")
	}
	return out, nil
}

func (k Kubeconfig) overrides() *clientcmd.ConfigOverrides {
	o := &clientcmd.ConfigOverrides{CurrentContext: k.Context}
	o.ClusterInfo = clientcmdapi.Cluster{
		Server: k.Server, CertificateAuthority: k.CAFile, TLSServerName: k.TLSServerName, InsecureSkipTLSVerify: k.Insecure,
	}
	o.AuthInfo = clientcmdapi.AuthInfo{Token: k.Token, Impersonate: k.AsUser, ImpersonateGroups: k.AsGroups}
	return o
}
