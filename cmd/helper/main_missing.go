//go:build !(linux && cgo && seccomp)

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "helper: built without libcontainer: run make build, which needs gcc and libseccomp-dev")
	os.Exit(1)
}
