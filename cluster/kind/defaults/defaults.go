// Package defaults fills in what users leave out of the built-in kinds, as
// Kubernetes 1.36 does (k8s.io/kubernetes/pkg/apis/*/v1/defaults.go is the
// source of the rules). Each function is given an object that it may change,
// and changes nothing that was set.
package defaults

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// set gives *p the value v if it has none.
func set[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// setPtr points *p to v if it points nowhere.
func setPtr[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// roundUp makes quantities whole thousandths, the smallest unit there is.
func roundUp(list corev1.ResourceList) {
	for name, q := range list {
		q.RoundUp(resource.Milli)
		list[name] = q
	}
}
