package crd

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
)

// version is one version of a definition with its schema, which is compiled on
// first use: operators bring dozens of definitions with large schemas, of which
// few are used.
type version struct {
	gvk         schema.GroupVersionKind
	preserveAll bool // spec.preserveUnknownFields of old definitions
	// props is the schema as it stands in the definition, nil if it has none.
	// It always points into the definition's present revision, so that no
	// older one, equal but for its status, is kept in memory.
	props atomic.Pointer[apiextensionsv1.JSONSchemaProps]

	compile sync.Once
	schema  *structural.Structural // set by compile, with the following
	checker *validate.SchemaValidator
	err     error
}

func newVersion(gvk schema.GroupVersionKind, v *apiextensionsv1.CustomResourceDefinitionVersion, preserveAll bool) *version {
	out := &version{gvk: gvk, preserveAll: preserveAll}
	out.point(v)
	return out
}

// point makes props that of v, which has the same schema as before.
func (v *version) point(to *apiextensionsv1.CustomResourceDefinitionVersion) {
	if to.Schema != nil {
		v.props.Store(to.Schema.OpenAPIV3Schema)
	}
}

// compiled returns the schema; nil when there is none or it is no good.
func (v *version) compiled() *structural.Structural {
	v.compile.Do(func() {
		props := v.props.Load()
		if props == nil {
			return
		}
		v.schema, v.err = toStructural(props)
		if v.err == nil {
			v.checker = newChecker(v.schema)
		}
	})
	return v.schema
}

func toStructural(props *apiextensionsv1.JSONSchemaProps) (*structural.Structural, error) {
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil); err != nil {
		return nil, err
	}
	return structural.NewStructural(&internal)
}

// newChecker makes kube-openapi's validator for a schema.
func newChecker(s *structural.Structural) *validate.SchemaValidator {
	o := s.ToKubeOpenAPI()
	typeIntOrString(o)
	return validate.NewSchemaValidator(o, nil, "", strfmt.Default)
}

// typeIntOrString gives schemas marked x-kubernetes-int-or-string the types
// that the mark means, as the validator looks at types only.
func typeIntOrString(s *spec.Schema) {
	if s == nil {
		return
	}
	if mark, _ := s.Extensions.GetBool("x-kubernetes-int-or-string"); mark {
		s.Type = spec.StringOrArray{"integer", "string"}
	}
	if s.Items != nil {
		typeIntOrString(s.Items.Schema)
	}
	if s.AdditionalProperties != nil {
		typeIntOrString(s.AdditionalProperties.Schema)
	}
	for name, p := range s.Properties {
		typeIntOrString(&p)
		s.Properties[name] = p
	}
}

// prune removes what the schema does not know and returns the paths of that.
func (v *version) prune(o *unstructured.Unstructured) []string {
	s := v.compiled()
	if v.preserveAll || v.err != nil {
		return nil
	}
	unknown := pruning.PruneWithOptions(o.Object, s, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	// Metadata of embedded objects is not in the schema; what is malformed
	// there stays, for validate to report.
	_, more := objectmeta.CoerceWithOptions(nil, o.Object, s, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	return append(unknown, more...)
}

// schemaless tells whether objects may hold anything.
func (v *version) schemaless() bool { return v.props.Load() == nil || v.preserveAll }

// defaults fills in what is missing.
func (v *version) defaults(content map[string]any) {
	if s := v.compiled(); s != nil {
		applyDefaults(content, s)
	}
}

// applyDefaults sets the schema's defaults below x. A null where the schema
// allows none counts as missing: it gets the default, or goes.
func applyDefaults(x any, s *structural.Structural) {
	if s == nil {
		return
	}
	switch x := x.(type) {
	case map[string]any:
		for name, p := range s.Properties {
			old, found := x[name]
			missing := !found || old == nil && !p.Nullable
			switch {
			case missing && p.Default.Object != nil:
				x[name] = runtime.DeepCopyJSONValue(p.Default.Object)
			case missing:
				delete(x, name)
			}
		}
		for name, value := range x {
			if p, ok := s.Properties[name]; ok {
				applyDefaults(value, &p)
			} else if s.AdditionalProperties != nil && s.AdditionalProperties.Structural != nil {
				more := s.AdditionalProperties.Structural
				if value == nil && !more.Nullable && more.Default.Object != nil {
					value = runtime.DeepCopyJSONValue(more.Default.Object)
					x[name] = value
				}
				applyDefaults(value, more)
			}
		}
	case []any:
		for i := range x {
			if x[i] == nil && s.Items != nil && !s.Items.Nullable && s.Items.Default.Object != nil {
				x[i] = runtime.DeepCopyJSONValue(s.Items.Default.Object)
			}
			applyDefaults(x[i], s.Items)
		}
	}
}

// validate checks an object against the schema.
func (v *version) validate(content map[string]any) field.ErrorList {
	s := v.compiled()
	if v.err != nil {
		return field.ErrorList{field.InternalError(nil, fmt.Errorf("the schema of %s: %w", v.gvk, v.err))}
	}
	if s == nil {
		return nil
	}
	errs := fieldErrors(nil, v.checker.Validate(content))
	errs = append(errs, objectmeta.Validate(nil, content, s, false)...)
	return append(errs, listtype.ValidateListSetsAndMaps(nil, s, content)...)
}

// hasRules tells whether a schema has CEL rules anywhere.
func hasRules(p *apiextensionsv1.JSONSchemaProps) bool {
	if p == nil {
		return false
	}
	if len(p.XValidations) > 0 {
		return true
	}
	for _, sub := range p.Properties {
		if hasRules(&sub) {
			return true
		}
	}
	return p.Items != nil && hasRules(p.Items.Schema) ||
		p.AdditionalProperties != nil && hasRules(p.AdditionalProperties.Schema) ||
		slices.ContainsFunc(p.AllOf, func(s apiextensionsv1.JSONSchemaProps) bool { return hasRules(&s) })
}
