//go:build front

package chart

import "fmt"

// notGzipped leaves the wording to the full program, which links what tells media types.
func notGzipped(name string, _ []byte) error {
	return fmt.Errorf("file '%s' does not appear to be a gzipped archive: %w", name, ErrElsewhere)
}
