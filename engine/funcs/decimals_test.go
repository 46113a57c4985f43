package funcs

import (
	"fmt"
	"math"
	"math/rand"
	"testing"

	"github.com/Masterminds/sprig/v3"
)

// TestSameDecimalsAsSprig compares the arithmetic of floats on many of them.
func TestSameDecimalsAsSprig(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	sprigs := sprig.TxtFuncMap()
	number := func() any {
		switch r.Intn(8) {
		case 0:
			return math.Float64frombits(r.Uint64())
		case 1:
			return float64(r.Intn(2000)-1000) / 100
		case 2:
			return math.Ldexp(float64(r.Intn(1<<20)+1), r.Intn(2000)-1000)
		case 3:
			return r.Intn(20) - 5
		case 4:
			return math.Float64frombits(r.Uint64() % (1 << 53)) // the smallest
		case 5:
			return fmt.Sprintf("%d.%de%d", r.Intn(100), r.Intn(10000), r.Intn(40)-20)
		}
		return r.NormFloat64() * math.Pow(10, float64(r.Intn(12)))
	}
	for range 5000 {
		args := make([]any, r.Intn(4)+1)
		for i := range args {
			args[i] = number()
		}
		for _, name := range []string{"addf", "subf", "mulf", "divf"} {
			var out [2]string
			for i, fn := range []any{sprigs[name], Lookup(name)} {
				func() {
					defer func() {
						if p := recover(); p != nil {
							out[i] = fmt.Sprint(p)
						}
					}()
					switch fn := fn.(type) {
					case func(...any) float64:
						out[i] = fmt.Sprint(fn(args...))
					case func(any, ...any) float64:
						out[i] = fmt.Sprint(fn(args[0], args[1:]...))
					}
				}()
			}
			if out[0] != out[1] {
				t.Fatalf("%s %v gives %s, sprig %s", name, args, out[1], out[0])
			}
		}
	}
}
