//go:build !front

package chart

import (
	"fmt"
	"net/http"
)

// notGzipped is Helm's error for a file that is no archive: it says what it looks like.
func notGzipped(name string, head []byte) error {
	return fmt.Errorf("file '%s' does not appear to be a gzipped archive; got '%s'", name, http.DetectContentType(head))
}
