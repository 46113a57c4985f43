package funcs

import "regexp"

// What is no regular expression never matches; elsewhere it is a panic, or an error
// of the functions that begin with must.

func regexMatch(expr, s string) bool {
	found, _ := regexp.MatchString(expr, s)
	return found
}

func mustRegexMatch(expr, s string) (bool, error) { return regexp.MatchString(expr, s) }

func regexFind(expr, s string) string { return regexp.MustCompile(expr).FindString(s) }

func mustRegexFind(expr, s string) (string, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return "", err
	}
	return re.FindString(s), nil
}

func regexFindAll(expr, s string, n int) []string {
	return regexp.MustCompile(expr).FindAllString(s, n)
}

func mustRegexFindAll(expr, s string, n int) ([]string, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	return re.FindAllString(s, n), nil
}

func regexReplaceAll(expr, s, by string) string {
	return regexp.MustCompile(expr).ReplaceAllString(s, by)
}

func mustRegexReplaceAll(expr, s, by string) (string, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllString(s, by), nil
}

func regexReplaceAllLiteral(expr, s, by string) string {
	return regexp.MustCompile(expr).ReplaceAllLiteralString(s, by)
}

func mustRegexReplaceAllLiteral(expr, s, by string) (string, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllLiteralString(s, by), nil
}

func regexSplit(expr, s string, n int) []string { return regexp.MustCompile(expr).Split(s, n) }

func mustRegexSplit(expr, s string, n int) ([]string, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	return re.Split(s, n), nil
}

func regexQuoteMeta(s string) string { return regexp.QuoteMeta(s) }
