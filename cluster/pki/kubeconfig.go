package pki

import (
	"encoding/base64"
	"fmt"
)

// Kubeconfig returns a kubeconfig (YAML) whose only context, "pkg", reaches
// server ("https://127.0.0.1:6443") with the given PEM blocks.
func Kubeconfig(server string, ca, cert, key []byte) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: pkg
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %s
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: pkg
  context:
    cluster: pkg
    user: %[3]s
current-context: pkg
preferences: {}
`, server, b64(ca), adminName, b64(cert), b64(key))
}
