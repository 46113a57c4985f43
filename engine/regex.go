package engine

import (
	"regexp"

	"github.com/seed38700745/pkg/engine/funcs"
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

// regexFunc returns one of the functions of regular expressions that charts use, such
// that it compiles an expression once; nil for other names. Of what is no expression
// the function of package funcs complains.
func (r *run) regexFunc(name string) any {
	complain := funcs.Lookup
	switch name {
	case "regexMatch":
		return func(expr, s string) bool {
			re := r.regex(expr)
			return re != nil && re.MatchString(s)
		}
	case "regexFind":
		return func(expr, s string) string {
			if re := r.regex(expr); re != nil {
				return re.FindString(s)
			}
			return complain(name).(func(string, string) string)(expr, s)
		}
	case "regexReplaceAll":
		return func(expr, s, by string) string {
			if re := r.regex(expr); re != nil {
				return re.ReplaceAllString(s, by)
			}
			return complain(name).(func(string, string, string) string)(expr, s, by)
		}
	case "regexReplaceAllLiteral":
		return func(expr, s, by string) string {
			if re := r.regex(expr); re != nil {
				return re.ReplaceAllLiteralString(s, by)
			}
			return complain(name).(func(string, string, string) string)(expr, s, by)
		}
	case "regexSplit":
		return func(expr, s string, n int) []string {
			if re := r.regex(expr); re != nil {
				return re.Split(s, n)
			}
			return complain(name).(func(string, string, int) []string)(expr, s, n)
		}
	}
	return nil
}
