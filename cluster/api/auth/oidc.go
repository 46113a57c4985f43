package auth

import (
	"encoding/json"
	"net/http"
)

// Where the discovery documents are (OpenID Connect Discovery 1.0). Others use
// them to check this cluster's tokens.
const (
	ConfigurationPath = "/.well-known/openid-configuration"
	KeysPath          = "/openid/v1/jwks"
)

// configuration is the discovery document, as far as Kubernetes fills it.
type configuration struct {
	Issuer        string   `json:"issuer"`
	KeysURI       string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	SigningAlgs   []string `json:"id_token_signing_alg_values_supported"`
}

// jwk is a public key (RFC 7517).
type jwk struct {
	Use       string `json:"use"`
	Type      string `json:"kty"`
	ID        string `json:"kid"`
	Curve     string `json:"crv"`
	Algorithm string `json:"alg"`
	X         string `json:"x"`
	Y         string `json:"y"`
}

// Configuration serves ConfigurationPath.
func (t *Tokens) Configuration(w http.ResponseWriter, _ *http.Request) {
	serveDocument(w, "application/json", configuration{
		Issuer:        t.issuer,
		KeysURI:       t.issuer + KeysPath,
		ResponseTypes: []string{"id_token"},
		SubjectTypes:  []string{"public"},
		SigningAlgs:   []string{"ES256"},
	})
}

// Keys serves KeysPath.
func (t *Tokens) Keys(w http.ResponseWriter, _ *http.Request) {
	// An uncompressed point is 4, x, y (SEC 1, 2.3.3).
	point, err := t.signer.key.PublicKey.Bytes()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	serveDocument(w, "application/jwk-set+json", map[string][]jwk{"keys": {{
		Use: "sig", Type: "EC", ID: t.signer.id, Curve: "P-256", Algorithm: "ES256",
		X: encode(point[1 : 1+es256Half]), Y: encode(point[1+es256Half:]),
	}}})
}

func serveDocument(w http.ResponseWriter, contentType string, document any) {
	data, err := json.Marshal(document)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Write(data)
}
