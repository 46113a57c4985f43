//go:build !front

package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/seed38700745/pkg/release"
)

// treePrinter draws what runs of a release. Lines are: the branch with its mark,
// what there is to know, the age; a reason stands on a line of its own where the
// branch is not ready.
type treePrinter struct {
	paint painter
	now   time.Time
	rows  []treeRow
}

// treeRow is one line before its columns are aligned.
type treeRow struct {
	lead  string // the lines of the drawing
	phase release.Phase
	name  string
	facts string
	age   string
	cause string
	below string // the drawing left of what follows
}

// printTree writes a release's tree, the first cause, and the latest events.
func (a *app) printTree(w io.Writer, t *release.Tree, paint painter) error {
	p := &treePrinter{paint: paint, now: a.Now()}
	for _, b := range t.Objects {
		p.add(b, "", "")
	}
	var s strings.Builder
	if t.Cause != "" {
		fmt.Fprintf(&s, "%s %s\n", paint.red("NOT READY:"), t.Cause)
	}
	s.WriteString("RESOURCES:\n")
	p.write(&s)
	if len(t.Events) > 0 {
		s.WriteString("LAST EVENTS:\n")
		for _, e := range t.Events {
			p.event(&s, e)
		}
	}
	for _, h := range t.Hidden {
		fmt.Fprintf(&s, "not shown: %s\n", h)
	}
	_, err := io.WriteString(w, s.String())
	return err
}

// add makes the rows of a branch; lead is drawn before it, below before its
// children.
func (p *treePrinter) add(b *release.Branch, lead, below string) {
	row := treeRow{lead: lead, below: below, phase: b.Phase, name: b.Name, facts: strings.Join(b.Facts, ", ")}
	if b.Phase != release.Ready {
		row.cause = b.Cause
	}
	if !b.Created.IsZero() {
		row.age = duration.HumanDuration(max(p.now.Sub(b.Created), 0))
	}
	if len(b.Children) > 0 {
		row.below += "│ "
	} else {
		row.below += "  "
	}
	p.rows = append(p.rows, row)
	for i, c := range b.Children {
		if i == len(b.Children)-1 {
			p.add(c, below+"└ ", below+"  ")
		} else {
			p.add(c, below+"├ ", below+"│ ")
		}
	}
}

// maxTreeName is the widest first column; longer names push their own line only.
const maxTreeName = 52

func (p *treePrinter) write(s *strings.Builder) {
	names, facts := 0, 0
	for _, r := range p.rows {
		names = max(names, min(utf8.RuneCountInString(r.lead+r.name), maxTreeName))
		if n := utf8.RuneCountInString(r.facts); n <= maxTreeName {
			facts = max(facts, n)
		}
	}
	for _, r := range p.rows {
		mark := p.paint.green("✓")
		switch r.phase {
		case release.Waiting:
			mark = p.paint.paint("33", "…")
		case release.Failed:
			mark = p.paint.red("✗")
		}
		gap := strings.Repeat(" ", max(names-utf8.RuneCountInString(r.lead+r.name), 0))
		line := fmt.Sprintf("  %s%s %s%s  %s", p.paint.faint(r.lead), mark, r.name, gap, r.facts)
		if r.age != "" {
			line += strings.Repeat(" ", max(facts-utf8.RuneCountInString(r.facts), 0)) + "  " + p.paint.faint(r.age)
		}
		s.WriteString(strings.TrimRight(line, " ") + "\n")
		if r.cause != "" {
			fmt.Fprintf(s, "  %s  %s\n", p.paint.faint(r.below), p.paint.paint("33", r.cause))
		}
	}
}

func (p *treePrinter) event(s *strings.Builder, e release.Notice) {
	text := fmt.Sprintf("%s: %s", e.Reason, e.Message)
	if e.Type == "Warning" {
		text = p.paint.paint("33", text)
	}
	if e.Count > 1 {
		text += fmt.Sprintf(" (%d times)", e.Count)
	}
	fmt.Fprintf(s, "  %5s ago  %s  %s\n", duration.HumanDuration(max(p.now.Sub(e.Time), 0)), e.Object, text)
}
