package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
)

// memory keeps objects for these tests, which need no more than to read and
// write them: it has no defaults, validation, versions or watches.
type memory struct {
	object.Verbs // nil: the other verbs are not used

	mu     sync.Mutex
	all    map[object.Resource]map[object.Key]object.Object
	writes int
}

func newMemory(t *testing.T, objects map[object.Resource][]object.Object) *memory {
	t.Helper()
	m := &memory{all: map[object.Resource]map[object.Key]object.Object{}}
	for r, list := range objects {
		for _, o := range list {
			m.put(r, o)
		}
	}
	return m
}

func (m *memory) put(r object.Resource, o object.Object) {
	if m.all[r] == nil {
		m.all[r] = map[object.Key]object.Object{}
	}
	if o.GetUID() == "" {
		o.SetUID(types.UID(fmt.Sprintf("uid-%s-%s", r.Resource, o.GetName())))
	}
	m.all[r][object.KeyOf(o)] = o
}

func (m *memory) Get(_ context.Context, r object.Resource, k object.Key) (object.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.all[r][k]; ok {
		return o, nil
	}
	return nil, apierrors.NewNotFound(r, k.Name)
}

func (m *memory) List(_ context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &object.List{}
	for k, item := range m.all[r] {
		if o.Namespace == "" || o.Namespace == k.Namespace {
			l.Items = append(l.Items, item)
		}
	}
	slices.SortFunc(l.Items, func(a, b object.Object) int {
		return strings.Compare(object.KeyOf(a).String(), object.KeyOf(b).String())
	})
	return l, nil
}

func (m *memory) Create(_ context.Context, r object.Resource, o object.Object, _ object.WriteOptions) (object.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.all[r][object.KeyOf(o)]; ok {
		return nil, apierrors.NewAlreadyExists(r, o.GetName())
	}
	m.put(r, o)
	m.writes++
	return o, nil
}

func (m *memory) Update(_ context.Context, r object.Resource, o object.Object, _ object.WriteOptions) (object.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.all[r][object.KeyOf(o)]; !ok {
		return nil, apierrors.NewNotFound(r, o.GetName())
	}
	m.put(r, o)
	m.writes++
	return o, nil
}

func (m *memory) drop(r object.Resource, k object.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all[r], k)
}
