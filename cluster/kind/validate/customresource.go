package validate

import (
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CustomResourceDefinition checks names, versions and that schemas are
// structural in the main. The API, which compiles them, finds what remains.
func CustomResourceDefinition(c *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	s, p := &c.Spec, spec()
	var errs errors
	if c.Name != s.Names.Plural+"."+s.Group {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, `must be spec.names.plural+"."+spec.group`))
	}
	switch {
	case s.Group == "":
		errs = append(errs, field.Required(p.Child("group"), ""))
	case len(validation.IsDNS1123Subdomain(s.Group)) > 0:
		errs = append(errs, dnsSubdomain(p.Child("group"), s.Group)...)
	case !strings.Contains(s.Group, "."):
		errs = append(errs, field.Invalid(p.Child("group"), s.Group, "should be a domain with at least one dot"))
	}
	errs = append(errs, oneOf(p.Child("scope"), s.Scope, apiextensionsv1.ClusterScoped, apiextensionsv1.NamespaceScoped)...)
	errs = append(errs, crdVersions(p.Child("versions"), s)...)
	errs = append(errs, crdNames(p.Child("names"), &s.Names)...)
	errs = append(errs, conversion(p.Child("conversion"), s)...)
	for i, stored := range c.Status.StoredVersions {
		if !slices.ContainsFunc(s.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == stored }) {
			errs = append(errs, field.Invalid(field.NewPath("status", "storedVersions").Index(i), stored, "must appear in spec.versions"))
		}
	}
	return errs
}

func crdVersions(p *field.Path, s *apiextensionsv1.CustomResourceDefinitionSpec) errors {
	var errs errors
	names := map[string]bool{}
	stored, unique := 0, true
	for i, v := range s.Versions {
		at := p.Index(i)
		if v.Storage {
			stored++
		}
		unique = unique && !names[v.Name]
		names[v.Name] = true
		errs = append(errs, each(at.Child("name"), v.Name, validation.IsDNS1035Label(v.Name))...)
		if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
			errs = append(errs, field.Required(at.Child("schema", "openAPIV3Schema"), "schemas are required"))
		} else {
			errs = append(errs, rootSchema(at.Child("schema", "openAPIV3Schema"), v.Schema.OpenAPIV3Schema)...)
		}
		if v.Subresources != nil && v.Subresources.Scale != nil {
			errs = append(errs, scalePaths(at.Child("subresources", "scale"), v.Subresources.Scale)...)
		}
		for j, c := range v.AdditionalPrinterColumns {
			at := at.Child("additionalPrinterColumns").Index(j)
			errs = append(errs, required(at.Child("name"), c.Name)...)
			errs = append(errs, oneOf(at.Child("type"), c.Type, "integer", "number", "string", "boolean", "date")...)
			errs = append(errs, required(at.Child("jsonPath"), c.JSONPath)...)
		}
	}
	if !unique {
		errs = append(errs, field.Invalid(p, s.Versions, "must contain unique version names"))
	}
	if stored != 1 {
		errs = append(errs, field.Invalid(p, s.Versions, "must have exactly one version marked as storage version"))
	}
	return errs
}

func scalePaths(p *field.Path, s *apiextensionsv1.CustomResourceSubresourceScale) errors {
	var errs errors
	if !strings.HasPrefix(s.SpecReplicasPath, ".spec.") {
		errs = append(errs, field.Invalid(p.Child("specReplicasPath"), s.SpecReplicasPath, "should be a json path under .spec"))
	}
	if !strings.HasPrefix(s.StatusReplicasPath, ".status.") {
		errs = append(errs, field.Invalid(p.Child("statusReplicasPath"), s.StatusReplicasPath, "should be a json path under .status"))
	}
	if l := s.LabelSelectorPath; l != nil && !strings.HasPrefix(*l, ".status.") && !strings.HasPrefix(*l, ".spec.") {
		errs = append(errs, field.Invalid(p.Child("labelSelectorPath"), *l, "should be a json path under either .spec or .status"))
	}
	return errs
}

func crdNames(p *field.Path, n *apiextensionsv1.CustomResourceDefinitionNames) errors {
	var errs errors
	label := func(name, value string) {
		if value == "" {
			errs = append(errs, field.Required(p.Child(name), ""))
			return
		}
		errs = append(errs, each(p.Child(name), value, validation.IsDNS1035Label(strings.ToLower(value)))...)
	}
	if n.Plural != strings.ToLower(n.Plural) {
		errs = append(errs, each(p.Child("plural"), n.Plural, validation.IsDNS1035Label(n.Plural))...)
	} else {
		label("plural", n.Plural)
	}
	label("singular", n.Singular)
	label("kind", n.Kind)
	label("listKind", n.ListKind)
	if n.Kind != "" && n.Kind == n.ListKind {
		errs = append(errs, field.Invalid(p.Child("listKind"), n.ListKind, "kind and listKind may not be the same"))
	}
	for i, s := range n.ShortNames {
		errs = append(errs, each(p.Child("shortNames").Index(i), s, validation.IsDNS1035Label(s))...)
	}
	for i, c := range n.Categories {
		errs = append(errs, each(p.Child("categories").Index(i), c, validation.IsDNS1035Label(c))...)
	}
	return errs
}

func conversion(p *field.Path, s *apiextensionsv1.CustomResourceDefinitionSpec) errors {
	c := s.Conversion
	if c == nil {
		return nil
	}
	errs := oneOf(p.Child("strategy"), c.Strategy, apiextensionsv1.NoneConverter, apiextensionsv1.WebhookConverter)
	switch {
	case c.Strategy == apiextensionsv1.WebhookConverter && (c.Webhook == nil || c.Webhook.ClientConfig == nil):
		errs = append(errs, field.Required(p.Child("webhookClientConfig"), "required when strategy is set to Webhook"))
	case c.Strategy == apiextensionsv1.NoneConverter && c.Webhook != nil:
		errs = append(errs, field.Forbidden(p.Child("webhookClientConfig"), "should not be set when strategy is not set to Webhook"))
	}
	return errs
}

// rootSchema checks that the schema of a version is one of objects.
func rootSchema(p *field.Path, s *apiextensionsv1.JSONSchemaProps) errors {
	var errs errors
	switch s.Type {
	case "object":
	case "":
		errs = append(errs, field.Required(p.Child("type"), "must not be empty at the root"))
	default:
		errs = append(errs, field.Invalid(p.Child("type"), s.Type, "must be object at the root"))
	}
	return append(errs, structural(p, s)...)
}

// structural checks that every field, item and additional property says its
// type.
func structural(p *field.Path, s *apiextensionsv1.JSONSchemaProps) errors {
	var errs errors
	typed := func(at *field.Path, sub *apiextensionsv1.JSONSchemaProps, what string) {
		preserves := sub.XPreserveUnknownFields != nil && *sub.XPreserveUnknownFields
		if sub.Type == "" && !sub.XIntOrString && !preserves {
			errs = append(errs, field.Required(at.Child("type"), "must not be empty for specified "+what))
		}
		errs = append(errs, structural(at, sub)...)
	}
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		sub := s.Properties[name]
		typed(p.Child("properties").Key(name), &sub, "object fields")
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		if len(s.Properties) > 0 {
			errs = append(errs, field.Forbidden(p.Child("additionalProperties"), "additionalProperties and properties are mutual exclusive"))
		}
		typed(p.Child("additionalProperties"), s.AdditionalProperties.Schema, "object fields")
	}
	if s.Items != nil && s.Items.Schema != nil {
		typed(p.Child("items"), s.Items.Schema, "array items")
	} else if s.Type == "array" {
		errs = append(errs, field.Required(p.Child("items"), "must be specified"))
	}
	if s.Items != nil && len(s.Items.JSONSchemas) > 0 {
		errs = append(errs, field.Forbidden(p.Child("items"), "items must be a schema object and not an array"))
	}
	if s.UniqueItems {
		errs = append(errs, field.Forbidden(p.Child("uniqueItems"), "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"))
	}
	if s.Ref != nil {
		errs = append(errs, field.Forbidden(p.Child("$ref"), "$ref is not supported"))
	}
	return errs
}

// CustomResourceDefinitionUpdate checks a change: once established, a
// definition keeps its scope and kind.
func CustomResourceDefinitionUpdate(c, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	p := spec()
	errs := unchanged(p.Child("group"), c.Spec.Group, old.Spec.Group)
	errs = append(errs, unchanged(p.Child("names", "plural"), c.Spec.Names.Plural, old.Spec.Names.Plural)...)
	for _, condition := range old.Status.Conditions {
		if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
			errs = append(errs, unchanged(p.Child("scope"), c.Spec.Scope, old.Spec.Scope)...)
			errs = append(errs, unchanged(p.Child("names", "kind"), c.Spec.Names.Kind, old.Spec.Names.Kind)...)
		}
	}
	return errs
}
