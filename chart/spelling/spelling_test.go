package spelling

import "testing"

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"mysql", "mysql", 0}, {"msql", "mysql", 1}, {"mysql", "", 5}, {"kitten", "sitting", 3}} {
		if got := Distance(c.a, c.b); got != c.want || Distance(c.b, c.a) != c.want {
			t.Errorf("%q to %q: %d, want %d both ways", c.a, c.b, got, c.want)
		}
	}
}
