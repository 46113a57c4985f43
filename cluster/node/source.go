package node

import corev1 "k8s.io/api/core/v1"

// source is a ConfigMap, Secret or PersistentVolumeClaim ("claim") that a pod
// may refer to.
type source struct{ kind, namespace, name string }

// uses tells whether a pod refers to s in its environment or volumes.
func uses(pod *corev1.Pod, s source) bool {
	if pod.Namespace != s.namespace {
		return false
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if envUses(&list[i], s) {
				return true
			}
		}
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if volumeUses(v, s) || s.kind == "claim" && v.Ephemeral != nil && pod.Name+"-"+v.Name == s.name {
			return true
		}
	}
	return false
}

func envUses(c *corev1.Container, s source) bool {
	for _, f := range c.EnvFrom {
		if s.kind == "configmap" && f.ConfigMapRef != nil && f.ConfigMapRef.Name == s.name ||
			s.kind == "secret" && f.SecretRef != nil && f.SecretRef.Name == s.name {
			return true
		}
	}
	for _, e := range c.Env {
		f := e.ValueFrom
		if f == nil {
			continue
		}
		if s.kind == "configmap" && f.ConfigMapKeyRef != nil && f.ConfigMapKeyRef.Name == s.name ||
			s.kind == "secret" && f.SecretKeyRef != nil && f.SecretKeyRef.Name == s.name {
			return true
		}
	}
	return false
}

func volumeUses(v *corev1.Volume, s source) bool {
	if s.kind == "configmap" && v.ConfigMap != nil && v.ConfigMap.Name == s.name ||
		s.kind == "secret" && v.Secret != nil && v.Secret.SecretName == s.name ||
		s.kind == "claim" && v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == s.name {
		return true
	}
	if v.Projected == nil {
		return false
	}
	for _, p := range v.Projected.Sources {
		if s.kind == "configmap" && p.ConfigMap != nil && p.ConfigMap.Name == s.name ||
			s.kind == "secret" && p.Secret != nil && p.Secret.Name == s.name {
			return true
		}
	}
	return false
}
