package stack

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const shop = `
name: shop
namespace: shop
variables: {TAG: "1", REGION: eu, EMPTY: ""}
repositories:
- {name: team, url: "https://charts.test/${REGION}", username: me, password: "${PASSWORD}"}
environments:
  production: {namespace: shop-live, variables: {TAG: "2"}}
releases:
- name: web
  chart: team/web
  version: ^1
  needs: [db, cache/redis]
  values: {image: {tag: "${TAG}"}, price: "$$5", mode: "${MODE:-plain}", empty: "${EMPTY}"}
  valuesFiles: ["${ENVIRONMENT:-dev}.yaml"]
  timeout: 90s
  environments:
    production: {version: 1.2.3, values: {replicas: 3}}
    small: {enabled: false}
- {name: db, chart: stable/mysql, atomic: true}
- {name: redis, namespace: cache, chart: stable/redis}
`

func parse(text, environment string, shell map[string]string) (*Stack, error) {
	return Parse([]byte(text), Options{Environment: environment, Namespace: "default", Lookup: func(name string) (string, bool) {
		v, ok := shell[name]
		return v, ok
	}})
}

func TestParse(t *testing.T) {
	shell := map[string]string{"PASSWORD": "p", "REGION": "us"}
	got, err := parse(shop, "", shell)
	if err != nil {
		t.Fatal(err)
	}
	web := Release{
		Name: "web", Namespace: "shop", Chart: "team/web", Version: "^1", Timeout: 90 * time.Second,
		Needs: []ID{{"shop", "db"}, {"cache", "redis"}},
		Values: []Values{{Files: []string{"dev.yaml"}, Table: map[string]any{
			"image": map[string]any{"tag": "1"}, "price": "$5", "mode": "plain", "empty": "",
		}}},
	}
	none := []Values{{}}
	want := &Stack{
		Name:         "shop",
		Repositories: []Repository{{Name: "team", URL: "https://charts.test/us", Username: "me", Password: "p"}},
		Releases: []Release{web,
			{Name: "db", Namespace: "shop", Chart: "stable/mysql", Atomic: true, Values: none},
			{Name: "redis", Namespace: "cache", Chart: "stable/redis", Values: none},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	got, err = parse(shop, "production", shell)
	if err != nil {
		t.Fatal(err)
	}
	live := got.Releases[0]
	if live.Namespace != "shop-live" || live.Version != "1.2.3" || len(live.Values) != 2 || live.Values[0].Files[0] != "production.yaml" ||
		live.Values[0].Table["image"].(map[string]any)["tag"] != "2" || live.Values[1].Table["replicas"] != 3.0 {
		t.Errorf("production: %+v", live)
	}

	got, err = parse(shop, "small", shell)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Releases) != 2 || got.Releases[0].Name != "db" {
		t.Errorf("small: %+v", got.Releases)
	}
}

func TestParseRefuses(t *testing.T) {
	release := func(rest string) string { return "name: s\nreleases:\n- {name: a, chart: x/a, " + rest + "}\n" }
	for _, x := range []struct{ text, environment, want string }{
		{"releases: []", "", "missing property 'name'"},
		{release("chrt: x"), "", "'chrt' not allowed"},
		{release(`name: "a b"`), "", "does not match pattern"},
		{"name: s\nreleases: {a: 1}", "", "got object, want array"},
		{release(`values: {x: "${NOBODY}"}`), "", "releases[0].values.x: the variable NOBODY is not set"},
		{release(`values: {x: "${NOBODY:?who is it}"}`), "", "releases[0].values.x: NOBODY: who is it"},
		{release("needs: [b]"), "", "release default/a needs default/b, which the stack does not have"},
		{release("needs: [b]") + "- {name: b, chart: x/b, enabled: false}", "", "needs default/b, which is not enabled"},
		{release("needs: [b]") + "- {name: b, chart: x/b, needs: [a]}", "", "needs go in a circle: a -> b -> a"},
		{release("needs: []") + "- {name: a, chart: x/b}", "", "releases[1]: the stack has default/a twice"},
		{release("timeout: long"), "", "releases[0].timeout"},
		{shop, "prod", `no environment "prod"; the file has: production, small`},
		{"name: [", "", "yaml"},
	} {
		if got, err := parse(x.text, x.environment, map[string]string{"PASSWORD": "p"}); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, %v; want %q", x.text, got, err, x.want)
		}
	}
}

func TestOrder(t *testing.T) {
	s, err := parse(shop, "", map[string]string{"PASSWORD": "p"})
	if err != nil {
		t.Fatal(err)
	}
	ordered, err := s.order()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range ordered {
		names = append(names, r.Name)
	}
	if diff := cmp.Diff([]string{"db", "redis", "web"}, names); diff != "" {
		t.Error(diff)
	}
	r := Runner{Stack: s}
	got := r.removalOrder([]ID{{"shop", "db"}, {"shop", "web"}, {"old", "x"}, {"cache", "redis"}})
	if diff := cmp.Diff([]ID{{"old", "x"}, {"shop", "web"}, {"cache", "redis"}, {"shop", "db"}}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(shop, "production")
	f.Add("name: a\nreleases: [{name: b, chart: c, needs: [b]}]", "")
	f.Fuzz(func(t *testing.T, text, environment string) {
		if s, err := parse(text, environment, nil); (s == nil) == (err == nil) {
			t.Errorf("%v, %v", s, err)
		}
	})
}
