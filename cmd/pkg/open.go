//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// openFlags say what is opened and how.
type openFlags struct {
	port    string
	service string
	browser bool
	timeout time.Duration
}

func newOpenCommand(a *app) *cobra.Command {
	var f openFlags
	cmd := &cobra.Command{
		Use:   "open NAME",
		Short: "make a release's Service reachable at a port of this machine",
		Long: `Make a Service of a release reachable at a port of 127.0.0.1, print the address, and go
on until interrupted. Which one: the Service whose port looks like HTTP (by its name, its
appProtocol or its number), else the first. It waits until a pod stands behind it.

Exit codes: 0 interrupted, 1 failed, 2 wrong usage, 3 nothing was ready in time.`,
		Example: "  pkg open wordpress --browser\n  pkg open mysql --port 13306:3306",
		Args:    a.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runOpen(cmd.Context(), a, args[0], f)
		},
	}
	p := cmd.Flags()
	p.StringVar(&f.port, "port", "", "[LOCAL:]PORT: the Service's port by number or name, and the port of this machine (else the same number where it is free)")
	p.StringVar(&f.service, "service", "", "the Service's name, where a release has several")
	p.BoolVar(&f.browser, "browser", false, "show the address in the browser (xdg-open)")
	p.DurationVar(&f.timeout, "timeout", 2*time.Minute, "how long to wait until a pod is ready")
	return cmd
}

func runOpen(ctx context.Context, a *app, name string, f openFlags) error {
	local, remote, err := splitPorts(f.port)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	r, err := c.releases(a, "open")
	if err != nil {
		return err
	}
	rel, err := r.Get(ctx, name, 0)
	if err != nil {
		return err
	}
	all, err := doors(ctx, c, rel)
	if err != nil {
		return err
	}
	d, err := chooseDoor(all, name, f.service, remote)
	if err != nil {
		return err
	}
	if err := awaitDoor(ctx, a, c, d, name, f.timeout); err != nil {
		return err
	}
	l, err := listenLocal(ctx, local, d.port)
	if err != nil {
		return err
	}
	defer l.Close()
	address := l.Addr().String()
	if d.scheme != "" {
		address = d.scheme + "://" + address + "/"
	}
	if _, err := fmt.Fprintln(a.Out, address); err != nil {
		return err
	}
	fmt.Fprintf(a.Err, "%s leads to service %s, port %d; interrupt (Ctrl-C) to end\n", address, d.service, d.port)
	if f.browser {
		a.browse(ctx, address)
	}
	if err := c.carry(ctx, a, d, l); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// splitPorts reads [LOCAL:]PORT; local is 0 if there is none.
func splitPorts(s string) (local int, remote string, err error) {
	before, remote, both := strings.Cut(s, ":")
	if !both {
		return 0, before, nil
	}
	local, err = strconv.Atoi(before)
	if err != nil || local < 0 || local > 65535 || remote == "" {
		return 0, "", usagef("--port %s: want [LOCAL:]PORT, such as 8080:80 or http", s)
	}
	return local, remote, nil
}

// listenLocal listens at the local port that was asked for, else at the Service's
// own number where that may be had, else at any.
func listenLocal(ctx context.Context, local, port int) (net.Listener, error) {
	var config net.ListenConfig
	const privileged = 1024
	if local == 0 && port >= privileged {
		if l, err := config.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return l, nil
		}
	}
	l, err := config.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(local)))
	if err != nil {
		return nil, withHint(fmt.Errorf("port %d of this machine: %w", local, errors.Unwrap(err)), "--port 0:%d takes any that is free", port)
	}
	return l, nil
}

// browse shows an address in the user's browser; that there is none is no failure.
func (a *app) browse(ctx context.Context, address string) {
	if out, err := exec.CommandContext(ctx, "xdg-open", address).CombinedOutput(); err != nil {
		a.warnf("no browser could be started: %v %s", err, strings.TrimSpace(string(out)))
	}
}
