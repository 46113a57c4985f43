//go:build linux && cgo && seccomp

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/opencontainers/cgroups/devices" // sets device rules
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // enters namespaces before Go starts
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The descriptors that the caller hands over besides the standard streams.
const (
	statusFD  = 3
	consoleFD = 4
	processFD = 5
)

// A killed process may take a while to go, in a slow system call.
const (
	killTimeout = 5 * time.Second
	killPoll    = 5 * time.Millisecond
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		libcontainer.Init() // never returns
	}
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: helper create STATE ID SPEC | exec STATE ID | delete STATE ID")
		os.Exit(2)
	}
	code, err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	if err != nil {
		report("error\x00" + explain(err))
		code = 1
	}
	os.Exit(code)
}

func run(command, state, id string, args []string) (int, error) {
	switch command {
	case "create":
		if len(args) != 1 {
			return 2, errors.New("create needs the spec's file")
		}
		return 0, create(state, id, args[0])
	case "exec":
		return exec(state, id)
	case "delete":
		return 0, remove(state, id)
	}
	return 2, fmt.Errorf("unknown command %q", command)
}

// report writes the one status line. The caller may have gone: no error.
func report(line string) {
	f := os.NewFile(statusFD, "status")
	if f == nil {
		return
	}
	_, _ = f.WriteString(strings.ReplaceAll(line, "\n", " ") + "\n")
	_ = f.Close()
}

// explain shortens libcontainer's chain to what concerns a user.
func explain(err error) string {
	s := err.Error()
	for _, lead := range []string{"error during container init: ", "unable to start container process: "} {
		if _, after, ok := strings.Cut(s, lead); ok {
			s = after
		}
	}
	return s
}

func create(state, id, specFile string) error {
	b, err := os.ReadFile(specFile)
	if err != nil {
		return err
	}
	var spec specs.Spec
	if err := json.Unmarshal(b, &spec); err != nil {
		return fmt.Errorf("%s: %w", specFile, err)
	}
	config, err := specconv.CreateLibcontainerConfig(&specconv.CreateOpts{CgroupName: id, Spec: &spec})
	if err != nil {
		return err
	}
	c, err := libcontainer.Create(state, id, config)
	if err != nil {
		return err
	}
	p := process(spec.Process)
	p.Init = true
	if err := c.Run(p); err != nil {
		_ = c.Destroy() // the start's error says more
		return err
	}
	pid, err := p.Pid()
	if err != nil {
		return err
	}
	report("ok\x00" + strconv.Itoa(pid))
	return nil
}

func exec(state, id string) (int, error) {
	var spec specs.Process
	if err := json.NewDecoder(os.NewFile(processFD, "process")).Decode(&spec); err != nil {
		return 1, fmt.Errorf("process: %w", err)
	}
	c, err := libcontainer.Load(state, id)
	if err != nil {
		return 1, err
	}
	// Registered before the start, so that a caller who gives up early also
	// ends the process.
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	p := process(&spec)
	if err := c.Run(p); err != nil {
		return 1, err
	}
	pid, err := p.Pid()
	if err != nil {
		return 1, err
	}
	report("ok\x00" + strconv.Itoa(pid))
	go func() { // ends with the program
		<-term
		_ = p.Signal(unix.SIGKILL)
	}()
	ps, err := p.Wait()
	if ps == nil {
		return 1, err
	}
	ws, ok := ps.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return ps.ExitCode(), nil
}

func remove(state, id string) error {
	c, err := libcontainer.Load(state, id)
	if errors.Is(err, libcontainer.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = c.Signal(unix.SIGKILL) // what still runs; Destroy tells if something stays
	for deadline := time.Now().Add(killTimeout); ; {
		err := c.Destroy()
		if !errors.Is(err, libcontainer.ErrRunning) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(killPoll)
	}
}

// process turns an OCI process into libcontainer's, with the caller's streams
// or a console.
func process(s *specs.Process) *libcontainer.Process {
	p := &libcontainer.Process{
		Args:            s.Args,
		Env:             s.Env,
		UID:             int(s.User.UID),
		GID:             int(s.User.GID),
		Cwd:             s.Cwd,
		NoNewPrivileges: &s.NoNewPrivileges,
		LogLevel:        "2", // errors only
	}
	for _, g := range s.User.AdditionalGids {
		p.AdditionalGroups = append(p.AdditionalGroups, int(g))
	}
	if c := s.Capabilities; c != nil {
		p.Capabilities = &configs.Capabilities{Bounding: c.Bounding, Effective: c.Effective,
			Inheritable: c.Inheritable, Permitted: c.Permitted, Ambient: c.Ambient}
	}
	if s.Terminal {
		p.ConsoleSocket = os.NewFile(consoleFD, "console")
		if s.ConsoleSize != nil {
			p.ConsoleWidth, p.ConsoleHeight = uint16(s.ConsoleSize.Width), uint16(s.ConsoleSize.Height)
		}
		return p
	}
	p.Stdin, p.Stdout, p.Stderr = os.Stdin, os.Stdout, os.Stderr
	return p
}
