package validate

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ConfigMap checks keys and size.
func ConfigMap(c *corev1.ConfigMap) field.ErrorList {
	var errs errors
	size := 0
	for key, value := range c.Data {
		errs = append(errs, each(field.NewPath("data").Key(key), key, validation.IsConfigMapKey(key))...)
		if _, twice := c.BinaryData[key]; twice {
			errs = append(errs, field.Invalid(field.NewPath("data").Key(key), key, "duplicate of key present in binaryData"))
		}
		size += len(value)
	}
	for key, value := range c.BinaryData {
		errs = append(errs, each(field.NewPath("binaryData").Key(key), key, validation.IsConfigMapKey(key))...)
		size += len(value)
	}
	if size > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(field.NewPath(""), "", corev1.MaxSecretSize))
	}
	return errs
}

const whenImmutable = "field is immutable when `immutable` is set"

// ConfigMapUpdate checks a change.
func ConfigMapUpdate(c, old *corev1.ConfigMap) field.ErrorList {
	if old.Immutable == nil || !*old.Immutable {
		return nil
	}
	errs := staysImmutable(c.Immutable)
	if !equal(c.Data, old.Data) {
		errs = append(errs, field.Forbidden(field.NewPath("data"), whenImmutable))
	}
	if !equal(c.BinaryData, old.BinaryData) {
		errs = append(errs, field.Forbidden(field.NewPath("binaryData"), whenImmutable))
	}
	return errs
}

func staysImmutable(flag *bool) errors {
	if flag == nil || !*flag {
		return errors{field.Forbidden(field.NewPath("immutable"), whenImmutable)}
	}
	return nil
}

// Secret checks keys, size and what well-known types need.
func Secret(s *corev1.Secret) field.ErrorList {
	var errs errors
	size := 0
	data := field.NewPath("data")
	for key, value := range s.Data {
		errs = append(errs, each(data.Key(key), key, validation.IsConfigMapKey(key))...)
		size += len(value)
	}
	if size > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(data, "", corev1.MaxSecretSize))
	}
	need := func(keys ...string) {
		for _, key := range keys {
			if _, ok := s.Data[key]; !ok {
				errs = append(errs, field.Required(data.Key(key), ""))
			}
		}
	}
	docker := func(key string) {
		value, ok := s.Data[key]
		if !ok {
			errs = append(errs, field.Required(data.Key(key), ""))
		} else if err := json.Unmarshal(value, &map[string]any{}); err != nil {
			errs = append(errs, field.Invalid(data.Key(key), "<secret contents redacted>", err.Error()))
		}
	}
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		if s.Annotations[corev1.ServiceAccountNameKey] == "" {
			errs = append(errs, field.Required(field.NewPath("metadata", "annotations").Key(corev1.ServiceAccountNameKey), ""))
		}
	case corev1.SecretTypeDockercfg:
		docker(corev1.DockerConfigKey)
	case corev1.SecretTypeDockerConfigJson:
		docker(corev1.DockerConfigJsonKey)
	case corev1.SecretTypeBasicAuth:
		_, user := s.Data[corev1.BasicAuthUsernameKey]
		_, password := s.Data[corev1.BasicAuthPasswordKey]
		if !user && !password {
			need(corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey)
		}
	case corev1.SecretTypeSSHAuth:
		if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 {
			errs = append(errs, field.Required(data.Key(corev1.SSHAuthPrivateKey), ""))
		}
	case corev1.SecretTypeTLS:
		need(corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	return errs
}

// SecretUpdate checks a change.
func SecretUpdate(s, old *corev1.Secret) field.ErrorList {
	errs := unchanged(field.NewPath("type"), s.Type, old.Type)
	if old.Immutable == nil || !*old.Immutable {
		return errs
	}
	errs = append(errs, staysImmutable(s.Immutable)...)
	if !equal(s.Data, old.Data) {
		errs = append(errs, field.Forbidden(field.NewPath("data"), whenImmutable))
	}
	return errs
}

// Namespace checks the names of finalizers.
func Namespace(n *corev1.Namespace) field.ErrorList {
	var errs errors
	for i, f := range n.Spec.Finalizers {
		errs = append(errs, each(spec().Child("finalizers").Index(i), string(f), validation.IsQualifiedName(string(f)))...)
	}
	return errs
}

// Node checks a node.
func Node(n *corev1.Node) field.ErrorList {
	p := spec()
	var errs errors
	for i, cidr := range n.Spec.PodCIDRs {
		errs = append(errs, validation.IsValidCIDRForLegacyField(p.Child("podCIDRs").Index(i), cidr, false, nil)...)
	}
	seen := map[string]bool{}
	for i, t := range n.Spec.Taints {
		at := p.Child("taints").Index(i)
		errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		errs = append(errs, each(at.Child("value"), t.Value, validation.IsValidLabelValue(t.Value))...)
		errs = append(errs, oneOf(at.Child("effect"), t.Effect,
			corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)...)
		if key := t.Key + ":" + string(t.Effect); seen[key] {
			duplicate := field.Duplicate(at, t)
			duplicate.Detail = "taints must be unique by key and effect pair"
			errs = append(errs, duplicate)
		} else {
			seen[key] = true
		}
	}
	for name, q := range n.Status.Capacity {
		errs = append(errs, amount(field.NewPath("status", "capacity").Key(string(name)), string(name), q)...)
	}
	return errs
}

// NodeUpdate checks a change.
func NodeUpdate(n, old *corev1.Node) field.ErrorList {
	p := spec()
	var errs errors
	if len(old.Spec.PodCIDRs) > 0 && !equal(n.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		errs = append(errs, field.Forbidden(p.Child("podCIDRs"), `node updates may not change podCIDR except from "" to valid`))
	}
	if old.Spec.ProviderID != "" && n.Spec.ProviderID != old.Spec.ProviderID {
		errs = append(errs, field.Forbidden(p.Child("providerID"), `node updates may not change providerID except from "" to valid`))
	}
	return errs
}

// Event checks that an event is in the namespace of what it is about.
func Event(e *corev1.Event) field.ErrorList {
	if ns := e.InvolvedObject.Namespace; ns != e.Namespace && !(ns == "" && e.Namespace == corev1.NamespaceDefault) &&
		!(ns == "" && e.Namespace == "kube-system") {
		return errors{field.Invalid(field.NewPath("involvedObject", "namespace"), ns, "does not match event.namespace")}
	}
	return nil
}

// LimitRange checks that minima, defaults and maxima are in order.
func LimitRange(l *corev1.LimitRange) field.ErrorList {
	var errs errors
	types := map[corev1.LimitType]bool{}
	for i, item := range l.Spec.Limits {
		at := spec().Child("limits").Index(i)
		if item.Type == "" {
			errs = append(errs, field.Required(at.Child("type"), ""))
		}
		if types[item.Type] {
			errs = append(errs, field.Duplicate(at.Child("type"), item.Type))
		}
		types[item.Type] = true
		order := []struct {
			name string
			list corev1.ResourceList
		}{{"min", item.Min}, {"defaultRequest", item.DefaultRequest}, {"default", item.Default}, {"max", item.Max}}
		for lower := range order {
			for _, higher := range order[lower+1:] {
				low := order[lower]
				for _, name := range sortedNames(low.list) {
					a := low.list[name]
					if b, ok := higher.list[name]; ok && a.Cmp(b) > 0 {
						errs = append(errs, field.Invalid(at.Child(low.name).Key(string(name)), a.String(),
							low.name+" value "+a.String()+" is greater than "+higher.name+" value "+b.String()))
					}
				}
			}
		}
	}
	return errs
}

// ResourceQuota checks quantities.
func ResourceQuota(q *corev1.ResourceQuota) field.ErrorList {
	var errs errors
	for _, name := range sortedNames(q.Spec.Hard) {
		at := spec().Child("hard").Key(string(name))
		errs = append(errs, each(at, string(name), validation.IsQualifiedName(string(name)))...)
		errs = append(errs, amount(at, string(name), q.Spec.Hard[name])...)
	}
	return errs
}

// ResourceQuotaUpdate checks a change.
func ResourceQuotaUpdate(q, old *corev1.ResourceQuota) field.ErrorList {
	if !equal(q.Spec.Scopes, old.Spec.Scopes) {
		return errors{field.Invalid(spec().Child("scopes"), q.Spec.Scopes, immutable)}
	}
	return nil
}
