package store_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

var configMaps = object.Resource{Resource: "configmaps"}

// codec stores every resource as ConfigMaps in JSON. It refuses to encode
// objects with the data "unencodable".
type codec struct{}

func (codec) Encode(_ object.Resource, o object.Object) ([]byte, error) {
	if cm, ok := o.(*corev1.ConfigMap); ok && cm.Data["unencodable"] != "" {
		return nil, errors.New("unencodable")
	}
	return json.Marshal(o)
}

func (codec) Decode(_ object.Resource, data []byte) (object.Object, error) {
	var cm corev1.ConfigMap
	return &cm, json.Unmarshal(data, &cm)
}

func configMap(namespace, name string, size int) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       map[string]string{"v": strings.Repeat("x", size)},
	}
}

func create(namespace, name string, size int) store.Write {
	return store.Write{Verb: store.Create, Resource: configMaps, Key: object.Key{Namespace: namespace, Name: name},
		Object: configMap(namespace, name, size)}
}

func openAt(t testing.TB, path string) *store.DB {
	t.Helper()
	db, err := store.Open(path, store.Options{Codec: codec{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
