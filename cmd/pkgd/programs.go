package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed programs
var programs embed.FS

// installPrograms writes the embedded shim and helper below dir, once for each
// version of them: a running shim keeps its file across upgrades.
func installPrograms(dir string) (shim, helper string, err error) {
	if shim, err = installProgram(dir, "shim"); err != nil {
		return "", "", err
	}
	helper, err = installProgram(dir, "helper")
	return shim, helper, err
}

func installProgram(dir, name string) (string, error) {
	data, err := programs.ReadFile("programs/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("this pkgd was built without its %s: run make build", name)
	}
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	path := filepath.Join(dir, "bin", name+"-"+hex.EncodeToString(sum[:8]))
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(data)) {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+name)
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o755), f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("install %s: %w", path, err)
	}
	return path, os.Rename(f.Name(), path)
}
