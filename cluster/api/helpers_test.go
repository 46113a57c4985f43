package api_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// collect gathers warnings.
type collect struct{ texts []string }

func (c *collect) HandleWarningHeader(_ int, _ string, text string) { c.texts = append(c.texts, text) }

func metav1apply(key, value string) *metaapply.LabelSelectorApplyConfiguration {
	return metaapply.LabelSelector().WithMatchLabels(map[string]string{key: value})
}

// unstructuredSerializer is for raw requests.
func unstructuredSerializer() runtime.NegotiatedSerializer {
	return scheme.Codecs.WithoutConversion()
}

func clientFor(t testing.TB, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	cs, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}
