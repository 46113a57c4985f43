package validate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const oneSource = "may not have more than one field specified at a time"

func env(p *field.Path, vars []corev1.EnvVar) errors {
	var errs errors
	for i, v := range vars {
		at := p.Index(i)
		if v.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, each(at.Child("name"), v.Name, validation.IsRelaxedEnvVarName(v.Name))...)
		}
		errs = append(errs, valueFrom(at.Child("valueFrom"), &v)...)
	}
	return errs
}

func valueFrom(p *field.Path, v *corev1.EnvVar) errors {
	s := v.ValueFrom
	if s == nil {
		return nil
	}
	var errs errors
	count := 0
	if s.FieldRef != nil {
		count++
		errs = append(errs, fieldRef(p.Child("fieldRef"), s.FieldRef, envFields(), true)...)
	}
	if s.ResourceFieldRef != nil {
		count++
		errs = append(errs, resourceFieldRef(p.Child("resourceFieldRef"), s.ResourceFieldRef, false)...)
	}
	if s.ConfigMapKeyRef != nil {
		count++
		errs = append(errs, configKey(p.Child("configMapKeyRef", "key"), s.ConfigMapKeyRef.Key)...)
	}
	if s.SecretKeyRef != nil {
		count++
		errs = append(errs, configKey(p.Child("secretKeyRef", "key"), s.SecretKeyRef.Key)...)
	}
	if s.FileKeyRef != nil {
		count++
	}
	switch {
	case count == 0:
		errs = append(errs, field.Invalid(p, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"))
	case v.Value != "":
		errs = append(errs, field.Invalid(p, "", "may not be specified when `value` is not empty"))
	case count > 1:
		errs = append(errs, field.Invalid(p, "", oneSource))
	}
	return errs
}

func configKey(p *field.Path, key string) errors {
	if key == "" {
		return errors{field.Required(p, "")}
	}
	return each(p, key, validation.IsConfigMapKey(key))
}

// envFields are the fields of a pod that its environment can show.
func envFields() []string {
	return []string{
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	}
}

// fileFields are the fields of a pod that files in a downward API volume can
// show.
func fileFields() []string {
	return []string{"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}
}

// fieldRef checks a reference to one of the allowed fields, or to one label or
// annotation.
func fieldRef(p *field.Path, f *corev1.ObjectFieldSelector, allowed []string, known bool) errors {
	if f.APIVersion == "" {
		return errors{field.Required(p.Child("apiVersion"), "")}
	}
	if f.FieldPath == "" {
		return errors{field.Required(p.Child("fieldPath"), "")}
	}
	at := p.Child("fieldPath")
	if base, key, ok := strings.Cut(f.FieldPath, "['"); ok {
		key, closed := strings.CutSuffix(key, "']")
		if closed && (base == "metadata.labels" || base == "metadata.annotations") {
			return each(at, key, validation.IsQualifiedName(strings.ToLower(key)))
		}
		return errors{field.Invalid(at, f.FieldPath, "does not support subscript")}
	}
	if slices.Contains(allowed, f.FieldPath) {
		return nil
	}
	if known && !slices.Contains(fileFields(), f.FieldPath) && !slices.Contains(envFields(), f.FieldPath) {
		return errors{field.Invalid(at, f.FieldPath,
			fmt.Sprintf("error converting fieldPath: field label not supported: %s", f.FieldPath))}
	}
	return errors{field.NotSupported(at, f.FieldPath, allowed)}
}

// resourceFieldRef checks a reference to a request or limit; named tells
// whether it must say of which container.
func resourceFieldRef(p *field.Path, r *corev1.ResourceFieldSelector, named bool) errors {
	var errs errors
	if named && r.ContainerName == "" {
		return errors{field.Required(p.Child("containerName"), "")}
	}
	if r.Resource == "" {
		return errors{field.Required(p.Child("resource"), "")}
	}
	allowed := []string{
		"limits.cpu", "limits.ephemeral-storage", "limits.memory",
		"requests.cpu", "requests.ephemeral-storage", "requests.memory",
	}
	huge := strings.HasPrefix(r.Resource, "limits.hugepages-") || strings.HasPrefix(r.Resource, "requests.hugepages-")
	if !huge && !slices.Contains(allowed, r.Resource) {
		errs = append(errs, field.NotSupported(p.Child("resource"), r.Resource, allowed))
	}
	return errs
}

func envFrom(p *field.Path, list []corev1.EnvFromSource) errors {
	var errs errors
	for i, s := range list {
		at := p.Index(i)
		if s.Prefix != "" {
			errs = append(errs, each(at.Child("prefix"), s.Prefix, validation.IsRelaxedEnvVarName(s.Prefix))...)
		}
		if s.ConfigMapRef != nil {
			errs = append(errs, required(at.Child("configMapRef", "name"), s.ConfigMapRef.Name)...)
		}
		if s.SecretRef != nil {
			errs = append(errs, required(at.Child("secretRef", "name"), s.SecretRef.Name)...)
		}
		switch {
		case s.ConfigMapRef == nil && s.SecretRef == nil:
			errs = append(errs, field.Invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"))
		case s.ConfigMapRef != nil && s.SecretRef != nil:
			errs = append(errs, field.Invalid(at, "", oneSource))
		}
	}
	return errs
}
