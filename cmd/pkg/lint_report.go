//go:build !front

package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed38700745/pkg/engine/lint"
)

// lintFormat is lint's -o: those of other commands, and two that CI systems read.
type lintFormat struct {
	outputFormat
}

var ciFormats = []string{"junit", "sarif"}

// Set accepts the formats.
func (o *lintFormat) Set(s string) error {
	if slices.Contains(ciFormats, s) {
		o.outputFormat = outputFormat(s)
		return nil
	}
	if o.outputFormat.Set(s) != nil {
		return fmt.Errorf("invalid format type %q: allowed values are table, json, yaml, junit, sarif", s)
	}
	return nil
}

func (o *lintFormat) add(f *pflag.FlagSet) {
	o.outputFormat = "table"
	f.VarP(o, "output", "o", "prints the output in the specified format. Allowed values: table, json, yaml, junit, sarif")
}

// report prints results, and fails when charts did.
func (o *lintOptions) report(a *app, results []lintResult, total, failed int) error {
	var err error
	switch o.format.outputFormat {
	case "junit":
		err = writeJUnit(a.Out, results)
	case "sarif":
		err = writeSARIF(a.Out, results)
	case "", "table":
		writeLintText(a.Out, results)
	default:
		err = o.format.write(a.Out, results, nil)
	}
	if err != nil {
		return err
	}
	summary := fmt.Sprintf("%d chart(s) linted, %d chart(s) failed", total, failed)
	if failed > 0 {
		return errors.New(summary)
	}
	if (o.format.outputFormat == "table" || o.format.outputFormat == "") && (!o.quiet || len(results) > 0) {
		_, err = fmt.Fprintln(a.Out, summary)
	}
	return err
}

func writeLintText(w io.Writer, results []lintResult) {
	for _, r := range results {
		fmt.Fprintf(w, "==> Linting %s\n", r.Chart)
		if r.Error != "" {
			fmt.Fprintf(w, "Error %s\n", r.Error)
		}
		for _, f := range r.Findings {
			fmt.Fprintln(w, f)
		}
		fmt.Fprintln(w)
	}
}

// writeJUnit prints one test suite a chart and one test case a finding; findings
// that are no failures are system-out.
func writeJUnit(w io.Writer, results []lintResult) error {
	type message struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	type testCase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Failure *message `xml:"failure,omitempty"`
		Output  string   `xml:"system-out,omitempty"`
	}
	type suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testCase `xml:"testcase"`
	}
	var suites struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []suite  `xml:"testsuite"`
	}
	for _, r := range results {
		s := suite{Name: r.Chart}
		for _, f := range r.all() {
			c := testCase{Name: fmt.Sprintf("%s:%d %s", f.Path, f.Line, f.Field), Class: r.Chart}
			if f.Severity == lint.Error {
				s.Failures++
				c.Failure = &message{Message: f.Message, Type: f.Severity.String(), Text: f.String()}
			} else {
				c.Output = f.String()
			}
			s.Cases = append(s.Cases, c)
		}
		if len(s.Cases) == 0 {
			s.Cases = []testCase{{Name: "lint", Class: r.Chart}}
		}
		s.Tests = len(s.Cases)
		suites.Suites = append(suites.Suites, s)
	}
	data, err := xml.MarshalIndent(suites, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, data)
	return err
}

// all is the findings with the chart's own error as one of them.
func (r lintResult) all() []lint.Finding {
	if r.Error == "" {
		return r.Findings
	}
	return append([]lint.Finding{{Severity: lint.Error, Path: ".", Message: r.Error}}, r.Findings...)
}

// writeSARIF prints the Static Analysis Results Interchange Format 2.1.0 (OASIS).
func writeSARIF(w io.Writer, results []lintResult) error {
	type object = map[string]any
	found := []object{}
	for _, r := range results {
		for _, f := range r.all() {
			place := object{"artifactLocation": object{"uri": filepath.ToSlash(filepath.Join(r.Chart, f.Path))}}
			if f.Line > 0 {
				place["region"] = object{"startLine": f.Line}
			}
			text := f.Message
			if f.Field != "" {
				text = f.Field + ": " + text
			}
			rule := f.Rule
			if rule == "" {
				rule = "helm"
			}
			found = append(found, object{
				"ruleId":    rule,
				"level":     map[lint.Severity]string{lint.Info: "note", lint.Warning: "warning", lint.Error: "error"}[f.Severity],
				"message":   object{"text": strings.TrimSpace(text)},
				"locations": []object{{"physicalLocation": place}},
			})
		}
	}
	rules := []object{}
	for _, id := range []string{"helm", lint.RuleObject, lint.RuleDuplicate, lint.RuleRemovedAPI} {
		rules = append(rules, object{"id": id})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(object{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json",
		"version": "2.1.0",
		"runs": []object{{
			"tool":    object{"driver": object{"name": "pkg lint", "version": programVersion(), "rules": rules}},
			"results": found,
		}},
	})
}
