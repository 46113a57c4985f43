package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// program finds another program of ours beside this one.
func program(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", withHint(fmt.Errorf("program %s is missing beside %s", name, self), "make build, or install the whole package")
	}
	return path, nil
}
