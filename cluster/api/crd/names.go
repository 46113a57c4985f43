package crd

import (
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// accept computes d's status: which of the names it asks for are free, and
// whether it is established. group holds all definitions of its group.
func (l *Loop) accept(d *apiextensionsv1.CustomResourceDefinition, group []*apiextensionsv1.CustomResourceDefinition) {
	resources, kinds := l.taken(d, group)
	have, want := &d.Status.AcceptedNames, &d.Spec.Names
	condition := apiextensionsv1.CustomResourceDefinitionCondition{Type: apiextensionsv1.NamesAccepted,
		Status: apiextensionsv1.ConditionTrue, Reason: "NoConflicts", Message: "no conflicts found"}
	check := func(used map[string]bool, name, accepted, reason string) bool {
		if name == accepted || !used[name] {
			return true
		}
		condition.Status, condition.Reason = apiextensionsv1.ConditionFalse, reason
		condition.Message = fmt.Sprintf("%q is already in use", name)
		return false
	}
	if check(resources, want.Plural, have.Plural, "PluralConflict") {
		have.Plural = want.Plural
	}
	if check(resources, want.Singular, have.Singular, "SingularConflict") {
		have.Singular = want.Singular
	}
	var short []string
	for _, s := range want.ShortNames {
		accepted := ""
		if slices.Contains(have.ShortNames, s) {
			accepted = s
		}
		if check(resources, s, accepted, "ShortNamesConflict") {
			short = append(short, s)
		}
	}
	have.ShortNames = short
	if check(kinds, want.Kind, have.Kind, "KindConflict") {
		have.Kind = want.Kind
	}
	if check(kinds, want.ListKind, have.ListKind, "ListKindConflict") {
		have.ListKind = want.ListKind
	}
	have.Categories = want.Categories
	l.setCondition(d, condition)

	established := apiextensionsv1.CustomResourceDefinitionCondition{Type: apiextensionsv1.Established,
		Status: apiextensionsv1.ConditionFalse, Reason: "NotAccepted", Message: "not all names are accepted"}
	if condition.Status == apiextensionsv1.ConditionTrue || isTrue(d, apiextensionsv1.Established) {
		established.Status, established.Reason = apiextensionsv1.ConditionTrue, "InitialNamesAccepted"
		established.Message = "the initial names have been accepted"
	}
	l.setCondition(d, established)
	if storage := storageVersion(d); !slices.Contains(d.Status.StoredVersions, storage) {
		d.Status.StoredVersions = append(d.Status.StoredVersions, storage)
	}
}

// taken lists the names that others of the group have: built-in kinds, and
// definitions whose names are accepted.
func (l *Loop) taken(d *apiextensionsv1.CustomResourceDefinition, group []*apiextensionsv1.CustomResourceDefinition) (resources, kinds map[string]bool) {
	resources, kinds = map[string]bool{}, map[string]bool{}
	custom := map[string]bool{}
	for _, other := range group {
		custom[other.Spec.Names.Plural] = true
		if other.Name == d.Name {
			continue
		}
		n := other.Status.AcceptedNames
		for _, s := range append([]string{n.Plural, n.Singular}, n.ShortNames...) {
			resources[s] = s != ""
		}
		kinds[n.Kind], kinds[n.ListKind] = n.Kind != "", n.ListKind != ""
	}
	for _, k := range l.c.Kinds.All() {
		if k.GVK.Group != d.Spec.Group || custom[k.Plural] && l.registered(k.Resource()) {
			continue
		}
		for _, s := range append([]string{k.Plural, k.Singular}, k.ShortNames...) {
			resources[s] = true
		}
		kinds[k.GVK.Kind], kinds[k.GVK.Kind+"List"] = true, true
	}
	return resources, kinds
}

// setCondition sets a condition; the time changes with the status only.
func (l *Loop) setCondition(d *apiextensionsv1.CustomResourceDefinition, c apiextensionsv1.CustomResourceDefinitionCondition) {
	c.LastTransitionTime = metav1.NewTime(l.c.Now())
	for i := range d.Status.Conditions {
		old := &d.Status.Conditions[i]
		if old.Type != c.Type {
			continue
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		*old = c
		return
	}
	d.Status.Conditions = append(d.Status.Conditions, c)
}

func isTrue(d *apiextensionsv1.CustomResourceDefinition, t apiextensionsv1.CustomResourceDefinitionConditionType) bool {
	return slices.ContainsFunc(d.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return c.Type == t && c.Status == apiextensionsv1.ConditionTrue
	})
}

// storageVersion is the version in which objects are stored.
func storageVersion(d *apiextensionsv1.CustomResourceDefinition) string {
	for i := range d.Spec.Versions {
		if d.Spec.Versions[i].Storage {
			return d.Spec.Versions[i].Name
		}
	}
	return ""
}

// singular is the singular name, which may be left out.
func singular(n apiextensionsv1.CustomResourceDefinitionNames) string {
	if n.Singular != "" {
		return n.Singular
	}
	return strings.ToLower(n.Kind)
}
