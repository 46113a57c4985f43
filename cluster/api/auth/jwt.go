package auth

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// es256Half is the length in bytes of r and of s in an ES256 signature
// (RFC 7518, 3.4).
const es256Half = 32

// maxTokenSize bounds what is parsed before its signature is checked.
const maxTokenSize = 64 << 10

// signer makes and checks compact JWTs signed with ES256.
type signer struct {
	key *ecdsa.PrivateKey
	id  string // the key id in the header
}

// header is a JWT's protected header.
type header struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
}

// newSigner derives the key id as Kubernetes does: from the public key's hash.
func newSigner(key *ecdsa.PrivateKey) (*signer, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("service account key: %w", err)
	}
	if key.Curve.Params().BitSize != 8*es256Half {
		return nil, errors.New("service account key: want an ECDSA key on curve P-256")
	}
	sum := sha256.Sum256(der)
	return &signer{key: key, id: encode(sum[:])}, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign returns the token that says claims.
func (s *signer) sign(claims any) (string, error) {
	head, err := json.Marshal(header{Algorithm: "ES256", KeyID: s.id})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := encode(head) + "." + encode(body)
	sum := sha256.Sum256([]byte(signed))
	r, t, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 2*es256Half)
	r.FillBytes(signature[:es256Half])
	t.FillBytes(signature[es256Half:])
	return signed + "." + encode(signature), nil
}

// verify checks a token's signature and decodes its claims. It accepts no
// algorithm but its own, whatever the header says.
func (s *signer) verify(token string, claims any) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > maxTokenSize {
		return errors.New("not a service account token")
	}
	raw := make([][]byte, len(parts))
	for i, part := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return errors.New("not a service account token")
		}
	}
	var h header
	if err := json.Unmarshal(raw[0], &h); err != nil {
		return errors.New("not a service account token")
	}
	if h.Algorithm != "ES256" || h.KeyID != s.id {
		return errors.New("the token is signed by somebody else")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if len(raw[2]) != 2*es256Half || !ecdsa.Verify(&s.key.PublicKey, sum[:],
		new(big.Int).SetBytes(raw[2][:es256Half]), new(big.Int).SetBytes(raw[2][es256Half:])) {
		return errors.New("the token's signature is wrong")
	}
	if err := json.Unmarshal(raw[1], claims); err != nil {
		return fmt.Errorf("the token's claims: %w", err)
	}
	return nil
}
