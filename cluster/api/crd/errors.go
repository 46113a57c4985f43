package crd

import (
	"encoding/json"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	openapierrors "k8s.io/kube-openapi/pkg/validation/errors"
	"k8s.io/kube-openapi/pkg/validation/validate"
)

// fieldErrors turns the validator's result into the API's field errors, of
// which each kind of failure has its own.
func fieldErrors(path *field.Path, r *validate.Result) field.ErrorList {
	var errs field.ErrorList
	for _, err := range r.Errors {
		v, ok := err.(*openapierrors.Validation)
		if !ok {
			errs = append(errs, field.Invalid(path, "", err.Error()))
			continue
		}
		at := path
		if name := strings.TrimPrefix(v.Name, "."); name != "" {
			at = at.Child(name)
		}
		errs = append(errs, fieldError(at, v))
	}
	return errs
}

func fieldError(at *field.Path, v *openapierrors.Validation) *field.Error {
	value := v.Value
	if value == nil {
		value = ""
	}
	switch v.Code() {
	case openapierrors.RequiredFailCode:
		return field.Required(at, "")
	case openapierrors.EnumFailCode:
		return field.NotSupported(at, v.Value, enumValues(v.Values))
	case openapierrors.TooLongFailCode:
		return field.TooLong(at, "", count(v.Valid))
	case openapierrors.MaxItemsFailCode, openapierrors.TooManyPropertiesCode:
		return field.TooMany(at, count(v.Value), count(v.Valid))
	case openapierrors.InvalidTypeCode:
		return field.TypeInvalid(at, value, v.Error())
	}
	return field.Invalid(at, value, v.Error())
}

// count is a length in an error, or -1 when the error has none.
func count(v any) int {
	if n, ok := v.(int64); ok {
		return int(n)
	}
	return -1
}

func enumValues(values []any) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		if s, ok := v.(string); ok {
			out = append(out, s)
			continue
		}
		text, err := json.Marshal(v)
		if err == nil {
			out = append(out, string(text))
		}
	}
	return out
}
