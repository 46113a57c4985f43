package main

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-containerregistry/pkg/registry"
)

// memoryRegistry is a registry for the test; its host and port.
func memoryRegistry(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// writeKeys makes a key for "tester" and writes its keyring files into dir.
func writeKeys(t *testing.T, dir string) (private, public string) {
	t.Helper()
	config := &packet.Config{RSABits: 2048, DefaultHash: crypto.SHA512}
	e, err := openpgp.NewEntity("tester", "", "tester@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	var secret, open bytes.Buffer
	if err := errors.Join(e.SerializePrivate(&secret, config), e.Serialize(&open)); err != nil {
		t.Fatal(err)
	}
	private, public = filepath.Join(dir, "secring.gpg"), filepath.Join(dir, "pubring.gpg")
	if err := errors.Join(os.WriteFile(private, secret.Bytes(), 0o600), os.WriteFile(public, open.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return private, public
}
