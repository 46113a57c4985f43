package funcs

import (
	"fmt"
	"net/url"
	"reflect"
)

// urlParse takes a URL apart.
func urlParse(s string) map[string]any {
	u, err := url.Parse(s)
	if err != nil {
		panic(fmt.Sprintf("unable to parse url: %s", err))
	}
	user := ""
	if u.User != nil {
		user = u.User.String()
	}
	return map[string]any{
		"scheme":   u.Scheme,
		"host":     u.Host,
		"hostname": u.Hostname(),
		"path":     u.Path,
		"query":    u.RawQuery,
		"opaque":   u.Opaque,
		"fragment": u.Fragment,
		"userinfo": user,
	}
}

// urlJoin puts a URL together.
func urlJoin(parts map[string]any) string {
	u := url.URL{
		Scheme:   urlPart(parts, "scheme"),
		Host:     urlPart(parts, "host"),
		Path:     urlPart(parts, "path"),
		RawQuery: urlPart(parts, "query"),
		Opaque:   urlPart(parts, "opaque"),
		Fragment: urlPart(parts, "fragment"),
	}
	if user := urlPart(parts, "userinfo"); user != "" {
		only, err := url.Parse("proto://" + user + "@host")
		if err != nil {
			panic(fmt.Sprintf("unable to parse userinfo in dict: %s", err))
		}
		u.User = only.User
	}
	return u.String()
}

func urlPart(parts map[string]any, key string) string {
	v, ok := parts[key]
	if !ok {
		return ""
	}
	if kind := reflect.TypeOf(v).Kind(); kind != reflect.String {
		panic(fmt.Sprintf("unable to parse %s key, must be of type string, but %s found", key, kind))
	}
	return reflect.ValueOf(v).String()
}
