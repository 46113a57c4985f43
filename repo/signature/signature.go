// Package signature checks the signatures that cosign makes with a key: of the digest
// of a manifest in a registry, in both of the forms in which cosign stores them.
//
//   - "Simple signing", the layout of cosign 1 and 2: a JSON payload that names the
//     digest, and a signature of its bytes (cosign's SIGNATURE_SPEC.md).
//   - A Sigstore bundle, the layout of cosign 3: a DSSE envelope around an in-toto
//     statement whose subject is the digest (sigstore's protobuf-specs, DSSE 1.0).
//
// Only public keys count; certificates of Fulcio and entries of transparency logs are
// not looked at.
package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Media types and names by which signatures are found in a registry.
const (
	SimpleType       = "application/vnd.dev.cosign.simplesigning.v1+json" // of a layer
	SimpleAnnotation = "dev.cosignproject.cosign/signature"               // of that layer
	BundlePrefix     = "application/vnd.dev.sigstore.bundle"              // of a layer
	statementType    = "application/vnd.in-toto+json"                     // in a bundle's envelope
	signType         = "https://sigstore.dev/cosign/sign/v1"              // of a statement that is a signature
	simpleType       = "cosign container image signature"                 // of a simple payload
)

// ErrUnknownKey is wrapped when a signature fits none of the keys.
var ErrUnknownKey = errors.New("made with another key")

// Tag is the tag under which the signatures of a manifest are kept, given its digest.
func Tag(digest string) string { return strings.Replace(digest, ":", "-", 1) + ".sig" }

// Key is a public key.
type Key struct {
	Name   string // the file it came from
	public crypto.PublicKey
}

// ReadKeys reads the public keys of a PEM file.
func ReadKeys(file string) ([]Key, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var keys []Key
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("%s: a %s, not a PUBLIC KEY (cosign public-key --key FILE prints it)", file, block.Type)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		keys = append(keys, Key{Name: file, public: public})
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: no public key in PEM form in it", file)
	}
	return keys, nil
}

// verify checks a signature of a message.
func (k Key) verify(message, signature []byte) bool {
	short := sha256.Sum256(message)
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(public, short[:], signature) {
			return true
		}
		switch public.Curve.Params().BitSize { // newer versions take the hash that fits the curve
		case 384:
			sum := sha512.Sum384(message)
			return ecdsa.VerifyASN1(public, sum[:], signature)
		case 521:
			sum := sha512.Sum512(message)
			return ecdsa.VerifyASN1(public, sum[:], signature)
		}
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, short[:], signature) == nil ||
			rsa.VerifyPSS(public, crypto.SHA256, short[:], signature, nil) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(public, message, signature)
	}
	return false
}

// Signature is one that was found. It says nothing until it is verified.
type Signature struct {
	Form    string   // "cosign" or "cosign bundle"
	digests []string // that it is for
	message []byte   // whose bytes were signed
	made    [][]byte // signatures of message
}

// Simple reads a layer of the older layout: its content and its annotation.
func Simple(payload []byte, annotation string) (*Signature, error) {
	made, err := base64.StdEncoding.DecodeString(annotation)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	var p struct {
		Critical struct {
			Type  string `json:"type"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return nil, fmt.Errorf("signed payload: %w", err)
	}
	if p.Critical.Image.Digest == "" || p.Critical.Type != simpleType {
		return nil, errors.New("the signed payload is not one of cosign")
	}
	return &Signature{Form: "cosign", digests: []string{p.Critical.Image.Digest}, message: payload, made: [][]byte{made}}, nil
}

// Bundle reads a Sigstore bundle with an envelope.
func Bundle(data []byte) (*Signature, error) {
	var b struct {
		Envelope *struct {
			Payload     []byte `json:"payload"`
			PayloadType string `json:"payloadType"`
			Signatures  []struct {
				Sig []byte `json:"sig"`
			} `json:"signatures"`
		} `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if b.Envelope == nil || b.Envelope.PayloadType != statementType {
		return nil, errors.New("the bundle holds no statement about a chart")
	}
	var statement struct {
		PredicateType string `json:"predicateType"`
		Subject       []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
	if err := json.Unmarshal(b.Envelope.Payload, &statement); err != nil {
		return nil, fmt.Errorf("signed statement: %w", err)
	}
	if statement.PredicateType != signType { // who says what is in a chart does not vouch for it
		return nil, fmt.Errorf("it is an attestation (%s), no signature", statement.PredicateType)
	}
	s := &Signature{Form: "cosign bundle", message: envelope(b.Envelope.PayloadType, b.Envelope.Payload)}
	for _, subject := range statement.Subject {
		if sum := subject.Digest["sha256"]; sum != "" {
			s.digests = append(s.digests, "sha256:"+sum)
		}
	}
	for _, made := range b.Envelope.Signatures {
		s.made = append(s.made, made.Sig)
	}
	if len(s.digests) == 0 || len(s.made) == 0 {
		return nil, errors.New("the bundle's statement is about nothing, or not signed")
	}
	return s, nil
}

// envelope is DSSE's pre-authentication encoding: the bytes that are signed.
func envelope(kind string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
}

// Verify checks that the signature is for a digest, and returns the key that made it.
func (s *Signature) Verify(digest string, keys []Key) (Key, error) {
	if !slices.Contains(s.digests, digest) {
		return Key{}, fmt.Errorf("it is for %s, not for %s", strings.Join(s.digests, ", "), digest)
	}
	for _, k := range keys {
		for _, made := range s.made {
			if k.verify(s.message, made) {
				return k, nil
			}
		}
	}
	return Key{}, ErrUnknownKey
}
