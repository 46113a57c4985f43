package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/cluster/object"
)

// Get implements object.Verbs.
func (c *Client) Get(ctx context.Context, r object.Resource, k object.Key) (object.Object, error) {
	kind, err := c.collection(ctx, r, "")
	if err != nil {
		return nil, err
	}
	return c.object(ctx, request{method: http.MethodGet, path: kind.path(k.Namespace, k.Name)})
}

// List implements object.Verbs. Without a Limit it fetches everything in pages.
func (c *Client) List(ctx context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	kind, err := c.collection(ctx, r, "")
	if err != nil {
		return nil, err
	}
	if o.Limit > 0 {
		return c.page(ctx, kind, o)
	}
	o.Limit = pageSize
	whole := &object.List{}
	for {
		p, err := c.page(ctx, kind, o)
		if err != nil {
			return nil, err
		}
		whole.Items = append(whole.Items, p.Items...)
		whole.ResourceVersion = p.ResourceVersion
		if p.Continue == "" {
			return whole, nil
		}
		o.Continue, o.ResourceVersion, o.Match = p.Continue, "", ""
	}
}

// pageSize is how many objects a List asks for at once.
const pageSize = 500

func listQuery(o object.ListOptions) url.Values {
	q := url.Values{}
	selectors(q, o.Labels, o.Fields)
	set(q, "limit", strconv.FormatInt(o.Limit, 10))
	set(q, "continue", o.Continue)
	set(q, "resourceVersion", o.ResourceVersion)
	set(q, "resourceVersionMatch", string(o.Match))
	return q
}

func (c *Client) page(ctx context.Context, kind Kind, o object.ListOptions) (*object.List, error) {
	data, err := c.content(ctx, request{method: http.MethodGet, path: kind.path(o.Namespace, ""), query: listQuery(o)})
	if err != nil {
		return nil, err
	}
	var l unstructured.UnstructuredList
	if err := l.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("list of %s: %w", kind.Resource, err)
	}
	out := &object.List{
		ResourceVersion: l.GetResourceVersion(), Continue: l.GetContinue(), Remaining: l.GetRemainingItemCount(),
		Items: make([]object.Object, len(l.Items)),
	}
	for i := range l.Items {
		out.Items[i] = &l.Items[i]
	}
	return out, nil
}

// Metadata is List with objects that have nothing but their metadata, as
// *metav1.PartialObjectMetadata: for collections whose objects are large.
func (c *Client) Metadata(ctx context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	kind, err := c.collection(ctx, r, "")
	if err != nil {
		return nil, err
	}
	whole := &object.List{}
	o.Limit = metadataPageSize
	for {
		data, err := c.content(ctx, request{method: http.MethodGet, path: kind.path(o.Namespace, ""), query: listQuery(o), accept: metadataList})
		if err != nil {
			return nil, err
		}
		var l metav1.PartialObjectMetadataList
		if err := json.Unmarshal(data, &l); err != nil {
			return nil, fmt.Errorf("list of %s: %w", kind.Resource, err)
		}
		for i := range l.Items {
			whole.Items = append(whole.Items, &l.Items[i])
		}
		whole.ResourceVersion = l.ResourceVersion
		if l.Continue == "" {
			return whole, nil
		}
		o.Continue, o.ResourceVersion, o.Match = l.Continue, "", ""
	}
}

// Names lists the names in a collection, at most o.Limit of them; whole tells whether
// those are all. They are read off the server's table, its smallest answer.
func (c *Client) Names(ctx context.Context, r object.Resource, o object.ListOptions) (names []string, whole bool, err error) {
	kind, err := c.collection(ctx, r, "")
	if err != nil {
		return nil, false, err
	}
	q := request{method: http.MethodGet, path: kind.path(o.Namespace, ""), query: listQuery(o), accept: tableOnly}
	q.query.Set("includeObject", string(metav1.IncludeNone))
	data, err := c.content(ctx, q)
	if err != nil {
		return nil, false, err
	}
	var t struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Continue string `json:"continue"`
		} `json:"metadata"`
		Columns []struct {
			Format string `json:"format"`
		} `json:"columnDefinitions"`
		Rows []struct {
			Cells []any `json:"cells"`
		} `json:"rows"`
	}
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, false, fmt.Errorf("table of %s: %w", kind.Resource, err)
	}
	if t.Kind != "Table" || len(t.Columns) == 0 || t.Columns[0].Format != "name" {
		return nil, false, nil
	}
	for _, row := range t.Rows {
		if name, ok := row.Cells[0].(string); ok {
			names = append(names, name)
		}
	}
	return names, t.Metadata.Continue == "" && len(names) == len(t.Rows), nil
}

// tableOnly asks for a list as it is printed; older servers may answer otherwise.
const tableOnly = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

// metadataPageSize is how many objects Metadata asks for at once.
const metadataPageSize = 2000

// metadataList asks for metadata only.
const metadataList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// Create implements object.Verbs.
func (c *Client) Create(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	kind, body, err := c.writable(ctx, r, o, w)
	if err != nil {
		return nil, err
	}
	q := request{method: http.MethodPost, path: kind.path(o.GetNamespace(), ""), body: body}
	if w.Subresource != "" {
		q.path = kind.path(o.GetNamespace(), o.GetName(), w.Subresource)
	}
	return c.write(ctx, q, w)
}

// Update implements object.Verbs.
func (c *Client) Update(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (object.Object, error) {
	kind, body, err := c.writable(ctx, r, o, w)
	if err != nil {
		return nil, err
	}
	return c.write(ctx, request{method: http.MethodPut, path: kind.path(o.GetNamespace(), o.GetName(), w.Subresource), body: body}, w)
}

// Patch implements object.Verbs. An apply patch goes to the version that it names.
func (c *Client) Patch(ctx context.Context, r object.Resource, k object.Key, t types.PatchType, p []byte, w object.WriteOptions) (object.Object, error) {
	version := ""
	if t == types.ApplyPatchType {
		var head metav1.TypeMeta
		if err := decodeHead(p, &head); err != nil {
			return nil, fmt.Errorf("%s %s: %w", r, k, err)
		}
		version = head.GroupVersionKind().Version
	}
	kind, err := c.collection(ctx, r, version)
	if err != nil {
		return nil, err
	}
	q := request{method: http.MethodPatch, path: kind.path(k.Namespace, k.Name, w.Subresource), body: p, contentType: string(t)}
	return c.write(ctx, q, w)
}

// decodeHead reads JSON, or YAML where it is none.
func decodeHead(body []byte, into *metav1.TypeMeta) error {
	if bytes.HasPrefix(body, []byte("{")) && json.Unmarshal(body, into) == nil {
		return nil
	}
	return yaml.Unmarshal(body, into)
}

// Delete implements object.Verbs.
func (c *Client) Delete(ctx context.Context, r object.Resource, k object.Key, o object.DeleteOptions) (object.Object, error) {
	kind, err := c.collection(ctx, r, "")
	if err != nil {
		return nil, err
	}
	d := metav1.DeleteOptions{
		TypeMeta:           metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"},
		GracePeriodSeconds: o.GracePeriodSeconds, Preconditions: o.Preconditions, PropagationPolicy: o.Propagation,
	}
	if o.DryRun {
		d.DryRun = []string{metav1.DryRunAll}
	}
	body, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	return c.object(ctx, request{method: http.MethodDelete, path: kind.path(k.Namespace, k.Name), body: body, contentType: mediaJSON})
}

// writable finds where o is written and encodes it. An object without a kind, as
// typed ones often are, gets the collection's.
func (c *Client) writable(ctx context.Context, r object.Resource, o object.Object, w object.WriteOptions) (Kind, []byte, error) {
	gvk := o.GetObjectKind().GroupVersionKind()
	version := gvk.Version
	if w.Subresource != "" {
		version = "" // the body's kind is another than the collection's
	}
	kind, err := c.collection(ctx, r, version)
	if err != nil {
		return Kind{}, nil, err
	}
	body, err := json.Marshal(o)
	if err != nil {
		return Kind{}, nil, err
	}
	if gvk.Kind == "" && w.Subresource == "" {
		body, err = withKind(body, kind.GVK())
	}
	return kind, body, err
}

func withKind(body []byte, gvk schema.GroupVersionKind) ([]byte, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	version, kind := gvk.ToAPIVersionAndKind()
	m["apiVersion"], m["kind"] = json.RawMessage(strconv.Quote(version)), json.RawMessage(strconv.Quote(kind))
	return json.Marshal(m)
}

func (c *Client) write(ctx context.Context, q request, w object.WriteOptions) (object.Object, error) {
	q.query = url.Values{}
	set(q.query, "fieldManager", w.FieldManager)
	set(q.query, "fieldValidation", w.FieldValidation)
	if w.DryRun {
		q.query.Set("dryRun", metav1.DryRunAll)
	}
	if q.contentType == string(types.ApplyPatchType) {
		q.query.Set("force", strconv.FormatBool(w.Force))
	}
	if q.contentType == "" {
		q.contentType = mediaJSON
	}
	q.warn = w.Warn
	if w.Brief {
		q.accept = metadataOnly
		return c.brief(ctx, q)
	}
	return c.object(ctx, q)
}

// metadataOnly asks for the metadata of the object that was written.
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

// brief sends a write whose answer is of interest for what identifies its object.
func (c *Client) brief(ctx context.Context, q request) (object.Object, error) {
	data, err := c.content(ctx, q)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Metadata struct {
			Name            string    `json:"name"`
			Namespace       string    `json:"namespace"`
			UID             types.UID `json:"uid"`
			Generation      int64     `json:"generation"`
			ResourceVersion string    `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("answer to %s %s: %w", q.method, q.path, err)
	}
	m := answer.Metadata
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, Generation: m.Generation, ResourceVersion: m.ResourceVersion,
	}}, nil
}

// object sends a request whose answer is one object. A Status, which deletions
// may answer with, is returned as an object without a name.
func (c *Client) object(ctx context.Context, q request) (object.Object, error) {
	data, err := c.content(ctx, q)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("answer to %s %s: %w", q.method, q.path, err)
	}
	return u, nil
}

// content sends a request and reads the whole answer.
func (c *Client) content(ctx context.Context, q request) ([]byte, error) {
	resp, err := c.send(ctx, q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if n := resp.ContentLength; n > 0 && n < maxPresized {
		b.Grow(int(n) + bytes.MinRead)
	}
	_, err = b.ReadFrom(resp.Body)
	return b.Bytes(), err
}

// maxPresized bounds the memory that is taken on the word of a header alone.
const maxPresized = 16 << 20

func set(q url.Values, key, value string) {
	if value != "" && value != "0" {
		q.Set(key, value)
	}
}
