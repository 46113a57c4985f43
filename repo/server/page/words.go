package page

import (
	"fmt"
	"hash/fnv"
	"html/template"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// tenantPath is the URL of a tenant's list.
func tenantPath(tenant string) string {
	if tenant == "" {
		return "/"
	}
	return "/" + tenant + "/"
}

// chartPath is a chart's URL; version and tab may be "", and tab may have folders.
func chartPath(tenant, name, version, tab string) string {
	p := strings.TrimSuffix(tenantPath(tenant), "/") + "/-/" + name
	if version != "" {
		p += "/" + url.PathEscape(version)
	}
	if tab != "" {
		p += (&url.URL{Path: "/" + tab}).EscapedPath()
	}
	return p
}

// archivePath is an archive's URL.
func archivePath(tenant, file string) string {
	return tenantPath(tenant) + "charts/" + url.PathEscape(file)
}

func humanSize(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// humanNumber groups thousands.
func humanNumber(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", humanNumber(n/1000), n%1000)
}

// plural is a count with its word.
func plural(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return humanNumber(n) + " " + word
}

func humanDate(t time.Time) string { return t.Format("2 Jan 2006") }

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

// tile is one of eight colours, always the same for a name.
func tile(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // cannot fail
	return fmt.Sprintf("tile%d", h.Sum32()%8)
}

// initial is the letter on a chart's tile.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return "?"
}

// address is a web address in a text, without the mark that ends the sentence.
var address = regexp.MustCompile(`https?://[^\s<>"'()\[\]{}|\\^]*[^\s<>"'()\[\]{}|\\^.,;:!?]`)

// web tells whether a text is a web address and nothing else.
func web(text string) bool {
	at := address.FindStringIndex(text)
	return at != nil && at[0] == 0 && at[1] == len(text)
}

// linked is a text whose web addresses are links.
func linked(text string) template.HTML {
	var out strings.Builder
	for {
		at := address.FindStringIndex(text)
		if at == nil {
			out.WriteString(template.HTMLEscapeString(text))
			return template.HTML(out.String())
		}
		url := template.HTMLEscapeString(text[at[0]:at[1]])
		out.WriteString(template.HTMLEscapeString(text[:at[0]]))
		out.WriteString(`<a href="` + url + `" rel="nofollow noopener noreferrer">` + url + `</a>`)
		text = text[at[1]:]
	}
}
