package validate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func affinity(p *field.Path, a *corev1.Affinity) errors {
	if a == nil {
		return nil
	}
	var errs errors
	if n := a.NodeAffinity; n != nil {
		at := p.Child("nodeAffinity")
		if r := n.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			errs = append(errs, nodeSelector(at.Child("requiredDuringSchedulingIgnoredDuringExecution"), r)...)
		}
		for i, t := range n.PreferredDuringSchedulingIgnoredDuringExecution {
			term := at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
			errs = append(errs, weight(term.Child("weight"), t.Weight)...)
			errs = append(errs, nodeSelectorTerm(term.Child("preference"), t.Preference)...)
		}
	}
	if f := a.PodAffinity; f != nil {
		errs = append(errs, podTerms(p.Child("podAffinity"), f.RequiredDuringSchedulingIgnoredDuringExecution,
			f.PreferredDuringSchedulingIgnoredDuringExecution)...)
	}
	if f := a.PodAntiAffinity; f != nil {
		errs = append(errs, podTerms(p.Child("podAntiAffinity"), f.RequiredDuringSchedulingIgnoredDuringExecution,
			f.PreferredDuringSchedulingIgnoredDuringExecution)...)
	}
	return errs
}

func weight(p *field.Path, w int32) errors {
	if w <= 0 || w > 100 {
		return errors{field.Invalid(p, w, "must be in the range 1-100")}
	}
	return nil
}

func nodeSelector(p *field.Path, s *corev1.NodeSelector) errors {
	if len(s.NodeSelectorTerms) == 0 {
		return errors{field.Required(p.Child("nodeSelectorTerms"), "must have at least one node selector term")}
	}
	var errs errors
	for i, t := range s.NodeSelectorTerms {
		errs = append(errs, nodeSelectorTerm(p.Child("nodeSelectorTerms").Index(i), t)...)
	}
	return errs
}

func nodeSelectorTerm(p *field.Path, t corev1.NodeSelectorTerm) errors {
	var errs errors
	for i, r := range t.MatchExpressions {
		at := p.Child("matchExpressions").Index(i)
		errs = append(errs, nodeRequirement(at, r)...)
		errs = append(errs, metavalidation.ValidateLabelName(r.Key, at.Child("key"))...)
	}
	for i, r := range t.MatchFields {
		at := p.Child("matchFields").Index(i)
		if r.Key != "metadata.name" {
			errs = append(errs, field.Invalid(at.Child("key"), r.Key, "not a valid field selector key"))
		}
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(at.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
		}
	}
	return errs
}

func nodeRequirement(p *field.Path, r corev1.NodeSelectorRequirement) errors {
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			return errors{field.Required(p.Child("values"), "must be specified when `operator` is 'In' or 'NotIn'")}
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			return errors{field.Forbidden(p.Child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")}
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			return errors{field.Required(p.Child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'")}
		}
	default:
		return errors{field.Invalid(p.Child("operator"), r.Operator, "not a valid selector operator")}
	}
	return nil
}

func podTerms(p *field.Path, hard []corev1.PodAffinityTerm, soft []corev1.WeightedPodAffinityTerm) errors {
	var errs errors
	for i, t := range hard {
		errs = append(errs, podTerm(p.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i), t)...)
	}
	for i, t := range soft {
		at := p.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
		errs = append(errs, weight(at.Child("weight"), t.Weight)...)
		errs = append(errs, podTerm(at.Child("podAffinityTerm"), t.PodAffinityTerm)...)
	}
	return errs
}

func podTerm(p *field.Path, t corev1.PodAffinityTerm) errors {
	errs := labelSelector(p.Child("labelSelector"), t.LabelSelector)
	errs = append(errs, labelSelector(p.Child("namespaceSelector"), t.NamespaceSelector)...)
	for _, ns := range t.Namespaces {
		errs = append(errs, dnsLabel(p.Child("namespace"), ns)...)
	}
	return append(errs, topologyKey(p.Child("topologyKey"), t.TopologyKey)...)
}

func topologyKey(p *field.Path, key string) errors {
	if key == "" {
		return errors{field.Required(p, "can not be empty")}
	}
	return metavalidation.ValidateLabelName(key, p)
}

func tolerations(p *field.Path, list []corev1.Toleration) errors {
	var errs errors
	for i, t := range list {
		at := p.Index(i)
		if t.Key != "" {
			errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(at.Child("operator"), t.Operator,
				"operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(at.Child("effect"), t.Effect,
				"effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
		switch t.Operator {
		case corev1.TolerationOpEqual, "":
			errs = append(errs, each(at.Child("operator"), t.Value, validation.IsValidLabelValue(t.Value))...)
		case corev1.TolerationOpExists:
			if t.Value != "" {
				errs = append(errs, field.Invalid(at.Child("operator"), t, "value must be empty when `operator` is 'Exists'"))
			}
		default:
			errs = append(errs, oneOfOrEmpty(at.Child("operator"), t.Operator, corev1.TolerationOpEqual, corev1.TolerationOpExists)...)
		}
		errs = append(errs, oneOfOrEmpty(at.Child("effect"), t.Effect,
			corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)...)
	}
	return errs
}

func spread(p *field.Path, list []corev1.TopologySpreadConstraint) errors {
	var errs errors
	seen := map[string]bool{}
	for i, c := range list {
		at := p.Index(i)
		if c.MaxSkew <= 0 {
			errs = append(errs, field.Invalid(at.Child("maxSkew"), c.MaxSkew, notPositive))
		}
		errs = append(errs, topologyKey(at.Child("topologyKey"), c.TopologyKey)...)
		errs = append(errs, oneOf(at.Child("whenUnsatisfiable"), c.WhenUnsatisfiable,
			corev1.DoNotSchedule, corev1.ScheduleAnyway)...)
		key := fmt.Sprintf("{%s, %s}", c.TopologyKey, c.WhenUnsatisfiable)
		if seen[key] {
			errs = append(errs, field.Duplicate(at.Child("{topologyKey, whenUnsatisfiable}"), key))
		}
		seen[key] = true
		if c.MinDomains != nil && *c.MinDomains <= 0 {
			errs = append(errs, field.Invalid(at.Child("minDomains"), *c.MinDomains, notPositive))
		}
		errs = append(errs, labelSelector(at.Child("labelSelector"), c.LabelSelector)...)
	}
	return errs
}
