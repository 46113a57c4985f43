package manifest

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// images warns of images whose version is left open.
func (c *checker) images(p podTemplate) {
	p.eachContainer(func(container *corev1.Container, path string) {
		image := container.Image
		if image == "" || strings.Contains(image, "@") {
			return
		}
		_, tag, tagged := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
		switch {
		case !tagged:
			c.add(p.place, Warning, path+".image", "image %q has no tag: which version runs depends on the day", image)
		case tag == "latest":
			c.add(p.place, Info, path+".image", "image %q: which version runs depends on the day", image)
		}
	})
}

// eachContainer calls f with every container of a pod and its path.
func (p podTemplate) eachContainer(f func(*corev1.Container, string)) {
	for i := range p.spec.InitContainers {
		f(&p.spec.InitContainers[i], fmt.Sprintf("%s.initContainers[%d]", p.path, i))
	}
	for i := range p.spec.Containers {
		f(&p.spec.Containers[i], fmt.Sprintf("%s.containers[%d]", p.path, i))
	}
}

// podReferences checks the ConfigMaps, Secrets, claims and the ServiceAccount that
// a pod cannot start without.
func (c *checker) podReferences(p podTemplate) {
	need := func(kind, n string, optional *bool, path string) {
		if (optional == nil || !*optional) && !existsAnyway(kind, n) {
			c.missing(p.place, Warning, path, kind, p.namespace, n)
		}
	}
	p.eachContainer(func(container *corev1.Container, path string) {
		for i, e := range container.Env {
			at := fmt.Sprintf("%s.env[%d].valueFrom", path, i)
			if e.ValueFrom == nil {
				continue
			}
			if ref := e.ValueFrom.ConfigMapKeyRef; ref != nil {
				need("ConfigMap", ref.Name, ref.Optional, at+".configMapKeyRef.name")
			}
			if ref := e.ValueFrom.SecretKeyRef; ref != nil {
				need("Secret", ref.Name, ref.Optional, at+".secretKeyRef.name")
			}
		}
		for i, e := range container.EnvFrom {
			at := fmt.Sprintf("%s.envFrom[%d]", path, i)
			if e.ConfigMapRef != nil {
				need("ConfigMap", e.ConfigMapRef.Name, e.ConfigMapRef.Optional, at+".configMapRef.name")
			}
			if e.SecretRef != nil {
				need("Secret", e.SecretRef.Name, e.SecretRef.Optional, at+".secretRef.name")
			}
		}
	})
	for i, v := range p.spec.Volumes {
		at := fmt.Sprintf("%s.volumes[%d]", p.path, i)
		switch {
		case v.ConfigMap != nil:
			need("ConfigMap", v.ConfigMap.Name, v.ConfigMap.Optional, at+".configMap.name")
		case v.Secret != nil:
			need("Secret", v.Secret.SecretName, v.Secret.Optional, at+".secret.secretName")
		case v.PersistentVolumeClaim != nil:
			if !p.claims[v.Name] {
				need("PersistentVolumeClaim", v.PersistentVolumeClaim.ClaimName, nil, at+".persistentVolumeClaim.claimName")
			}
		case v.Projected != nil:
			for j, s := range v.Projected.Sources {
				from := fmt.Sprintf("%s.projected.sources[%d]", at, j)
				if s.ConfigMap != nil {
					need("ConfigMap", s.ConfigMap.Name, s.ConfigMap.Optional, from+".configMap.name")
				}
				if s.Secret != nil {
					need("Secret", s.Secret.Name, s.Secret.Optional, from+".secret.name")
				}
			}
		}
	}
	need("ServiceAccount", p.spec.ServiceAccountName, nil, p.path+".serviceAccountName")
}

// existsAnyway tells what every namespace has.
func existsAnyway(kind, name string) bool {
	return kind == "ServiceAccount" && name == "default" || kind == "ConfigMap" && name == "kube-root-ca.crt"
}
