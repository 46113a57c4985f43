package release

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
)

// A record that exceeds one Secret is cut; see the package's text. The parts are
// named after the digest of the whole, so that a rewritten record never mixes with
// the one before.
const (
	// maxSecret is how much data Kubernetes lets a Secret have.
	maxSecret = 1 << 20
	// maxParts bounds a record, with maxSecret to 128 MiB.
	maxParts = 127

	partType        = "pkg.internal/release-part"
	partOwner       = "pkg"
	partLabel       = "pkg.internal/part"
	partsAnnotation = "pkg.internal/parts"
)

// parts says what a record has besides its first Secret.
type parts struct {
	digest string // hex SHA-256 of the whole text
	count  int    // 0: nothing
}

// String is the annotation's value, "DIGEST:COUNT".
func (p parts) String() string { return p.digest + ":" + strconv.Itoa(p.count) }

// partsOf reads the annotation; none is a zero parts.
func partsOf(o object.Object) (parts, error) {
	text, ok := o.GetAnnotations()[partsAnnotation]
	if !ok {
		return parts{}, nil
	}
	digest, number, _ := strings.Cut(text, ":")
	count, err := strconv.Atoi(number)
	if err != nil || len(digest) != 2*sha256.Size || count < 1 || count > maxParts {
		return parts{}, fmt.Errorf("annotation %s is %q", partsAnnotation, text)
	}
	return parts{digest, count}, nil
}

// split cuts a record's text into what its Secret holds and the rest.
func split(text string) (head string, rest []string, p parts) {
	if len(text) <= maxSecret {
		return text, nil, parts{}
	}
	sum := sha256.Sum256([]byte(text))
	head, text = text[:maxSecret], text[maxSecret:]
	for len(text) > 0 {
		n := min(maxSecret, len(text))
		rest, text = append(rest, text[:n]), text[n:]
	}
	return head, rest, parts{hex.EncodeToString(sum[:]), len(rest)}
}

// partName names part n, from 1, of the record in the Secret of that name.
func partName(secret string, p parts, n int) string {
	return fmt.Sprintf("%s.%s.%d", secret, p.digest[:12], n)
}

// writeParts stores the rest of a record. Parts that exist are the same.
func (s storage) writeParts(ctx context.Context, r *Release, p parts, rest []string) error {
	if p.count > maxParts {
		return fmt.Errorf("its record has %d MiB, and at most %d can be stored", p.count+1, maxParts+1)
	}
	for n, text := range rest {
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": partType, "metadata": map[string]any{
				"name": partName(secretName(r.Name, r.Revision), p, n+1), "namespace": s.namespace,
				"labels": map[string]any{
					"owner": partOwner, "name": r.Name, "version": strconv.Itoa(r.Revision), partLabel: p.digest[:12],
				},
			},
			"data": map[string]any{secretKey: base64.StdEncoding.EncodeToString([]byte(text))},
		}}
		_, err := s.cluster.Create(ctx, secrets(), o, object.WriteOptions{FieldManager: fieldManager, Brief: true})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("part %d: %w", n+1, err)
		}
	}
	return nil
}

// join fetches the parts of the record that begins with head in Secret o.
func (s storage) join(ctx context.Context, o object.Object, head string, p parts) (string, error) {
	var b strings.Builder
	b.WriteString(head)
	for n := 1; n <= p.count; n++ {
		part, err := s.cluster.Get(ctx, secrets(), object.Key{Namespace: o.GetNamespace(), Name: partName(o.GetName(), p, n)})
		if err != nil {
			return "", fmt.Errorf("part %d of %d: %w", n, p.count, err)
		}
		text, err := secretData(part)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	if sum := sha256.Sum256([]byte(b.String())); hex.EncodeToString(sum[:]) != p.digest {
		return "", errors.New("its parts do not fit together")
	}
	return b.String(), nil
}

// sweep deletes all parts of a revision but those of keep.
func (s storage) sweep(ctx context.Context, r *Release, keep parts) error {
	which := labels.Set{"owner": partOwner, "name": r.Name, "version": strconv.Itoa(r.Revision)}.AsSelector()
	l, err := s.cluster.Metadata(ctx, secrets(), object.ListOptions{Namespace: s.namespace, Labels: which})
	if err != nil {
		return err
	}
	for _, o := range l.Items {
		if keep.count > 0 && o.GetLabels()[partLabel] == keep.digest[:12] {
			continue
		}
		_, err := s.cluster.Delete(ctx, secrets(), object.KeyOf(o), object.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
