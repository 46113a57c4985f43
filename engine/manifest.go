package engine

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/plain"
)

// installOrder is the order of kinds in which Helm installs; other kinds follow,
// alphabetically.
var installOrder = rank(`
	PriorityClass Namespace NetworkPolicy ResourceQuota LimitRange PodSecurityPolicy
	PodDisruptionBudget ServiceAccount Secret SecretList ConfigMap StorageClass
	PersistentVolume PersistentVolumeClaim CustomResourceDefinition ClusterRole
	ClusterRoleList ClusterRoleBinding ClusterRoleBindingList Role RoleList RoleBinding
	RoleBindingList Service DaemonSet Pod ReplicationController ReplicaSet Deployment
	HorizontalPodAutoscaler StatefulSet Job CronJob IngressClass Ingress APIService`)

// uninstallOrder is Helm's order of removal, nearly but not quite the reverse.
var uninstallOrder = rank(`
	APIService Ingress IngressClass Service CronJob Job StatefulSet
	HorizontalPodAutoscaler Deployment ReplicaSet ReplicationController Pod DaemonSet
	RoleBindingList RoleBinding RoleList Role ClusterRoleBindingList ClusterRoleBinding
	ClusterRoleList ClusterRole CustomResourceDefinition PersistentVolumeClaim
	PersistentVolume StorageClass ConfigMap SecretList Secret ServiceAccount
	PodDisruptionBudget PodSecurityPolicy LimitRange ResourceQuota NetworkPolicy
	Namespace PriorityClass`)

// rank counts kinds, when it is first called: few programs need both orders.
func rank(kinds string) func() map[string]int {
	return sync.OnceValue(func() map[string]int {
		m := map[string]int{}
		for kind := range strings.FieldsSeq(kinds) {
			m[kind] = len(m)
		}
		return m
	})
}

// InstallsBefore reports whether kind a comes before kind b when installing.
func InstallsBefore(a, b string) bool { return kindLess(installOrder(), a, b) }

// UninstallsBefore reports whether kind a comes before kind b when removing.
func UninstallsBefore(a, b string) bool { return kindLess(uninstallOrder(), a, b) }

func kindLess(order map[string]int, a, b string) bool {
	ia, oka := order[a]
	ib, okb := order[b]
	switch {
	case oka && okb:
		return ia < ib
	case oka != okb:
		return oka
	}
	return a < b
}

// head is the part of a document that decides its place.
type head struct {
	Version  string        `json:"apiVersion"`
	Kind     string        `json:"kind,omitempty"`
	Metadata *headMetadata `json:"metadata,omitempty"`
}

// headMetadata has no name of its own, since messages would show it.
type headMetadata = struct {
	Name        string            `json:"name"`
	Annotations map[string]string `json:"annotations"`
}

// readHead reads a document. Nearly all are plain YAML with texts where texts belong:
// those are checked in one scan. Anything else takes Helm's way through JSON, which
// also words the errors.
func readHead(doc string) (head, error) {
	if h, ok := plainHead(doc); ok {
		return h, nil
	}
	var h head
	err := yaml.Unmarshal([]byte(doc), &h)
	return h, err
}

// plainHead reads the head of a plain document.
func plainHead(doc string) (head, bool) {
	top, ok := plain.Head(doc, "apiVersion", "kind", "metadata", "name", "annotations")
	if !ok {
		return head{}, false
	}
	version, okVersion := top["apiVersion"].(string)
	kind, okKind := top["kind"].(string)
	metadata, okMetadata := top["metadata"].(map[string]any)
	if !okVersion || !okKind || !okMetadata {
		return head{}, false
	}
	name, okName := metadata["name"].(string)
	annotations, okAnnotations := metadata["annotations"].(map[string]any)
	if !okName || !okAnnotations && metadata["annotations"] != nil {
		return head{}, false
	}
	h := head{Version: version, Kind: kind}
	h.Metadata = &headMetadata{Name: name, Annotations: make(map[string]string, len(annotations))}
	for key, v := range annotations {
		if h.Metadata.Annotations[key], ok = v.(string); !ok {
			return head{}, false
		}
	}
	return h, true
}

// SplitManifests cuts a stream of YAML documents into trimmed documents. It goes by
// the separator alone, as Helm does, so that a block of text with a line of dashes
// is cut too.
func SplitManifests(stream string) []string {
	var docs []string
	for _, doc := range split(strings.TrimSpace(stream)) {
		if doc != "" {
			docs = append(docs, strings.TrimSpace(doc))
		}
	}
	return docs
}

// split cuts s where Helm's expression (?:^|\s*\n)---\s* matches: at three dashes
// that begin a line, with the white space around them. White space behind one
// separator is not there for the next: of two in a row the second is text.
func split(s string) []string {
	var docs []string
	begin, from := 0, 0 // of the current document; of the search
	for {
		i := strings.Index(s[from:], "---")
		if i < 0 {
			return append(docs, s[begin:])
		}
		i += from
		if i > 0 && (i == begin || s[i-1] != '\n') {
			from = i + 1
			continue
		}
		end := i
		for end > begin && isSpace(s[end-1]) {
			end--
		}
		docs = append(docs, s[begin:end])
		begin = i + 3
		for begin < len(s) && isSpace(s[begin]) {
			begin++
		}
		from = begin
	}
}

// isSpace is \s of regular expressions.
func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f'
}

// sortFiles turns the documents of rendered files into hooks and manifests in Helm's
// order: by path, then stably by kind.
func sortFiles(files map[string][]document, warn chart.Warn) ([]Hook, []Manifest, error) {
	var hooks []Hook
	var manifests []Manifest
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, document := range files[name] {
			doc, h := document.text, document.head
			if document.err != nil {
				return nil, nil, yamlError(name, doc, document.err)
			}
			if h.Metadata == nil || h.Metadata.Annotations[annotationHook] == "" && !hasKey(h.Metadata.Annotations, annotationHook) {
				manifests = append(manifests, Manifest{Name: name, Content: doc, Kind: h.Kind, APIVersion: h.Version})
				continue
			}
			hook, ok := newHook(name, doc, h)
			if !ok {
				if warn != nil {
					warn("info: skipping unknown hook: %q", h.Metadata.Annotations[annotationHook])
				}
				continue
			}
			hooks = append(hooks, hook)
		}
	}
	sort.SliceStable(hooks, func(i, j int) bool { return InstallsBefore(hooks[i].Kind, hooks[j].Kind) })
	sort.SliceStable(manifests, func(i, j int) bool { return InstallsBefore(manifests[i].Kind, manifests[j].Kind) })
	return hooks, manifests, nil
}

func hasKey(m map[string]string, key string) bool {
	_, ok := m[key]
	return ok
}

// yamlError words a document that is not YAML as Helm does, which names its own
// type in some of its messages.
func yamlError(name, doc string, err error) error {
	text := strings.ReplaceAll(err.Error(), "engine.head", "releaseutil.SimpleHead")
	e := &TemplateError{Message: fmt.Sprintf("YAML parse error on %s: %s", name, text), File: name}
	if m := yamlLine().FindStringSubmatch(text); m != nil {
		e.setRenderedLine(doc, m[1])
	}
	return e
}

var yamlLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`line (\d+)`) })

func (e *TemplateError) setRenderedLine(doc, line string) {
	n, err := strconv.Atoi(line)
	lines := strings.Split(doc, "\n")
	if err != nil || n < 1 || n > len(lines) {
		return
	}
	e.Rendered = true
	e.Line, e.SourceLine = n, lines[n-1]
}
