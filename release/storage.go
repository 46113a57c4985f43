package release

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
)

// Helm's storage: Secret sh.helm.release.v1.NAME.vN of type helm.sh/release.v1,
// whose key "release" holds base64(gzip(JSON)) below the API's own base64.
const (
	secretPrefix = "sh.helm.release.v1."
	secretType   = "helm.sh/release.v1"
	secretKey    = "release"
	secretOwner  = "helm"
)

// systemLabels are those of every Secret; all others are the user's.
func systemLabels() []string {
	return []string{"name", "owner", "status", "version", "createdAt", "modifiedAt"}
}

// checkLabels refuses labels that belong to the record itself (Helm's words).
func checkLabels(labels map[string]string) error {
	for k := range labels {
		if slices.Contains(systemLabels(), k) {
			return fmt.Errorf("user supplied labels contains system reserved label name. System labels: %+v", systemLabels())
		}
	}
	return nil
}

// maxDecoded bounds what a stored release may unpack to.
const maxDecoded = 256 << 20

// holderAnnotation of a pending revision's Secret names who works on it, for the
// case that the Lease is gone.
const holderAnnotation = "pkg.internal/holder"

// secretMeta is what a stored revision's Secret says besides the release.
type secretMeta struct {
	written time.Time // of its last write, by its labels
	holder  string    // holderAnnotation
}

// storage reads and writes the revisions of one namespace ("" to list in all).
type storage struct {
	cluster   Cluster
	namespace string
	now       func() time.Time
}

func secretName(name string, revision int) string {
	return fmt.Sprintf("%s%s.v%d", secretPrefix, name, revision)
}

// history returns all revisions of a release, oldest first. Errors: NotFoundError.
func (s storage) history(ctx context.Context, name string) ([]*Release, error) {
	all, err := s.list(ctx, labels.Set{"owner": secretOwner, "name": name}.AsSelector())
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, &NotFoundError{Name: name, Namespace: s.namespace}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Revision < all[j].Revision })
	return all, nil
}

// list returns the revisions whose Secrets fit. One that cannot be decoded is
// left out, as helm does.
func (s storage) list(ctx context.Context, which labels.Selector) ([]*Release, error) {
	l, err := s.cluster.List(ctx, secrets(), object.ListOptions{Namespace: s.namespace, Labels: which})
	if err != nil {
		return nil, fmt.Errorf("read releases: %w", err)
	}
	var out []*Release
	for _, o := range l.Items {
		if r, err := fromSecret(o); err == nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// get returns one revision. Errors: NotFoundError.
func (s storage) get(ctx context.Context, name string, revision int) (*Release, error) {
	o, err := s.cluster.Get(ctx, secrets(), object.Key{Namespace: s.namespace, Name: secretName(name, revision)})
	if apierrors.IsNotFound(err) {
		return nil, &NotFoundError{Name: name, Namespace: s.namespace, Revision: revision}
	}
	if err != nil {
		return nil, fmt.Errorf("read release %s: %w", name, err)
	}
	return fromSecret(o)
}

// create stores a new revision. holder, if any, is noted beside it.
func (s storage) create(ctx context.Context, r *Release, holder string) error {
	o, err := s.toSecret(r, "createdAt", holder)
	if err != nil {
		return err
	}
	if _, err = s.cluster.Create(ctx, secrets(), o, object.WriteOptions{FieldManager: fieldManager}); err != nil {
		return fmt.Errorf("record revision %d of release %s: %w", r.Revision, r.Name, err)
	}
	return nil
}

// update replaces a stored revision.
func (s storage) update(ctx context.Context, r *Release, holder string) error {
	o, err := s.toSecret(r, "modifiedAt", holder)
	if err != nil {
		return err
	}
	if _, err = s.cluster.Update(ctx, secrets(), o, object.WriteOptions{FieldManager: fieldManager}); err != nil {
		return fmt.Errorf("record revision %d of release %s: %w", r.Revision, r.Name, err)
	}
	return nil
}

// remove deletes a stored revision; one that is gone already is no error.
func (s storage) remove(ctx context.Context, r *Release) error {
	_, err := s.cluster.Delete(ctx, secrets(), object.Key{Namespace: s.namespace, Name: secretName(r.Name, r.Revision)}, object.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove revision %d of release %s: %w", r.Revision, r.Name, err)
	}
	return nil
}

// prune removes the oldest revisions until at most limit are left; see surplus.
func (s storage) prune(ctx context.Context, history []*Release, limit int) error {
	var errs []error
	for _, r := range surplus(history, limit) {
		errs = append(errs, s.remove(ctx, r))
	}
	return errors.Join(errs...)
}

// surplus are the oldest revisions of a history beyond limit (negative: no limit),
// the last deployed one never among them.
func surplus(history []*Release, limit int) (out []*Release) {
	if limit < 0 {
		return nil
	}
	kept := lastDeployed(history)
	for _, r := range history {
		if len(history)-len(out) <= limit {
			break
		}
		if r != kept {
			out = append(out, r)
		}
	}
	return out
}

// lastDeployed returns the newest deployed revision of a history, or nil.
func lastDeployed(history []*Release) *Release {
	for _, r := range slices.Backward(history) {
		if r.Info.Status == StatusDeployed {
			return r
		}
	}
	return nil
}

func (s storage) toSecret(r *Release, stamp, holder string) (object.Object, error) {
	data, err := encode(r)
	if err != nil {
		return nil, fmt.Errorf("record revision %d of release %s: %w", r.Revision, r.Name, err)
	}
	marks := map[string]any{}
	for k, v := range r.Labels {
		if !slices.Contains(systemLabels(), k) {
			marks[k] = v
		}
	}
	marks["name"], marks["owner"] = r.Name, secretOwner
	marks["status"], marks["version"] = string(r.Info.Status), strconv.Itoa(r.Revision)
	marks[stamp] = strconv.FormatInt(s.now().Unix(), 10)
	meta := map[string]any{"name": secretName(r.Name, r.Revision), "namespace": s.namespace, "labels": marks}
	if holder != "" {
		meta["annotations"] = map[string]any{holderAnnotation: holder}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": secretType, "metadata": meta,
		"data": map[string]any{secretKey: base64.StdEncoding.EncodeToString([]byte(data))},
	}}, nil
}

func fromSecret(o object.Object) (*Release, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("secret %s is a %T", object.KeyOf(o), o)
	}
	text, _, err := unstructured.NestedString(u.Object, "data", secretKey)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", object.KeyOf(o), err)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", object.KeyOf(o), err)
	}
	r, err := decode(string(data))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", object.KeyOf(o), err)
	}
	marks := u.GetLabels()
	for _, stamp := range []string{"modifiedAt", "createdAt"} {
		if sec, err := strconv.ParseInt(marks[stamp], 10, 64); err == nil {
			r.stored.written = time.Unix(sec, 0)
			break
		}
	}
	r.stored.holder = u.GetAnnotations()[holderAnnotation]
	for k, v := range marks {
		if slices.Contains(systemLabels(), k) {
			continue
		}
		if r.Labels == nil {
			r.Labels = map[string]string{}
		}
		r.Labels[k] = v
	}
	return r, nil
}

// encode is base64(gzip(JSON)).
func encode(r *Release) (string, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(data); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// decode reverses encode; what is not compressed is taken as it is (Helm's rule,
// for records of its first days).
func decode(text string) (*Release, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b, 0x08}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(io.LimitReader(z, maxDecoded)); err != nil {
			return nil, err
		}
	}
	r := &Release{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	if r.Info == nil {
		r.Info = &Info{Status: StatusUnknown}
	}
	return r, nil
}
