//go:build !front

package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/seed38700745/pkg/repo/signature"
)

// Signed is one signature of a chart.
type Signed struct {
	Form  string `json:"form"`         // "provenance", "cosign", "cosign bundle"
	By    string `json:"by,omitempty"` // who or which key made it, when it is good
	Good  bool   `json:"good"`
	State string `json:"state"` // "good", or why it is not
}

// Signatures lists the signatures of a chart, by whatever policy. Those of cosign are
// checked with the keys, provenance with check, which returns who signed.
func (r *Resolver) Signatures(ctx context.Context, req Request, keys []signature.Key, check func(*Archive) (string, error)) (*Archive, []Signed, error) {
	a, err := r.pull(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	list := []Signed{}
	if a.Provenance, err = r.provenanceOf(ctx, a); err != nil {
		return nil, nil, err
	}
	if a.Provenance != nil {
		s := Signed{Form: "provenance"}
		by, err := check(a)
		list = append(list, s.judged(by, err))
	}
	found, err := r.cosigned(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range found {
		s := Signed{Form: "cosign"}
		if f.err != nil {
			list = append(list, s.judged("", f.err))
			continue
		}
		s.Form = f.Form
		key, err := f.Verify(a.Manifest, keys)
		list = append(list, s.judged(key.Name, err))
	}
	return a, list, nil
}

func (s Signed) judged(by string, err error) Signed {
	s.By, s.Good, s.State = by, err == nil, "good"
	if err != nil {
		s.State = err.Error()
	}
	return s
}

// checkRule wants one good signature.
func (r *Resolver) checkRule(ctx context.Context, rule Rule, file string, a *Archive, req Request) error {
	refused := &UnsignedError{Ref: req.Ref, Rule: rule, File: file}
	var reasons []string
	if len(rule.Keys) > 0 {
		reason, err := r.checkCosigned(ctx, rule, a)
		if err != nil {
			return err
		}
		if reason == "" {
			return nil
		}
		reasons = append(reasons, reason)
	}
	if rule.Keyring != "" {
		data, err := r.provenanceOf(ctx, a)
		if err != nil {
			return err
		}
		if data == nil {
			reasons = append(reasons, "it has no provenance file")
		} else {
			with := *a
			with.Provenance = data
			err := r.CheckProvenance(rule.Keyring, &with)
			if err == nil {
				return nil
			}
			reasons = append(reasons, "its provenance file is not good: "+err.Error())
		}
	}
	refused.Reason = strings.Join(reasons, ", and ")
	return refused
}

// checkCosigned looks for a signature by one of a rule's keys; it returns why there is
// none.
func (r *Resolver) checkCosigned(ctx context.Context, rule Rule, a *Archive) (reason string, err error) {
	if a.Ref == "" {
		return "only charts in registries (oci://) can have one of cosign", nil
	}
	var keys []signature.Key
	for _, file := range rule.Keys {
		more, err := signature.ReadKeys(file)
		if err != nil {
			return "", fmt.Errorf("policy for %s: %w", rule.Charts, err)
		}
		keys = append(keys, more...)
	}
	found, err := r.cosigned(ctx, a)
	if err != nil {
		return "", err
	}
	reason = "the registry has none"
	for _, f := range found {
		if f.err == nil {
			if _, f.err = f.Verify(a.Manifest, keys); f.err == nil {
				return "", nil
			}
		}
		reason = "the one that the registry has does not count: " + f.err.Error()
	}
	return reason, nil
}

// provenanceOf returns the provenance file of an archive, nil when it has none.
func (r *Resolver) provenanceOf(ctx context.Context, a *Archive) ([]byte, error) {
	if a.Provenance != nil || a.Ref == "" && a.url == "" {
		return a.Provenance, nil
	}
	if a.Ref == "" {
		data, _, err := r.fetchKept(ctx, a.url+".prov", a.access, maxFileSize)
		var status *statusError
		if errors.As(err, &status) && status.code == http.StatusNotFound {
			return nil, nil
		}
		return data, err
	}
	source, repository, err := r.sourceOf(ctx, a)
	if err != nil {
		return nil, err
	}
	raw, _, err := source.manifest(repository.Digest(a.Manifest))
	if err != nil {
		return nil, err
	}
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	for _, layer := range m.Layers {
		if layer.MediaType == mediaProvenance {
			return source.blob(repository, layer)
		}
	}
	return nil, nil
}

// sourceOf is the registry that an archive came from.
func (r *Resolver) sourceOf(ctx context.Context, a *Archive) (*registrySource, name.Repository, error) {
	text, _, _ := strings.Cut(strings.TrimPrefix(a.Ref, OCIScheme), "@")
	text, _, _ = cutTag(text)
	repository, err := parseRepository(text, a.access)
	if err != nil {
		return nil, repository, err
	}
	source, err := r.registry(ctx, a.access)
	return source, repository, err
}

// cosignature is a signature in a registry, or why it cannot be read.
type cosignature struct {
	*signature.Signature
	err error
}

// cosigned finds the signatures that cosign attached to a chart in a registry: under
// the tag made of the digest, and among its referrers.
func (r *Resolver) cosigned(ctx context.Context, a *Archive) ([]cosignature, error) {
	if a.Ref == "" {
		return nil, nil
	}
	source, repository, err := r.sourceOf(ctx, a)
	if err != nil {
		return nil, err
	}
	refs := []name.Reference{repository.Tag(signature.Tag(a.Manifest))}
	attached, err := source.referrers(repository.Digest(a.Manifest))
	if err != nil && !isMissing(err) {
		return nil, fmt.Errorf("signatures of %s: %w", a.Ref, err)
	}
	for _, d := range attached {
		refs = append(refs, repository.Digest(d.Digest.String()))
	}
	var out []cosignature
	for _, ref := range refs {
		raw, _, err := source.manifest(ref)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("signatures of %s: %w", a.Ref, err)
		}
		list, err := source.cosignatures(repository, raw)
		if err != nil {
			return nil, fmt.Errorf("signatures of %s: %w", a.Ref, err)
		}
		out = append(out, list...)
	}
	return out, nil
}

// cosignatures reads the signatures among the layers of a manifest.
func (s *registrySource) cosignatures(repository name.Repository, raw []byte) ([]cosignature, error) {
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	var out []cosignature
	for _, layer := range m.Layers {
		kind := string(layer.MediaType)
		if kind != signature.SimpleType && !strings.HasPrefix(kind, signature.BundlePrefix) {
			continue
		}
		data, err := s.blob(repository, layer)
		if err != nil {
			return nil, err
		}
		var c cosignature
		if kind == signature.SimpleType {
			c.Signature, c.err = signature.Simple(data, layer.Annotations[signature.SimpleAnnotation])
		} else {
			c.Signature, c.err = signature.Bundle(data)
		}
		out = append(out, c)
	}
	return out, nil
}

// isMissing reports that a registry has no such thing.
func isMissing(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}
