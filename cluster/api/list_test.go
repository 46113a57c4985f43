package api_test

import (
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// fill makes n ConfigMaps c-000, c-001 ...
func fill(t *testing.T, cs kubernetes.Interface, n, size int) {
	t.Helper()
	for i := range n {
		cm := configMap(fmt.Sprintf("c-%03d", i), map[string]string{"text": strings.Repeat("x", size)})
		cm.Labels = map[string]string{"odd": fmt.Sprint(i%2 == 1)}
		if _, err := cs.CoreV1().ConfigMaps("default").Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPages reads a list in pages while it changes: the pages show one moment.
func TestPages(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	fill(t, cs, 10, 1)
	cms := cs.CoreV1().ConfigMaps("default")
	l, err := cms.List(t.Context(), metav1.ListOptions{Limit: 4})
	if err != nil || len(l.Items) != 4 || l.RemainingItemCount == nil || *l.RemainingItemCount != 6 {
		t.Fatalf("first page: %d items, remaining %v, %v", len(l.Items), l.RemainingItemCount, err)
	}
	if err := cms.Delete(t.Context(), "c-005", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	rv, names := l.ResourceVersion, []string{}
	for l.Continue != "" {
		if l, err = cms.List(t.Context(), metav1.ListOptions{Limit: 4, Continue: l.Continue}); err != nil {
			t.Fatal(err)
		}
		if l.ResourceVersion != rv {
			t.Errorf("a page of revision %s in a list of %s", l.ResourceVersion, rv)
		}
		for _, c := range l.Items {
			names = append(names, c.Name)
		}
	}
	if got := strings.Join(names, " "); got != "c-004 c-005 c-006 c-007 c-008 c-009" {
		t.Errorf("the other pages: %s", got)
	}
	exact, err := cms.List(t.Context(), metav1.ListOptions{ResourceVersion: rv, ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	if err != nil || len(exact.Items) != 10 {
		t.Errorf("the list at the kept revision: %d items, %v", len(exact.Items), err)
	}
	// A token of a list that nobody remembers, as after a restart.
	_, err = cms.List(t.Context(), metav1.ListOptions{Continue: "eyJydiI6MywibnMiOiJkZWZhdWx0IiwibmFtZSI6ImMtMDA3In0"})
	if !apierrors.IsResourceExpired(err) {
		t.Fatalf("expired token: %v", err)
	}
	token := err.(apierrors.APIStatus).Status().ListMeta.Continue
	if rest, err := cms.List(t.Context(), metav1.ListOptions{Continue: token}); err != nil || len(rest.Items) != 2 {
		t.Errorf("inconsistent continuation: %+v, %v", rest, err)
	}
	if _, err := cms.List(t.Context(), metav1.ListOptions{Continue: "nonsense"}); !apierrors.IsBadRequest(err) {
		t.Errorf("bad token: %v", err)
	}
}

func TestSelectors(t *testing.T) {
	t.Parallel()
	cs := start(t, nil).client(t)
	fill(t, cs, 5, 1)
	cms := cs.CoreV1().ConfigMaps("default")
	for selector, want := range map[string]int{"odd=true": 2, "odd!=true": 3, "odd in (true,false)": 5, "!odd": 0} {
		if l, err := cms.List(t.Context(), metav1.ListOptions{LabelSelector: selector}); err != nil || len(l.Items) != want {
			t.Errorf("%s: %d items, want %d, %v", selector, len(l.Items), want, err)
		}
	}
	if l, err := cms.List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=c-003"}); err != nil || len(l.Items) != 1 {
		t.Errorf("by name: %v", err)
	}
	if l, err := cs.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.namespace!=default"}); err != nil || len(l.Items) != 0 {
		t.Errorf("by namespace: %v", err)
	}
	_, err := cms.List(t.Context(), metav1.ListOptions{FieldSelector: "data.text=x"})
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), "field label not supported: data.text") {
		t.Errorf("unsupported field: %v", err)
	}
	if _, err := cms.List(t.Context(), metav1.ListOptions{LabelSelector: "a==="}); !apierrors.IsBadRequest(err) {
		t.Errorf("bad selector: %v", err)
	}
}

// fetch does one raw request.
func (c *cluster) fetch(t *testing.T, method, path, body string, header ...string) (*http.Response, []byte) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableCompression: true, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, data
}

func TestFormats(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	cs := c.client(t)
	fill(t, cs, 200, 2000)
	const path = "/api/v1/namespaces/default/configmaps"

	resp, data := c.fetch(t, "GET", path, "", "Accept", "application/json", "Accept-Encoding", "gzip")
	if resp.Header.Get("Content-Encoding") != "gzip" || len(data) > 200000 {
		t.Errorf("a long list is not compressed: %d bytes", len(data))
	}
	z, err := gzip.NewReader(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	var l corev1.ConfigMapList
	if err := json.NewDecoder(z).Decode(&l); err != nil || len(l.Items) != 200 || l.Kind != "ConfigMapList" || l.ResourceVersion == "" {
		t.Errorf("list: %d items, kind %s, %v", len(l.Items), l.Kind, err)
	}
	resp, data = c.fetch(t, "GET", path+"?limit=2", "", "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
	var table metav1.Table
	if err := json.Unmarshal(data, &table); err != nil || table.Kind != "Table" || len(table.Rows) != 2 || table.Continue == "" ||
		table.ColumnDefinitions[1].Name != "Data" || !strings.Contains(string(table.Rows[0].Object.Raw), `"kind":"PartialObjectMetadata"`) {
		t.Errorf("table %s, %v", data, err)
	}
	if resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("content type %s", resp.Header.Get("Content-Type"))
	}
	_, data = c.fetch(t, "GET", path+"/c-000", "", "Accept", "application/yaml")
	if !strings.HasPrefix(string(data), "apiVersion: v1\ndata:\n") {
		t.Errorf("yaml: %s", data)
	}
	resp, data = c.fetch(t, "GET", path+"/c-000", "", "Accept", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
	if resp.StatusCode != 200 || string(data[:4]) != "k8s\x00" {
		t.Errorf("protobuf metadata: %d %q", resp.StatusCode, data)
	}
	for _, c2 := range []struct {
		method, path, body, contentType, accept string
		code                                    int
		message                                 string
	}{
		{"POST", path, "x", "application/cbor", "", 415, "the body of the request was in an unknown format"},
		{"PATCH", path + "/c-000", "{}", "application/cbor", "", 415, "accepted media types include: application/json-patch+json"},
		{"GET", path, "", "", "application/cbor", 406, "only the following media types are accepted"},
		{"POST", path, "{", "application/json", "", 400, `ConfigMap in version "v1" cannot be handled as a ConfigMap`},
		{"POST", path, `{"kind":"Pod","apiVersion":"v1"}`, "application/json", "", 400, "must be of type ConfigMap"},
		{"POST", path, `{"kind":"ConfigMap","apiVersion":"v2"}`, "application/json", "", 400, "the API version in the data (v2) does not match the expected API version (v1)"},
		{"POST", path, `{"metadata":{"name":"a","namespace":"b"}}`, "application/json", "", 400, "does not match the namespace sent on the request"},
		{"PUT", path + "/x", `{"metadata":{"name":"y"}}`, "application/json", "", 400, "the name of the object (y) does not match the name on the URL (x)"},
		{"POST", path, `{"data":{"x":"` + strings.Repeat("x", 4<<20) + `"}}`, "application/json", "", 413, "limit is 3145728"},
		{"GET", "/api/v1/nonsense", "", "", "", 404, "could not find the requested resource"},
		{"GET", "/nonsense", "", "", "", 404, "could not find the requested resource"},
	} {
		resp, data := c.fetch(t, c2.method, c2.path, c2.body, "Content-Type", c2.contentType, "Accept", c2.accept)
		var st metav1.Status
		if err := json.Unmarshal(data, &st); err != nil || resp.StatusCode != c2.code || st.Kind != "Status" || !strings.Contains(st.Message, c2.message) {
			t.Errorf("%s %s: %d %s, want %d %q", c2.method, c2.path, resp.StatusCode, data, c2.code, c2.message)
		}
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
	for _, path := range []string{"/api", "/apis"} {
		resp, data := c.fetch(t, "GET", path, "", "Accept", accept)
		if got := resp.Header.Get("Content-Type"); got != "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" {
			t.Errorf("%s: content type %q", path, got)
		}
		if !strings.Contains(string(data), `"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2"`) || resp.Header.Get("Vary") != "Accept" {
			t.Errorf("%s: %.200s", path, data)
		}
		tag := resp.Header.Get("ETag")
		if resp, _ = c.fetch(t, "GET", path, "", "Accept", accept, "If-None-Match", tag); !strings.HasPrefix(tag, `"`) || resp.StatusCode != 304 {
			t.Errorf("%s: with ETag %s: %d", path, tag, resp.StatusCode)
		}
	}
	groups, lists, err := c.client(t).Discovery().ServerGroupsAndResources()
	if err != nil || len(groups) < 15 {
		t.Fatalf("%d groups, %v", len(groups), err)
	}
	found := map[string]string{}
	for _, l := range lists {
		for _, r := range l.APIResources {
			found[l.GroupVersion+" "+r.Name] = r.Kind + " " + strings.Join(r.Verbs, ",")
		}
	}
	for name, want := range map[string]string{
		"v1 pods":                                 "Pod create,delete,deletecollection,get,list,patch,update,watch",
		"v1 pods/exec":                            "PodExecOptions create,get",
		"apps/v1 deployments/scale":               "Scale get,patch,update",
		"apps/v1 deployments/status":              "Deployment get,patch,update",
		"events.k8s.io/v1 events":                 "Event create,delete,deletecollection,get,list,patch,update,watch",
		"v1 serviceaccounts/token":                "TokenRequest create",
		"v1 namespaces/finalize":                  "Namespace update",
		"autoscaling/v2 horizontalpodautoscalers": "HorizontalPodAutoscaler create,delete,deletecollection,get,list,patch,update,watch",
	} {
		if found[name] != want {
			t.Errorf("%s is %q, want %q", name, found[name], want)
		}
	}
	if resp, data := c.fetch(t, "GET", "/apis/apps", ""); resp.StatusCode != 200 || !strings.Contains(string(data), `"kind":"APIGroup"`) {
		t.Errorf("/apis/apps: %s", data)
	}
}
