package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRoutes(t *testing.T) {
	const routes = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100A8C0	0003	0	0	0	00000000	0	0	0
wg0	0000290A	00000000	0001	0	0	0	0000FEFF	0	0	0
`
	var got []string
	for _, r := range parseRoutes(routes) {
		got = append(got, r.link+" "+r.to.String())
	}
	if diff := cmp.Diff([]string{"eth0 0.0.0.0/0", "wg0 10.41.0.0/15"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDroppingChains(t *testing.T) {
	const output = `{"nftables": [{"metainfo": {}}, {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}},
{"chain": {"family": "inet", "table": "pkg-0a1b2c3d", "name": "forward", "hook": "forward", "policy": "drop"}},
{"chain": {"family": "ip", "table": "filter", "name": "OUTPUT", "hook": "output", "policy": "drop"}}, {"chain": {"family": "ip", "table": "filter", "name": "DOCKER"}}]}`
	got, err := droppingChains([]byte(output))
	if diff := cmp.Diff([]string{"chain FORWARD of table ip filter"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// TestSurvey grades every check, and leaves nothing in the data folder.
func TestSurvey(t *testing.T) {
	home := t.TempDir()
	s := Subject{Home: filepath.Join(home, "not", "there"), PodCIDR: netip.MustParsePrefix("10.42.0.0/16"),
		ServiceCIDR: netip.MustParsePrefix("10.142.0.0/16"), APIPort: 0, Env: func(name string) string {
			if name == "HTTPS_PROXY" {
				return "http://proxy.test:3128"
			}
			return ""
		}}
	grades := map[string]Grade{}
	for _, f := range Survey(t.Context(), s) {
		if f.Name == "" || f.Detail == "" || f.Grade == Failed && f.Remedy == "" {
			t.Errorf("incomplete: %+v", f)
		}
		grades[f.Name] = f.Grade
	}
	if grades["proxy"] != Warning || grades["disk speed"] == "" || grades["kernel"] == "" {
		t.Errorf("grades %v", grades)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
