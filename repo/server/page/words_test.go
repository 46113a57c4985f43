package page

import "testing"

func TestLinked(t *testing.T) {
	for text, want := range map[string]string{
		"a <b> & c":                          "a &lt;b&gt; &amp; c",
		"see https://e.org/a?b=1&c=2.":       `see <a href="https://e.org/a?b=1&amp;c=2" rel="nofollow noopener noreferrer">https://e.org/a?b=1&amp;c=2</a>.`,
		`"http://e.org" javascript:x`:        `&#34;<a href="http://e.org" rel="nofollow noopener noreferrer">http://e.org</a>&#34; javascript:x`,
		"https://a.b https://c.d/\"onclick=": `<a href="https://a.b" rel="nofollow noopener noreferrer">https://a.b</a> <a href="https://c.d/" rel="nofollow noopener noreferrer">https://c.d/</a>&#34;onclick=`,
	} {
		if have := string(linked(text)); have != want {
			t.Errorf("%q:\nhave %s\nwant %s", text, have, want)
		}
	}
}

func TestWords(t *testing.T) {
	for want, have := range map[string]string{
		"1 chart": plural(1, "chart"), "1,234,567 charts": plural(1234567, "chart"), "0 charts": plural(0, "chart"),
		"512 B": humanSize(512), "1.5 KiB": humanSize(1536), "2.0 MiB": humanSize(2 << 20),
		"/a/b/-/c/1.0.0+x/diff":                        chartPath("a/b", "c", "1.0.0+x", "diff"),
		"/-/c/1.0.0/templates/templates/%3Ca%20b.yaml": chartPath("", "c", "1.0.0", "templates/templates/<a b.yaml"),
		"Ä": initial("ä1"), "?": initial("-"),
	} {
		if have != want {
			t.Errorf("have %q, want %q", have, want)
		}
	}
}
