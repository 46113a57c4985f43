//go:build !front

package main

import (
	"fmt"
	"strings"
)

// edit is one line of a diff; kind is ' ', '-' or '+'.
type edit struct {
	kind byte
	text string
}

// diffLines is a shortest edit script, by Myers' greedy algorithm ("An O(ND)
// Difference Algorithm and Its Variations", 1986).
func diffLines(a, b []string) []edit {
	n, m := len(a), len(b)
	furthest := map[int]int{1: 0} // by diagonal x-y
	var trace []map[int]int
	for d := 0; d <= n+m; d++ {
		row := make(map[int]int, len(furthest))
		for k, x := range furthest {
			row[k] = x
		}
		trace = append(trace, row)
		for k := -d; k <= d; k += 2 {
			x := furthest[k-1] + 1
			if k == -d || k != d && furthest[k-1] < furthest[k+1] {
				x = furthest[k+1]
			}
			for x < n && x-k < m && a[x] == b[x-k] {
				x++
			}
			furthest[k] = x
			if x >= n && x-k >= m {
				return backtrack(a, b, trace)
			}
		}
	}
	return nil
}

// backtrack walks the trace from the end and returns the edits in order.
func backtrack(a, b []string, trace []map[int]int) []edit {
	x, y := len(a), len(b)
	var back []edit
	for d := len(trace) - 1; d >= 0; d-- {
		v, k := trace[d], x-y
		before := k - 1
		if k == -d || k != d && v[k-1] < v[k+1] {
			before = k + 1
		}
		px := v[before]
		py := px - before
		for x > px && y > py && x > 0 && y > 0 {
			x, y = x-1, y-1
			back = append(back, edit{' ', a[x]})
		}
		if d == 0 {
			break
		}
		if x == px {
			y--
			back = append(back, edit{'+', b[y]})
		} else {
			x--
			back = append(back, edit{'-', a[x]})
		}
	}
	out := make([]edit, 0, len(back))
	for i := len(back) - 1; i >= 0; i-- {
		out = append(out, back[i])
	}
	return out
}

// writeHunks prints the changes between two texts with lines of context around
// them, -1 for all of it. A new or deleted text is printed whole.
func writeHunks(b *strings.Builder, p painter, before, after []string, context int) {
	edits := diffLines(before, after)
	near := make([]bool, len(edits))
	for i, e := range edits {
		if e.kind == ' ' && context >= 0 {
			continue
		}
		for j := max(0, i-context); j <= min(len(edits)-1, i+max(context, 0)); j++ {
			near[j] = true
		}
	}
	line, skipped := 0, true
	for i, e := range edits {
		if e.kind != '-' {
			line++
		}
		if !near[i] && context >= 0 {
			skipped = true
			continue
		}
		if skipped && before != nil && after != nil && context >= 0 {
			fmt.Fprintln(b, p.cyan(fmt.Sprintf("@@ line %d @@", max(line, 1))))
		}
		skipped = false
		text := string(e.kind) + " " + e.text
		switch e.kind {
		case '-':
			text = p.red(text)
		case '+':
			text = p.green(text)
		}
		fmt.Fprintln(b, text)
	}
}
