//go:build !front

package chart

import (
	"fmt"
	"net/http"
)

// notGzipped is Helm's error for a file that is no archive: it says what it looks like,
// to Helm with zeros behind a short one.
func notGzipped(name string, head []byte) error {
	var sniffed [sniffLength]byte
	copy(sniffed[:], head)
	return fmt.Errorf("file '%s' does not appear to be a gzipped archive; got '%s'", name, http.DetectContentType(sniffed[:]))
}
