package crd

import (
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// Complete gives the kind CustomResourceDefinition, if it is among kinds, its
// validation, warnings and schema. They are here because they need libraries
// that package kind does not link.
func Complete(kinds []*kind.Kind) {
	for _, k := range kinds {
		if k.Resource() != definitions() {
			continue
		}
		// client-go has no schema of definitions. Nearly all of their lists are
		// atomic, which is what a deduced schema says.
		k.Types = func() (managedfields.TypeConverter, error) { return managedfields.NewDeducedTypeConverter(), nil }
		k.Validate = func(o object.Object) field.ErrorList {
			d, ok := o.(*apiextensionsv1.CustomResourceDefinition)
			if !ok {
				return nil
			}
			return Validate(d)
		}
		k.ValidateUpdate = func(o, old object.Object) field.ErrorList {
			d, ok := o.(*apiextensionsv1.CustomResourceDefinition)
			before, ok2 := old.(*apiextensionsv1.CustomResourceDefinition)
			if !ok || !ok2 {
				return nil
			}
			return ValidateUpdate(d, before)
		}
		k.Warnings = func(o object.Object) []string {
			d, ok := o.(*apiextensionsv1.CustomResourceDefinition)
			if !ok {
				return nil
			}
			return Warnings(d)
		}
	}
}

// Warnings names what a definition asks for and does not get.
func Warnings(d *apiextensionsv1.CustomResourceDefinition) []string {
	var out []string
	if c := d.Spec.Conversion; c != nil && c.Strategy == apiextensionsv1.WebhookConverter {
		out = append(out, d.Name+": conversion webhooks are not called; objects are served in other versions unchanged")
	}
	rules := slices.ContainsFunc(d.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
		return v.Schema != nil && hasRules(v.Schema.OpenAPIV3Schema)
	})
	if rules {
		out = append(out, d.Name+": x-kubernetes-validations rules in the schema are stored but not enforced")
	}
	return out
}

// Validate checks a definition with Kubernetes' rules and wording
// (apiextensions-apiserver, pkg/apis/apiextensions/validation).
func Validate(d *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	var errs field.ErrorList
	if d.Name != d.Spec.Names.Plural+"."+d.Spec.Group {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), d.Name, `must be spec.names.plural+"."+spec.group`))
	}
	spec := field.NewPath("spec")
	switch {
	case d.Spec.Group == "":
		errs = append(errs, field.Required(spec.Child("group"), ""))
	default:
		errs = append(errs, invalids(spec.Child("group"), d.Spec.Group, validation.IsDNS1123Subdomain(d.Spec.Group))...)
		if !strings.Contains(d.Spec.Group, ".") {
			errs = append(errs, field.Invalid(spec.Child("group"), d.Spec.Group, "should be a domain with at least one dot"))
		}
	}
	scopes := []apiextensionsv1.ResourceScope{apiextensionsv1.ClusterScoped, apiextensionsv1.NamespaceScoped}
	if d.Spec.Scope == "" {
		errs = append(errs, field.Required(spec.Child("scope"), ""))
	} else if !slices.Contains(scopes, d.Spec.Scope) {
		errs = append(errs, field.NotSupported(spec.Child("scope"), d.Spec.Scope, scopes))
	}
	if d.Spec.PreserveUnknownFields {
		errs = append(errs, field.Invalid(spec.Child("preserveUnknownFields"), true, "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"))
	}
	errs = append(errs, validateNames(spec.Child("names"), &d.Spec.Names)...)
	return append(errs, validateVersions(spec.Child("versions"), d.Spec.Versions)...)
}

func invalids(path *field.Path, value string, messages []string) field.ErrorList {
	var errs field.ErrorList
	for _, m := range messages {
		errs = append(errs, field.Invalid(path, value, m))
	}
	return errs
}

func validateNames(path *field.Path, n *apiextensionsv1.CustomResourceDefinitionNames) field.ErrorList {
	var errs field.ErrorList
	label := func(child, value string, required bool) {
		if value == "" {
			if required {
				errs = append(errs, field.Required(path.Child(child), ""))
			}
			return
		}
		errs = append(errs, invalids(path.Child(child), value, validation.IsDNS1035Label(strings.ToLower(value)))...)
	}
	label("plural", n.Plural, true)
	label("kind", n.Kind, true)
	label("singular", n.Singular, false)
	label("listKind", n.ListKind, false)
	for i, s := range n.ShortNames {
		errs = append(errs, invalids(path.Child("shortNames").Index(i), s, validation.IsDNS1035Label(s))...)
	}
	for i, s := range n.Categories {
		errs = append(errs, invalids(path.Child("categories").Index(i), s, validation.IsDNS1035Label(s))...)
	}
	if n.Kind != "" && n.Kind == n.ListKind {
		errs = append(errs, field.Invalid(path.Child("listKind"), n.ListKind, "kind and listKind may not be the same"))
	}
	return errs
}

func validateVersions(path *field.Path, versions []apiextensionsv1.CustomResourceDefinitionVersion) field.ErrorList {
	var errs field.ErrorList
	seen, storage := map[string]bool{}, 0
	for i := range versions {
		v, at := &versions[i], path.Index(i)
		errs = append(errs, invalids(at.Child("name"), v.Name, validation.IsDNS1035Label(v.Name))...)
		if seen[v.Name] {
			errs = append(errs, field.Invalid(path, v.Name, "must contain unique version names"))
		}
		seen[v.Name] = true
		if v.Storage {
			storage++
		}
		errs = append(errs, validateSchema(at.Child("schema", "openAPIV3Schema"), v)...)
		errs = append(errs, validateSubresources(at.Child("subresources"), v.Subresources)...)
		for j := range v.AdditionalPrinterColumns {
			errs = append(errs, validateColumn(at.Child("additionalPrinterColumns").Index(j), &v.AdditionalPrinterColumns[j])...)
		}
		for j, f := range v.SelectableFields {
			if !strings.HasPrefix(f.JSONPath, ".") || strings.ContainsAny(f.JSONPath, "[]*?@") {
				errs = append(errs, field.Invalid(at.Child("selectableFields").Index(j).Child("jsonPath"), f.JSONPath, "must be a simple json path starting with a dot"))
			}
		}
	}
	if storage != 1 {
		errs = append(errs, field.Invalid(path, storage, "must have exactly one version marked as storage version"))
	}
	return errs
}

// validateSchema checks that there is a structural schema whose defaults fit it.
func validateSchema(path *field.Path, v *apiextensionsv1.CustomResourceDefinitionVersion) field.ErrorList {
	if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
		return field.ErrorList{field.Required(path, "schemas are required")}
	}
	s, err := toStructural(v.Schema.OpenAPIV3Schema)
	if err != nil {
		return field.ErrorList{field.Invalid(path, "", err.Error())}
	}
	if errs := structural.ValidateStructural(path, s); len(errs) > 0 {
		return errs
	}
	return validateDefaults(path, s)
}

// validateDefaults checks every default in s against the schema it stands in.
func validateDefaults(path *field.Path, s *structural.Structural) field.ErrorList {
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	if s.Default.Object != nil {
		errs = append(errs, fieldErrors(path.Child("default"), newChecker(s).Validate(s.Default.Object))...)
	}
	for name, p := range s.Properties {
		errs = append(errs, validateDefaults(path.Child("properties").Key(name), &p)...)
	}
	if s.AdditionalProperties != nil {
		errs = append(errs, validateDefaults(path.Child("additionalProperties"), s.AdditionalProperties.Structural)...)
	}
	return append(errs, validateDefaults(path.Child("items"), s.Items)...)
}

func validateSubresources(path *field.Path, s *apiextensionsv1.CustomResourceSubresources) field.ErrorList {
	if s == nil || s.Scale == nil {
		return nil
	}
	var errs field.ErrorList
	under := func(child, value, parent string) {
		at := path.Child("scale", child)
		if value == "" {
			errs = append(errs, field.Required(at, ""))
		} else if !strings.HasPrefix(value, parent) || strings.ContainsAny(value, "[]*") {
			errs = append(errs, field.Invalid(at, value, "should be a json path under "+strings.TrimSuffix(parent, ".")))
		}
	}
	under("specReplicasPath", s.Scale.SpecReplicasPath, ".spec.")
	under("statusReplicasPath", s.Scale.StatusReplicasPath, ".status.")
	if p := s.Scale.LabelSelectorPath; p != nil && *p != "" && !strings.HasPrefix(*p, ".spec.") && !strings.HasPrefix(*p, ".status.") {
		errs = append(errs, field.Invalid(path.Child("scale", "labelSelectorPath"), *p, "should be a json path under either .status or .spec"))
	}
	return errs
}

func validateColumn(path *field.Path, c *apiextensionsv1.CustomResourceColumnDefinition) field.ErrorList {
	var errs field.ErrorList
	if c.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	types := []string{"boolean", "date", "integer", "number", "string"}
	if c.Type == "" {
		errs = append(errs, field.Required(path.Child("type"), "must be one of "+strings.Join(types, ",")))
	} else if !slices.Contains(types, c.Type) {
		errs = append(errs, field.Invalid(path.Child("type"), c.Type, "must be one of "+strings.Join(types, ",")))
	}
	if c.JSONPath == "" {
		errs = append(errs, field.Required(path.Child("jsonPath"), ""))
	} else if _, err := parsePath(c.Name, c.JSONPath); err != nil {
		errs = append(errs, field.Invalid(path.Child("jsonPath"), c.JSONPath, "is not a valid json path: "+err.Error()))
	}
	return errs
}

// ValidateUpdate checks what must not change: once established, what tells
// where the instances are.
func ValidateUpdate(d, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	var errs field.ErrorList
	spec := field.NewPath("spec")
	same := func(path *field.Path, now, before string) {
		if now != before {
			errs = append(errs, field.Invalid(path, now, "field is immutable"))
		}
	}
	same(spec.Child("group"), d.Spec.Group, old.Spec.Group)
	same(spec.Child("names", "plural"), d.Spec.Names.Plural, old.Spec.Names.Plural)
	if isTrue(old, apiextensionsv1.Established) {
		same(spec.Child("scope"), string(d.Spec.Scope), string(old.Spec.Scope))
		same(spec.Child("names", "kind"), d.Spec.Names.Kind, old.Spec.Names.Kind)
	}
	for i, stored := range d.Status.StoredVersions {
		if !slices.ContainsFunc(d.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == stored }) {
			errs = append(errs, field.Invalid(field.NewPath("status", "storedVersions").Index(i), stored,
				"missing from spec.versions; "+stored+" was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in "+stored+" and removes "+stored+" from status.storedVersions"))
		}
	}
	return errs
}
