package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"text/template"
	"time"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/engine/funcs"
	"github.com/seed38700745/pkg/engine/internal/endless"
)

// Limits bound what a rendering may take, so that a template that loops for ever or
// prints without end stops with an error. Zero fields mean the defaults, negative
// ones no limit.
type Limits struct {
	Time   time.Duration // of all templates together
	Output int64         // bytes that templates write, those of includes counted each time
	Memory int64         // bytes of the whole process's heap
}

// Default limits: a hundred times what the largest public charts take.
const (
	DefaultMaxTime   = 2 * time.Minute
	DefaultMaxOutput = 1 << 30
	DefaultMaxMemory = 4 << 30
)

func (l Limits) withDefaults() Limits {
	if l.Time == 0 {
		l.Time = DefaultMaxTime
	}
	if l.Output == 0 {
		l.Output = DefaultMaxOutput
	}
	if l.Memory == 0 {
		l.Memory = DefaultMaxMemory
	}
	return l
}

// LimitError says that a rendering was stopped.
type LimitError struct {
	Reached string // "more than 2m0s"
	Flag    string // of pkg, which raises the limit
}

// Error says which limit was reached.
func (e *LimitError) Error() string {
	return "rendering takes " + e.Reached + ": a template seems to loop or to print without end"
}

// Hint names the flag that raises the limit.
func (e *LimitError) Hint() string { return "--" + e.Flag + " raises the limit" }

// watchInterval is how often a rendering's memory is looked at.
const watchInterval = 20 * time.Millisecond

// Render renders a chart. Failures inside templates are [*TemplateError], limits
// [*LimitError]; when the rendered text is not YAML the error comes with an Output
// that has only Files. A template that loops without calling or printing anything
// cannot be interrupted: then Render returns at its limit and one goroutine goes on.
func Render(ctx context.Context, in Input) (*Output, error) {
	in.Limits = in.Limits.withDefaults()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if in.Limits.Time > 0 {
		timer := time.AfterFunc(in.Limits.Time, func() {
			cancel(&LimitError{Reached: fmt.Sprintf("more than %v", in.Limits.Time), Flag: "max-render-time"})
		})
		defer timer.Stop()
	}
	type result struct {
		out *Output
		err error
	}
	done := make(chan result, 1)
	go func() { // ends with its rendering; see above for those that do not
		out, err := render(ctx, in)
		done <- result{out, err}
	}()
	watch := time.NewTicker(watchInterval)
	defer watch.Stop()
	for {
		select {
		case r := <-done:
			var limit *LimitError
			if errors.Is(r.err, chart.ErrElsewhere) {
				return nil, r.err
			}
			if r.err != nil && errors.As(context.Cause(ctx), &limit) {
				return nil, limit // whatever way it went through the templates
			}
			return r.out, r.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-watch.C:
			if in.Limits.Memory > 0 && heapSize() > uint64(in.Limits.Memory) {
				cancel(&LimitError{Reached: "more than " + bytesText(in.Limits.Memory) + " of memory", Flag: "max-render-memory"})
			}
		}
	}
}

// heapSize is the size of all objects on the heap, in bytes.
func heapSize() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m) // package runtime/metrics would take longer to start than most charts need this for
	return m.HeapAlloc
}

func bytesText(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// writer collects the text of one template and counts it for the whole run.
type writer struct {
	strings.Builder
	run *run
}

// Write is what template engines call for every piece of text.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.count(len(p)); err != nil {
		return 0, err
	}
	return w.Builder.Write(p)
}

// WriteString is Write for strings.
func (w *writer) WriteString(s string) (int, error) {
	if err := w.count(len(s)); err != nil {
		return 0, err
	}
	return w.Builder.WriteString(s)
}

// count adds n bytes to what the run has written.
func (w *writer) count(n int) error {
	r := w.run
	r.written += int64(n)
	if r.in.Limits.Output > 0 && r.written > r.in.Limits.Output {
		return r.stop("more than "+bytesText(r.in.Limits.Output)+" of text", "max-render-output")
	}
	if r.writes++; r.writes%1024 == 0 && r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return nil
}

// stop ends the whole rendering with a limit.
func (r *run) stop(reached, flag string) error {
	err := &LimitError{Reached: reached, Flag: flag}
	r.cancel(err)
	return err
}

// listItem is how many bytes one item of a list takes.
const listItem = 8

// fits stops the rendering if n bytes are more than it may take.
func (r *run) fits(n float64) error {
	if limit := r.in.Limits.Memory; limit > 0 && n > float64(limit) {
		return r.stop("more than "+bytesText(limit)+" of memory", "max-render-memory")
	}
	return nil
}

// live passes a text on while the run goes on: so loops that build texts end with it.
func (r *run) live(text string) (string, error) {
	if r.ctx.Err() != nil {
		return "", context.Cause(r.ctx)
	}
	return text, nil
}

// printer is a function that makes a text of its arguments, if that comes to an end and
// the run goes on.
func (r *run) printer(text func(...any) string) func(...any) (string, error) {
	printer := endless.Printer(text)
	return func(args ...any) (string, error) {
		out, err := printer(args...)
		if err != nil {
			return "", err
		}
		return r.live(out)
	}
}

// boundedNames are the functions that boundedFunc has.
const boundedNames = "html js print printf println repeat until untilStep urlquery"

// boundedFunc returns a function whose result a template can make as large as it likes
// with one call, or with one and a loop, such that it keeps to the limits; nil for
// other names.
func (r *run) boundedFunc(name string) any {
	switch name {
	case "print":
		return r.printer(fmt.Sprint)
	case "println":
		return r.printer(fmt.Sprintln)
	case "html":
		return r.printer(template.HTMLEscaper)
	case "js":
		return r.printer(template.JSEscaper)
	case "urlquery":
		return r.printer(template.URLQueryEscaper)
	case "printf":
		return func(format string, args ...any) (string, error) {
			return r.printer(func(args ...any) string { return fmt.Sprintf(format, args...) })(args...)
		}
	case "until":
		until := funcs.Lookup(name).(func(int) []int)
		return func(count int) ([]int, error) {
			if err := r.fits(listItem * max(float64(count), -float64(count))); err != nil {
				return nil, err
			}
			return until(count), nil
		}
	case "untilStep":
		untilStep := funcs.Lookup(name).(func(int, int, int) []int)
		return func(start, stop, step int) ([]int, error) {
			if step != 0 {
				if err := r.fits(listItem * (float64(stop) - float64(start)) / float64(step)); err != nil {
					return nil, err
				}
			}
			return untilStep(start, stop, step), nil
		}
	case "repeat":
		repeat := funcs.Lookup(name).(func(int, string) string)
		return func(count int, text string) (string, error) {
			if err := r.fits(float64(count) * float64(len(text))); err != nil {
				return "", err
			}
			return repeat(count, text), nil
		}
	}
	return nil
}
