package main

import (
	"bytes"
	"context"
	"fmt"

	"sigs.k8s.io/yaml"
)

// ageArmor begins files of age in text form.
const ageArmor = "-----BEGIN AGE ENCRYPTED FILE-----"

// decrypt returns a values file in the clear: one that SOPS encrypted, by the user's
// sops; one of age, with the user's keys. Any other is returned as it is.
func (a *app) decrypt(ctx context.Context, name string, data []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(data, []byte("age-encryption.org/")), bytes.HasPrefix(data, []byte(ageArmor)):
		out, err := a.decryptAge(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return out, nil
	case bytes.Contains(data, []byte("sops")) && isSOPS(data):
		out, err := a.decryptSOPS(ctx, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return out, nil
	}
	return data, nil
}

// isSOPS recognises what SOPS adds to a file.
func isSOPS(data []byte) bool {
	var file struct {
		SOPS struct {
			MAC     string `json:"mac"`
			Version string `json:"version"`
		} `json:"sops"`
	}
	return yaml.Unmarshal(data, &file) == nil && file.SOPS.MAC != "" && file.SOPS.Version != ""
}
