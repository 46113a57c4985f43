package repo_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/seed38700745/pkg/repo"
	"github.com/seed38700745/pkg/repo/signature"
)

// signer signs as cosign does with a key.
type signer struct {
	key    *ecdsa.PrivateKey
	public string // file
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key: key, public: writePEM(t, "PUBLIC KEY", der)}
}

func (s *signer) sign(t *testing.T, message []byte) string {
	t.Helper()
	sum := sha256.Sum256(message)
	made, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(made)
}

// rawManifest is a manifest to put into a registry.
type rawManifest []byte

func (m rawManifest) RawManifest() ([]byte, error)        { return m, nil }
func (m rawManifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// attach puts a manifest with one layer into a repository, under a tag or, with a
// subject, among its referrers.
func attach(t *testing.T, repository name.Repository, tag string, subject *v1.Descriptor, kind string, content []byte, annotations map[string]string) {
	t.Helper()
	layer, config := static.NewLayer(content, types.MediaType(kind)), static.NewLayer([]byte("{}"), types.OCIConfigJSON)
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Subject: subject}
	if subject != nil {
		m.Config.MediaType = types.MediaType(kind) // the artifact's type
	}
	for i, blob := range []v1.Layer{config, layer} {
		if err := remote.WriteLayer(repository, blob); err != nil {
			t.Fatal(err)
		}
		digest, err := blob.Digest()
		if err != nil {
			t.Fatal(err)
		}
		size, err := blob.Size()
		if err != nil {
			t.Fatal(err)
		}
		d := v1.Descriptor{Digest: digest, Size: size, MediaType: types.OCIConfigJSON}
		if i == 0 {
			if subject != nil {
				d.MediaType = types.MediaType(kind)
			}
			m.Config = d
			continue
		}
		d.MediaType, d.Annotations = types.MediaType(kind), annotations
		m.Layers = append(m.Layers, d)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	ref := name.Reference(repository.Tag(tag))
	if tag == "" {
		digest, _, err := v1.SHA256(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		ref = repository.Digest(digest.String())
	}
	if err := remote.Put(ref, rawManifest(raw)); err != nil {
		t.Fatal(err)
	}
}

// signSimple attaches a signature in the layout of cosign 1 and 2.
func (s *signer) signSimple(t *testing.T, repository name.Repository, tag, digest string) {
	t.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, digest)
	attach(t, repository, tag, nil, signature.SimpleType, payload, map[string]string{signature.SimpleAnnotation: s.sign(t, payload)})
}

// signBundle attaches a signature in the layout of cosign 3, or an attestation.
func (s *signer) signBundle(t *testing.T, repository name.Repository, digest, predicate string) {
	t.Helper()
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":{}}`, strings.TrimPrefix(digest, "sha256:"), predicate)
	const kind = "application/vnd.in-toto+json"
	made := s.sign(t, fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(statement), statement))
	bundle := fmt.Appendf(nil, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":""}},"dsseEnvelope":{"payload":%q,"payloadType":%q,"signatures":[{"sig":%q}]}}`,
		base64.StdEncoding.EncodeToString(statement), kind, made)
	hash, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	found, err := remote.Get(repository.Digest(digest))
	if err != nil {
		t.Fatal(err)
	}
	attach(t, repository, "", &v1.Descriptor{MediaType: found.MediaType, Digest: hash, Size: found.Size}, "application/vnd.dev.sigstore.bundle.v0.3+json", bundle, nil)
}

// referrersRegistry is a registry in memory that has the referrers API.
func referrersRegistry(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func noProvenance(*repo.Archive) (string, error) { return "", errors.New("not looked at") }

// TestSignaturesOfCosign: both layouts are found and told apart: good, by another key,
// for another chart, and none.
func TestSignaturesOfCosign(t *testing.T) {
	host := referrersRegistry(t)
	ctx := context.Background()
	r := newResolver(t)
	ours, theirs := newSigner(t), newSigner(t)
	keys, err := signature.ReadKeys(ours.public)
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"} {
		pushed, err := r.Push(ctx, packed(t, chartTree("shop", version)), "oci://"+host+"/x", repo.Access{})
		if err != nil {
			t.Fatal(err)
		}
		digests[version] = pushed.Digest
	}
	repository, err := name.NewRepository(host + "/x/shop")
	if err != nil {
		t.Fatal(err)
	}
	ours.signSimple(t, repository, signature.Tag(digests["1.0.0"]), digests["1.0.0"])
	ours.signBundle(t, repository, digests["1.1.0"], "https://sigstore.dev/cosign/sign/v1")
	ours.signBundle(t, repository, digests["1.5.0"], "https://spdx.dev/Document")
	theirs.signSimple(t, repository, signature.Tag(digests["1.2.0"]), digests["1.2.0"])
	ours.signSimple(t, repository, signature.Tag(digests["1.3.0"]), digests["1.0.0"]) // taken from another version
	want := map[string]repo.Signed{
		"1.0.0": {Form: "cosign", By: ours.public, Good: true, State: "good"},
		"1.1.0": {Form: "cosign bundle", By: ours.public, Good: true, State: "good"},
		"1.2.0": {Form: "cosign", State: "made with another key"},
		"1.5.0": {Form: "cosign", State: "it is an attestation (https://spdx.dev/Document), no signature"},
		"1.3.0": {Form: "cosign", State: "it is for " + digests["1.0.0"] + ", not for " + digests["1.3.0"]},
	}
	for version := range digests {
		_, list, err := r.Signatures(ctx, repo.Request{Ref: "oci://" + host + "/x/shop", Version: version}, keys, noProvenance)
		if err != nil {
			t.Errorf("%s: %v", version, err)
			continue
		}
		expected, signed := want[version]
		if !signed {
			if len(list) != 0 {
				t.Errorf("%s: %+v, want none", version, list)
			}
			continue
		}
		if len(list) != 1 || list[0] != expected {
			t.Errorf("%s: %+v, want %+v", version, list, expected)
		}
	}

	// A policy lets only what is signed with its key through, by every way.
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	r.Policies = []string{policy}
	add(t, r, repo.Repository{Name: "team", URL: "oci://" + host + "/x"})
	for charts, covered := range map[string]bool{
		"oci://" + host: true, "oci://" + host + "/x": true, "oci://" + host + "/x/shop": true, "team": true, "team/shop": true, "*": true,
		"oci://" + host + "/y": false, "oci://" + host + "/x/sho": false, "other": false,
	} {
		if err := repo.ChangePolicy(policy, func(p *repo.Policy) error {
			p.Signatures = []repo.Rule{{Charts: charts, Keys: []string{ours.public}}}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for version := range digests {
			for _, req := range []repo.Request{
				{Ref: "oci://" + host + "/x/shop", Version: version}, {Ref: "team/shop", Version: version}, {Ref: "shop", RepoURL: "oci://" + host + "/x", Version: version},
				{Ref: "oci://" + host + "/x/shop@" + digests[version]},
			} {
				_, err := r.Resolve(ctx, req)
				var refused *repo.UnsignedError
				if wanted := covered && !want[version].Good; errors.As(err, &refused) != wanted || err != nil && !wanted {
					t.Errorf("policy for %s, %+v: %v", charts, req, err)
				}
			}
		}
	}
	// The longest rule counts; a second file counts in addition.
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(policy, "signatures:\n- {charts: '*', keys: ["+ours.public+"]}\n- {charts: 'oci://"+host+"/x/shop'}\n")
	if _, err := r.Resolve(ctx, repo.Request{Ref: "oci://" + host + "/x/shop:1.4.0"}); err != nil {
		t.Errorf("an exempt chart: %v", err)
	}
	system := filepath.Join(t.TempDir(), "policy.yaml")
	write(system, "signatures:\n- {charts: 'oci://"+host+"', keys: ["+ours.public+"]}\n")
	r.Policies = append(r.Policies, system)
	_, err = r.Resolve(ctx, repo.Request{Ref: "oci://" + host + "/x/shop:1.4.0"})
	if err == nil || !strings.Contains(err.Error(), "the policy for oci://"+host+" ("+system+") wants a signature, and the registry has none") {
		t.Errorf("the system's policy: %v", err)
	}
	if _, err := r.Resolve(ctx, repo.Request{Ref: "stable/mysql"}); err != nil {
		t.Errorf("built-in charts need none: %v", err)
	}
	write(policy, "signatures:\n- {chart: x}\n")
	if _, err := r.Resolve(ctx, repo.Request{Ref: "oci://" + host + "/x/shop:1.0.0"}); err == nil || !strings.Contains(err.Error(), "chart") {
		t.Errorf("a policy with a mistake lets charts through: %v", err)
	}
	// Offline the signature comes from the cache.
	write(policy, "")
	off := *newResolver(t)
	off.ConfigFile, off.CacheDir, off.Policies, off.Offline = r.ConfigFile, r.CacheDir, r.Policies, true
	if _, err := off.Pull(ctx, repo.Request{Ref: "team/shop", Version: "1.0.0"}); err != nil {
		t.Errorf("offline: %v", err)
	}
}

// TestPolicyForProvenance: charts of an HTTP repository need their .prov file.
func TestPolicyForProvenance(t *testing.T) {
	s := newServer(t, "", "", chartTree("web", "1.0.0"), chartTree("web", "1.1.0"))
	if err := os.WriteFile(filepath.Join(s.dir, "web-1.1.0.tgz.prov"), []byte("signed"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newResolver(t)
	r.Policies = []string{filepath.Join(t.TempDir(), "policy.yaml")}
	r.CheckProvenance = func(keyring string, a *repo.Archive) error {
		if keyring != "/ring" || string(a.Provenance) != "signed" {
			return fmt.Errorf("%s: %q", keyring, a.Provenance)
		}
		return nil
	}
	add(t, r, repo.Repository{Name: "foo", URL: s.URL})
	if err := repo.ChangePolicy(r.Policies[0], func(p *repo.Policy) error {
		p.Signatures = []repo.Rule{{Charts: "foo", Keyring: "/ring"}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, req := range []repo.Request{{Ref: "foo/web"}, {Ref: "web", RepoURL: s.URL}, {Ref: s.URL + "/web-1.1.0.tgz"}} {
		if a, err := r.Pull(context.Background(), req); err != nil || a.Provenance != nil {
			t.Errorf("%+v: %v", req, err)
		}
		req.Version = "1.0.0"
		req.Ref = strings.Replace(req.Ref, "1.1.0", "1.0.0", 1)
		var refused *repo.UnsignedError
		if _, err := r.Pull(context.Background(), req); !errors.As(err, &refused) || refused.Reason != "it has no provenance file" {
			t.Errorf("%+v: %v", req, err)
		}
	}
}

// TestLockPinsDigests: what was replaced after the lock was written is refused, from
// a registry and from a repository; helm's digest of the lock is as ever.
func TestLockPinsDigests(t *testing.T) {
	host := newRegistry(t, "", "")
	s := newServer(t, "", "", chartTree("web", "1.0.0"))
	ctx := context.Background()
	r := newResolver(t)
	push := func(values string) {
		t.Helper()
		tree := chartTree("db", "3.1.0+b")
		tree["values.yaml"].Data = []byte(values)
		if _, err := r.Push(ctx, packed(t, tree), "oci://"+host+"/x", repo.Access{}); err != nil {
			t.Fatal(err)
		}
	}
	push("a: 1\n")
	dir := t.TempDir()
	text := fmt.Sprintf("apiVersion: v2\nname: top\nversion: 1.0.0\ndependencies:\n- {name: web, version: 1.x, repository: %s}\n- {name: db, version: ^3.0.0, repository: \"oci://%s/x\"}\n", s.URL, host)
	if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	vendor := func(o repo.VendorOptions) error {
		t.Helper()
		o.Now = stamp
		_, err := r.Vendor(ctx, dir, o)
		return err
	}
	lock := func() string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, "Chart.lock"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if err := vendor(repo.VendorOptions{}); err != nil {
		t.Fatal(err)
	}
	plain := lock()
	if err := vendor(repo.VendorOptions{Pin: true}); err != nil {
		t.Fatal(err)
	}
	pinned := lock()
	if strings.Count(pinned, "\n- digest: sha256:") != 2 || strings.Contains(plain, "- digest") {
		t.Errorf("lock without pins:\n%s\nwith:\n%s", plain, pinned)
	}
	var without []string
	for _, line := range strings.Split(pinned, "\n") {
		if strings.HasPrefix(line, "- digest") {
			continue
		}
		if strings.HasPrefix(line, "  name: ") {
			line = "- " + line[2:]
		}
		without = append(without, line)
	}
	if got := strings.Join(without, "\n"); got != plain {
		t.Errorf("beside the pins the lock differs:\n%s\nwant\n%s", got, plain)
	}
	if err := vendor(repo.VendorOptions{FromLock: true, Pin: true}); err != nil || lock() != pinned {
		t.Errorf("build: %v", err)
	}
	push("a: 2\n")
	var replaced *repo.PinError
	if err := vendor(repo.VendorOptions{FromLock: true}); !errors.As(err, &replaced) || !strings.Contains(err.Error(), "dependency db") {
		t.Errorf("build after the tag was moved: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "charts")); err != nil {
		t.Fatal(err)
	}
	res, err := r.Resolve(ctx, repo.Request{Ref: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Complete(ctx, res.Chart, res.Dir); !errors.As(err, &replaced) {
		t.Errorf("completing after the tag was moved: %v", err)
	}
	if err := vendor(repo.VendorOptions{Pin: true}); err != nil || lock() == pinned {
		t.Errorf("an update takes what is there now: %v", err)
	}
}

// TestRegistryAsRepository: a registry under a name: its charts are used, found and
// listed; one without a catalog can be used.
func TestRegistryAsRepository(t *testing.T) {
	host := newRegistry(t, "", "")
	ctx := context.Background()
	r := newResolver(t)
	for _, at := range []struct{ below, name, version string }{
		{"/team", "shop", "1.0.0"}, {"/team", "shop", "1.1.0+b.1"}, {"/team", "shop", "2.0.0-rc.1"}, {"/team", "desk", "0.1.0"}, {"/team/deep", "hidden", "1.0.0"}, {"/other", "alien", "1.0.0"},
	} {
		if _, err := r.Push(ctx, packed(t, chartTree(at.name, at.version)), "oci://"+host+at.below, repo.Access{}); err != nil {
			t.Fatal(err)
		}
	}
	e := repo.Repository{Name: "team", URL: "oci://" + host + "/team"}
	add(t, r, e)
	if done, err := r.Update(ctx, &e); err != nil || done.Unchanged || done.Note != "" {
		t.Fatalf("%+v, %v", done, err)
	}
	if done, err := r.Update(ctx, &e); err != nil || !done.Unchanged {
		t.Errorf("again: %+v, %v", done, err)
	}
	hits, err := r.Search(repo.SearchQuery{Words: []string{"team", "server"}, Versions: true, Devel: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range hits {
		got = append(got, h.Name+" "+h.Version)
	}
	if want := "team/desk 0.1.0, team/shop 2.0.0-rc.1, team/shop 1.1.0+b.1, team/shop 1.0.0"; strings.Join(got, ", ") != want {
		t.Errorf("found %s, want %s", strings.Join(got, ", "), want)
	}
	for version, want := range map[string]string{"": "1.1.0+b.1", "<1.1": "1.0.0", "1.0.0": "1.0.0"} {
		res, err := r.Resolve(ctx, repo.Request{Ref: "team/shop", Version: version})
		if err != nil || res.Chart.Metadata.Version != want {
			t.Errorf("version %q: %v, want %s", version, err, want)
		}
	}
	if got := versionsOf(t, r, "team/shop"); got != "1.1.0+b.1 1.0.0" {
		t.Errorf("versions %s", got)
	}
	if got := versionsOf(t, r, "oci://"+host+"/team/shop"); got != "1.1.0+b.1 1.0.0" {
		t.Errorf("versions %s", got)
	}
}

// TestRegistryWithoutCatalog: one that lists nothing is told, and can be used; one that
// wants credentials is an error.
func TestRegistryWithoutCatalog(t *testing.T) {
	ctx := context.Background()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	refusal := http.StatusNotFound
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/_catalog") {
			http.Error(w, `{"errors":[{"code":"UNSUPPORTED"}]}`, refusal)
			return
		}
		inner.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	r := newResolver(t)
	if _, err := r.Push(ctx, packed(t, chartTree("shop", "1.0.0")), "oci://"+host+"/team", repo.Access{}); err != nil {
		t.Fatal(err)
	}
	e := repo.Repository{Name: "team", URL: "oci://" + host + "/team"}
	add(t, r, e)
	if done, err := r.Update(ctx, &e); err != nil || !strings.Contains(done.Note, "does not list its charts (Not Found)") {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := r.Resolve(ctx, repo.Request{Ref: "team/shop"}); err != nil {
		t.Error(err)
	}
	refusal = http.StatusUnauthorized
	if _, err := r.Update(ctx, &e); err == nil || !strings.Contains(err.Error(), e.URL) {
		t.Errorf("without credentials: %v", err)
	}
}

// TestImportHelm: repositories with all settings, logins, and those of a credential
// helper; what is there stays unless it is to be replaced.
func TestImportHelm(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("repositories.yaml", `apiVersion: ""
generated: "0001-01-01T00:00:00Z"
repositories:
- {name: all, url: https://all.example.com, username: me, password: secret, caFile: ca.pem, certFile: /c.pem, keyFile: /k.pem, insecure_skip_tls_verify: true, pass_credentials_all: true}
- {name: same, url: https://same.example.com}
- {name: other, url: https://other.example.com}
- {name: bundled, url: https://bundled.example.com}
`)
	write("registry/config.json", `{"auths":{"a.example.com":{"auth":"bWU6c2VjcmV0"},"b.example.com":{}},"credHelpers":{"b.example.com":"vault"}}`)
	r := newResolver(t)
	r.RegistryConfig = filepath.Join(t.TempDir(), "config.json")
	add(t, r, repo.Repository{Name: "same", URL: "https://same.example.com"})
	add(t, r, repo.Repository{Name: "other", URL: "https://mine.example.com"})
	state := func(force bool) string {
		t.Helper()
		found, err := r.ImportHelm(filepath.Join(dir, "repositories.yaml"), stamp, force)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, i := range found {
			state, _, _ := strings.Cut(string(i.State), " ")
			out = append(out, i.Kind[:1]+" "+i.Name+" "+state)
		}
		return strings.Join(out, ", ")
	}
	if got, want := state(false), "r all added, r same already, r other kept, r bundled refused, l a.example.com added, l b.example.com added"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	list, err := r.Repositories()
	if err != nil {
		t.Fatal(err)
	}
	want := repo.Repository{Name: "all", URL: "https://all.example.com", Username: "me", Password: "secret", CAFile: filepath.Join(dir, "ca.pem"),
		CertFile: "/c.pem", KeyFile: "/k.pem", InsecureSkipTLSVerify: true, PassCredentialsAll: true}
	if *list[2] != want {
		t.Errorf("got %+v, want %+v", *list[2], want)
	}
	data, err := os.ReadFile(r.RegistryConfig)
	if err != nil || !strings.Contains(string(data), `"auth": "bWU6c2VjcmV0"`) || !strings.Contains(string(data), `"b.example.com": "vault"`) {
		t.Errorf("%s, %v", data, err)
	}
	if got, want := state(true), "r all already, r same already, r other replaced, r bundled refused, l a.example.com already, l b.example.com already"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
