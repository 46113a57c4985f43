//go:build !front

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/client"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/release"
)

// logsFlags choose what of the logs is printed.
type logsFlags struct {
	follow     bool
	previous   bool
	timestamps bool
	since      time.Duration
	tail       int64
	container  string
	selector   string
}

// followTail is how many lines of the past -f shows of each container.
const followTail = 20

func newLogsCommand(a *app) *cobra.Command {
	var f logsFlags
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "print the logs of all pods of a release",
		Long: `Print the logs of all containers of all pods of a release, each line after the name of
its pod. With -f also what comes, from pods that start later, too, until interrupted;
starts and ends of containers are said on stderr.

Exit codes: 0 done, 1 failed (also when the release has no pods), 2 wrong usage.`,
		Example: "  pkg logs mysql -f\n  pkg logs web --since 10m -c nginx --timestamps\n  pkg logs web -p",
		Args:    a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.follow && !cmd.Flags().Changed("tail") && f.since == 0 {
				f.tail = followTail
			}
			return runLogs(cmd.Context(), a, args[0], f)
		},
	}
	p := cmd.Flags()
	p.BoolVarP(&f.follow, "follow", "f", false, "go on as the logs grow, and with new pods")
	p.BoolVarP(&f.previous, "previous", "p", false, "of each container the instance before its last restart")
	p.BoolVar(&f.timestamps, "timestamps", false, "begin each line with the time when it was written")
	p.DurationVar(&f.since, "since", 0, "only lines younger than this, like 5s, 2m or 3h")
	p.Int64Var(&f.tail, "tail", -1, "the last lines of each container; -1 for all, with -f 20 by default")
	p.StringVarP(&f.container, "container", "c", "", "only containers of this name")
	p.StringVarP(&f.selector, "selector", "l", "", "only pods with these labels, such as app=web")
	return cmd
}

func runLogs(ctx context.Context, a *app, name string, f logsFlags) error {
	selector, err := labels.Parse(f.selector)
	if err != nil {
		return usagef("--selector %q: %w", f.selector, err)
	}
	if f.follow && f.previous {
		return usagef("-f and -p exclude each other: what ended does not grow")
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	r, err := c.releases(a, "logs")
	if err != nil {
		return err
	}
	rel, err := r.Get(ctx, name, 0)
	if err != nil {
		return err
	}
	pods, err := r.Pods(ctx, rel)
	if err != nil {
		return err
	}
	if len(pods.Namespaces) == 0 {
		return withHint(fmt.Errorf("release %s has nothing that runs pods", name), "pkg get manifest %s", name)
	}
	has := func(o object.Object) bool { return pods.Has(o) && selector.Matches(labels.Set(o.GetLabels())) }
	l := &logPrinter{out: a.Out, talk: a.Err, paint: painter{on: a.colored("auto")}}
	if f.follow {
		return followLogs(ctx, c, l, pods.Namespaces, has, f)
	}
	return printLogs(ctx, c, l, pods, has, name, f)
}

// podResource is where pods are.
func podResource() object.Resource { return object.Resource{Resource: "pods"} }

// printLogs prints what there is, one container after the other.
func printLogs(ctx context.Context, c *connection, l *logPrinter, pods *release.Pods, has func(object.Object) bool, name string, f logsFlags) error {
	var all []logSource
	found := 0
	for _, namespace := range pods.Namespaces {
		list, err := c.List(ctx, podResource(), object.ListOptions{Namespace: namespace})
		if err != nil {
			return err
		}
		for _, o := range list.Items {
			pod, ok := o.(*unstructured.Unstructured)
			if !ok || !has(o) {
				continue
			}
			found++
			all = append(all, logSources(pod, f.container)...)
		}
	}
	switch {
	case found == 0:
		return withHint(fmt.Errorf("release %s has no pods now", name), "pkg status %s", name)
	case len(all) == 0 && f.container != "":
		return withHint(fmt.Errorf("no pod of release %s has a container %s that has started", name, f.container), "pkg status %s", name)
	case len(all) == 0:
		return withHint(fmt.Errorf("no container of release %s has started yet", name), "pkg status %s says why", name)
	}
	printed := 0
	for _, s := range all {
		if f.previous && !s.restarted {
			continue
		}
		printed++
		if err := l.copy(ctx, c.Client, s, f.options(s)); err != nil {
			return fmt.Errorf("logs of %s: %w", s, err)
		}
	}
	if printed == 0 {
		return fmt.Errorf("no container of release %s was restarted: there is nothing before", name)
	}
	return nil
}

// options are those of one container.
func (f logsFlags) options(s logSource) client.LogOptions {
	o := client.LogOptions{Container: s.container, Follow: f.follow, Previous: f.previous, Timestamps: f.timestamps, Since: f.since}
	if f.tail >= 0 {
		o.Tail = &f.tail
	}
	return o
}
