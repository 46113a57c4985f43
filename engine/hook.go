package engine

import (
	"strconv"
	"strings"
)

// Annotations that make a manifest a hook.
const (
	annotationHook       = "helm.sh/hook"
	annotationWeight     = "helm.sh/hook-weight"
	annotationDelete     = "helm.sh/hook-delete-policy"
	annotationOutputLogs = "helm.sh/hook-output-log-policy"
)

// Hook is a manifest that runs at certain points of a release's life instead of
// being part of it. The JSON is that of Helm's releases.
type Hook struct {
	Name              string   `json:"name,omitempty"`
	Kind              string   `json:"kind,omitempty"`
	Path              string   `json:"path,omitempty"`
	Manifest          string   `json:"manifest,omitempty"`
	Events            []string `json:"events,omitempty"`
	Weight            int      `json:"weight,omitempty"`
	DeletePolicies    []string `json:"delete_policies,omitempty"`
	OutputLogPolicies []string `json:"output_log_policies,omitempty"`
}

// Hook events.
const (
	HookPreInstall   = "pre-install"
	HookPostInstall  = "post-install"
	HookPreDelete    = "pre-delete"
	HookPostDelete   = "post-delete"
	HookPreUpgrade   = "pre-upgrade"
	HookPostUpgrade  = "post-upgrade"
	HookPreRollback  = "pre-rollback"
	HookPostRollback = "post-rollback"
	HookTest         = "test"
)

// IsTest reports whether `pkg test` runs the hook.
func (h Hook) IsTest() bool {
	for _, e := range h.Events {
		if e == HookTest {
			return true
		}
	}
	return false
}

// String is the hook as `pkg template` prints it.
func (h Hook) String() string {
	return "---\n# Source: " + h.Path + "\n" + h.Manifest + "\n"
}

// newHook reads a hook's annotations; false when one of its events does not exist,
// which in Helm drops the manifest.
func newHook(path, doc string, h head) (Hook, bool) {
	notes := h.Metadata.Annotations
	hook := Hook{Name: h.Metadata.Name, Kind: h.Kind, Path: path, Manifest: doc}
	for _, event := range listOf(notes[annotationHook]) {
		switch event {
		case HookPreInstall, HookPostInstall, HookPreDelete, HookPostDelete, HookPreUpgrade,
			HookPostUpgrade, HookPreRollback, HookPostRollback, HookTest:
		case "test-success": // Helm 2
			event = HookTest
		default:
			return Hook{}, false
		}
		hook.Events = append(hook.Events, event)
	}
	if weight, err := strconv.Atoi(notes[annotationWeight]); err == nil {
		hook.Weight = weight
	}
	if policies, ok := notes[annotationDelete]; ok {
		hook.DeletePolicies = listOf(policies)
	}
	if policies, ok := notes[annotationOutputLogs]; ok {
		hook.OutputLogPolicies = listOf(policies)
	}
	return hook, true
}

func listOf(s string) []string {
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.ToLower(strings.TrimSpace(list[i]))
	}
	return list
}
