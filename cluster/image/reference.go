package image

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// dockerHub is the registry of names without one, and what its library calls it.
const (
	dockerHub    = "docker.io"
	dockerHubAPI = "index.docker.io"
)

// debDomain is the registry of images built from Debian packages. No such host
// exists: .internal is reserved.
const debDomain = "deb.internal"

// Normalize completes a reference: "mysql" is "docker.io/library/mysql:latest",
// and packages after the first of a deb.internal image are sorted. The error
// wraps ErrInvalidName.
func Normalize(reference string) (string, error) {
	ref, err := parse(reference)
	if err != nil {
		return "", err
	}
	if ref.Context().RegistryStr() == debDomain {
		d, err := parseDebRef(ref)
		if err != nil {
			return "", err
		}
		return d.String(), nil
	}
	return normalName(ref), nil
}

// parse reads a reference; texts of errors are Kubernetes'.
func parse(reference string, options ...name.Option) (name.Reference, error) {
	ref, err := name.ParseReference(reference, options...)
	if err != nil || strings.HasPrefix(reference, "sha256:") {
		return nil, fmt.Errorf("%w: couldn't parse image name %q: invalid reference format", ErrInvalidName, reference)
	}
	return ref, nil
}

// normalName is a reference's full name, with Docker Hub's usual one.
func normalName(ref name.Reference) string {
	if rest, ok := strings.CutPrefix(ref.Name(), dockerHubAPI+"/"); ok {
		return dockerHub + "/" + rest
	}
	return ref.Name()
}

// DebRef names an image made of Debian packages:
// deb.internal/<suite>/<package>[/<package>...]:<version prefix of the first>.
type DebRef struct {
	Suite    string
	Packages []string // the first one's version counts; the others sorted
	Version  string   // prefix, empty for any
}

// packageName is what Debian's policy allows (5.6.7).
var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

// plusSign stands for "+" in references, which cannot hold one.
const plusSign = "__p"

func parseDebRef(ref name.Reference) (DebRef, error) {
	invalid := func(why string) (DebRef, error) {
		return DebRef{}, fmt.Errorf("%w: %s: %s; the form is %s/<suite>/<package>[/<package>...]:<version prefix>",
			ErrInvalidName, ref.Name(), why, debDomain)
	}
	tag, ok := ref.(name.Tag)
	if !ok {
		return invalid("it has a digest")
	}
	parts := strings.Split(strings.ReplaceAll(tag.RepositoryStr(), plusSign, "+"), "/")
	if len(parts) < 2 {
		return invalid("suite or package is missing")
	}
	d := DebRef{Suite: parts[0], Packages: parts[1:]}
	if v := tag.TagStr(); v != "latest" {
		d.Version = strings.ReplaceAll(v, plusSign, "+")
	}
	for _, p := range d.Packages {
		if !packageName.MatchString(p) {
			return invalid(fmt.Sprintf("%q is no package name", p))
		}
	}
	slices.Sort(d.Packages[1:])
	d.Packages = append(d.Packages[:1:1], slices.Compact(d.Packages[1:])...)
	return d, nil
}

// String is the normalised reference.
func (d DebRef) String() string {
	version := d.Version
	if version == "" {
		version = "latest"
	}
	return strings.ReplaceAll(debDomain+"/"+d.Suite+"/"+strings.Join(d.Packages, "/")+":"+version, "+", plusSign)
}
