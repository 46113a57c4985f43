package lint

import "strings"

// templateLine guesses which line of a template made a line of what it rendered
// (both 1-based; 0 when there is no template). Lines are told by their literal
// text. A line without any match came out of an include or toYaml; then it is the
// nearest line above that has an action. Loops and repeated lines go to the
// candidate nearest to the place that was reached, so the answer is exact where
// lines differ, and near where they do not.
func templateLine(template, rendered string, line int) int {
	if template == "" {
		return 0
	}
	lines := parseTemplate(template)
	at := 0 // index of the template line that was reached
	for _, text := range head(strings.Split(rendered, "\n"), line) {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		if next, ok := bestLine(lines, text, at); ok {
			at = next
			continue
		}
		for i := at; i < len(lines) && i <= at+maxGap; i++ { // an action that prints many lines
			if lines[i].prints {
				at = i
				break
			}
		}
	}
	return at + 1
}

// maxGap is how far below the place reached a line with an action is looked for.
const maxGap = 30

func head(lines []string, n int) []string { return lines[:min(n, len(lines))] }

// templateText is one line of a template.
type templateText struct {
	parts  []string // literal text around actions
	weight int      // characters of literal text
	prints bool     // has an action that prints lines
}

// parseTemplate splits a template into lines and those into literals and actions;
// actions may span lines.
func parseTemplate(text string) []templateText {
	var out []templateText
	inside := false
	for _, line := range strings.Split(text, "\n") {
		var t templateText
		rest := line
		for {
			if inside {
				_, after, closed := strings.Cut(rest, "}}")
				if !closed {
					break
				}
				inside, rest = false, after
			}
			literal, action, opened := strings.Cut(rest, "{{")
			t.parts = append(t.parts, literal)
			t.weight += len(strings.TrimSpace(literal))
			if !opened {
				break
			}
			inside, rest = true, action
			for _, word := range []string{"include", "template", "toYaml", "tpl", "toJson", "range", "Files", "printf", ".Values"} {
				t.prints = t.prints || strings.Contains(action, word)
			}
		}
		if len(t.parts) > 0 {
			t.parts[0] = strings.TrimLeft(t.parts[0], " \t")
			last := len(t.parts) - 1
			t.parts[last] = strings.TrimRight(t.parts[last], " \t\r")
		}
		out = append(out, t)
	}
	return out
}

// matches reports whether a rendered, trimmed line can come from the line.
func (t templateText) matches(text string) bool {
	if t.weight == 0 {
		return false
	}
	if len(t.parts) == 1 {
		return text == t.parts[0]
	}
	for i, part := range t.parts {
		switch i {
		case 0:
			part = strings.TrimRight(part, " ") // the action may begin with a trim marker
			if !strings.HasPrefix(text, part) {
				return false
			}
			text = text[len(part):]
		case len(t.parts) - 1:
			return strings.HasSuffix(text, part)
		default:
			at := strings.Index(text, strings.TrimSpace(part))
			if at < 0 {
				return false
			}
			text = text[at+len(strings.TrimSpace(part)):]
		}
	}
	return true
}

// bestLine chooses among the lines that match: much literal text is good, distance
// from the line after the one reached is bad, going back (loops) a little worse.
func bestLine(lines []templateText, text string, at int) (int, bool) {
	best, bestScore, found := 0, 0, false
	for i, t := range lines {
		if !t.matches(text) {
			continue
		}
		distance := i - at - 1
		if distance < 0 {
			distance = 5 - distance
		}
		if score := 4*min(t.weight, 40) - min(distance, 100); !found || score > bestScore {
			best, bestScore, found = i, score, true
		}
	}
	return best, found
}
