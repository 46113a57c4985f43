//go:build front

package funcs

import (
	"fmt"

	"github.com/seed38700745/pkg/chart"
)

// heavy are the functions that the full program has. Here they take all arguments,
// so that it complains about wrong ones.
func heavy(name string) any {
	if !isHeavy(name) {
		return nil
	}
	return func(...any) (any, error) {
		return nil, fmt.Errorf("template function %s: %w", name, chart.ErrElsewhere)
	}
}
