package page

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/seed38700745/pkg/repo/server/depot"
)

// pageSize is how many charts a list shows at a time.
const pageSize = 30

// row is a chart in a list.
type row struct {
	Tenant string
	*depot.Entry
	Versions int
	score    int
	lower    string // the name
}

// Shown are the keywords that there is room for.
func (r *row) Shown() []string {
	const most, longest = 5, 24
	var out []string
	for _, k := range r.Keywords {
		if len(out) < most && len(k) <= longest && k != "" {
			out = append(out, k)
		}
	}
	return out
}

// folder is a tenant in the start page.
type folder struct {
	Name   string
	Charts int
}

// link is one to another page of a list.
type link struct {
	Text, URL string
	Current   bool
}

// listView is what a list shows.
type listView struct {
	frame
	Rows           []*row
	Total          int
	First, Last    int // of the rows, from 1
	Folders        []folder
	Own            bool // there are charts in the tenant itself, not only below it
	Sorts          []link
	Pages          []link
	Previous, Next string
}

func (p *Page) serveList(w http.ResponseWriter, r *http.Request, f frame, tenants []string) {
	const longest = 200 // bytes of a query
	q := r.URL.Query()
	f.Query = strings.ToValidUTF8(strings.TrimSpace(q.Get("q")), "")
	f.Query = f.Query[:min(longest, len(f.Query))]
	f.Home = true
	f.Title = cmp.Or(f.Tenant, "Charts")
	order := q.Get("sort")
	rows := p.search(tenants, strings.Fields(strings.ToLower(f.Query)), order)
	v := listView{frame: f, Total: len(rows)}
	v.Own = slices.ContainsFunc(rows, func(r *row) bool { return r.Tenant == f.Tenant })
	if f.Query == "" {
		v.Folders = folders(rows, f.Tenant)
	}
	at, err := strconv.Atoi(q.Get("page"))
	if err != nil || at < 1 {
		at = 1
	}
	last := max(1, (len(rows)+pageSize-1)/pageSize)
	at = min(at, last)
	v.First = min((at-1)*pageSize+1, len(rows))
	v.Last = min(at*pageSize, len(rows))
	v.Rows = rows[max(0, v.First-1):v.Last]
	address := func(page int, order string) string {
		q := url.Values{}
		if f.Query != "" {
			q.Set("q", f.Query)
		}
		if order != "" {
			q.Set("sort", order)
		}
		if page > 1 {
			q.Set("page", strconv.Itoa(page))
		}
		return "?" + q.Encode()
	}
	for _, s := range []link{{Text: "Best match"}, {Text: "Name", URL: "name"}, {Text: "Newest", URL: "new"}} {
		if s.URL == "" && f.Query == "" {
			continue
		}
		s.Current = order == s.URL || f.Query == "" && order == "" && s.URL == "name"
		s.URL = address(1, s.URL)
		v.Sorts = append(v.Sorts, s)
	}
	for _, n := range pagesAround(at, last) {
		if n == 0 {
			v.Pages = append(v.Pages, link{Text: "…"})
			continue
		}
		v.Pages = append(v.Pages, link{strconv.Itoa(n), address(n, order), n == at})
	}
	if at > 1 {
		v.Previous = address(at-1, order)
	}
	if at < last {
		v.Next = address(at+1, order)
	}
	p.write(w, r, http.StatusOK, "list.html", v)
}

// pagesAround are the first, the last and those around one; 0 stands for a gap.
func pagesAround(at, last int) []int {
	if last == 1 {
		return nil
	}
	var out []int
	before := 0
	for n := 1; n <= last; n++ {
		if n != 1 && n != last && (n < at-1 || n > at+1) {
			continue
		}
		if n > before+1 {
			out = append(out, 0)
		}
		out = append(out, n)
		before = n
	}
	return out
}

// folders counts the charts of each tenant below one.
func folders(rows []*row, below string) []folder {
	count := map[string]int{}
	for _, r := range rows {
		if r.Tenant != below {
			count[r.Tenant]++
		}
	}
	out := make([]folder, 0, len(count))
	for name, n := range count {
		out = append(out, folder{name, n})
	}
	slices.SortFunc(out, func(a, b folder) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// search finds the charts that have all words in name, tenant, description or
// keywords, in the order wanted: "new" by date, "name", else the best first.
func (p *Page) search(tenants, words []string, order string) []*row {
	var rows []row
	for _, tenant := range tenants {
		for _, name := range p.config.Charts.Names(tenant) {
			versions := p.config.Charts.Versions(tenant, name)
			if len(versions) == 0 {
				continue // deleted meanwhile
			}
			r := row{Tenant: tenant, Entry: newest(versions), Versions: len(versions), lower: strings.ToLower(name)}
			if r.score = rank(tenant, r.lower, r.Entry, words); r.score >= 0 {
				rows = append(rows, r)
			}
		}
	}
	byName := func(a, b *row) int {
		return cmp.Or(strings.Compare(a.lower, b.lower), strings.Compare(a.Tenant, b.Tenant))
	}
	sorted := make([]*row, len(rows))
	for i := range rows {
		sorted[i] = &rows[i]
	}
	slices.SortFunc(sorted, func(a, b *row) int {
		switch order {
		case "new":
			return cmp.Or(b.Created.Compare(a.Created), byName(a, b))
		case "name":
			return byName(a, b)
		}
		return cmp.Or(cmp.Compare(b.score, a.score), byName(a, b))
	})
	return sorted
}

// newest is the newest of a chart's versions that is no prerelease, if there is one.
func newest(versions []*depot.Entry) *depot.Entry {
	for _, e := range versions {
		if !prerelease(e.Version) {
			return e
		}
	}
	return versions[0]
}

// rank says how well a chart fits, whose name is in lower case; -1 is not at all.
func rank(tenant, name string, e *depot.Entry, words []string) int {
	if len(words) == 0 {
		return 0
	}
	total, text := 0, ""
	for _, w := range words {
		score := 0
		switch {
		case name == w:
			score = 100
		case strings.HasPrefix(name, w):
			score = 50
		case strings.Contains(name, w):
			score = 30
		case slices.ContainsFunc(e.Keywords, func(k string) bool { return strings.EqualFold(k, w) }):
			score = 20
		default:
			if text == "" {
				text = strings.ToLower(e.Description + "\n" + strings.Join(e.Keywords, "\n") + "\n" + tenant)
			}
			if !strings.Contains(text, w) {
				return -1
			}
			score = 5
		}
		total += score
	}
	if e.Deprecated {
		total /= 4
	}
	return total
}
