package engine

import (
	"regexp"
	"text/template"
)

// maxRegexes bounds how many compiled expressions a rendering keeps.
const maxRegexes = 1000

// regex compiles an expression once; nil when it is none.
func (r *run) regex(expr string) *regexp.Regexp {
	re, ok := r.regexes[expr]
	if !ok {
		re, _ = regexp.Compile(expr)
		if len(r.regexes) < maxRegexes {
			r.regexes[expr] = re
		}
	}
	return re
}

// regexFuncs are sprig's functions of regular expressions, which compile at each
// call. Of what is no expression sprig's own complain.
func (r *run) regexFuncs(shared template.FuncMap) template.FuncMap {
	find := shared["regexFind"].(func(string, string) string)
	replace := shared["regexReplaceAll"].(func(string, string, string) string)
	literal := shared["regexReplaceAllLiteral"].(func(string, string, string) string)
	split := shared["regexSplit"].(func(string, string, int) []string)
	return template.FuncMap{
		"regexMatch": func(expr, s string) bool {
			re := r.regex(expr)
			return re != nil && re.MatchString(s)
		},
		"regexFind": func(expr, s string) string {
			if re := r.regex(expr); re != nil {
				return re.FindString(s)
			}
			return find(expr, s)
		},
		"regexReplaceAll": func(expr, s, by string) string {
			if re := r.regex(expr); re != nil {
				return re.ReplaceAllString(s, by)
			}
			return replace(expr, s, by)
		},
		"regexReplaceAllLiteral": func(expr, s, by string) string {
			if re := r.regex(expr); re != nil {
				return re.ReplaceAllLiteralString(s, by)
			}
			return literal(expr, s, by)
		},
		"regexSplit": func(expr, s string, n int) []string {
			if re := r.regex(expr); re != nil {
				return re.Split(s, n)
			}
			return split(expr, s, n)
		},
	}
}
