package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is what a user sits at: a program runs on it.
type terminal struct {
	t       testing.TB
	master  *os.File
	command *exec.Cmd
	done    chan struct{} // closed when all was read

	mu    sync.Mutex
	shown strings.Builder // guarded by mu
	read  int             // how much of it shows has looked at
}

// terminal runs kubectl in the namespace on a terminal of 33 lines and 101
// columns. It is ended with the test.
func (s *space) terminal(args ...string) *terminal {
	s.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	term := &terminal{t: s.t, master: master, done: make(chan struct{})}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		s.t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		s.t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer slave.Close()
	term.resize(33, 101)
	term.command = exec.Command(binary("pkg"), append([]string{"kubectl", "-n", s.ns}, args...)...)
	term.command.Env, term.command.Stdin, term.command.Stdout, term.command.Stderr = s.env, slave, slave, slave
	term.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	go term.listen() // ends with the program: nobody else has the other side
	s.t.Cleanup(func() {
		_ = term.command.Process.Kill() // if it still runs
		<-term.done
		master.Close()
	})
	return term
}

// listen keeps what the program writes.
func (x *terminal) listen() {
	defer close(x.done)
	buf := make([]byte, 4096)
	for {
		n, err := x.master.Read(buf)
		x.mu.Lock()
		x.shown.Write(buf[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *terminal) resize(rows, columns uint16) {
	x.t.Helper()
	if err := unix.IoctlSetWinsize(int(x.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		x.t.Fatal(err)
	}
}

// send types text.
func (x *terminal) send(text string) {
	x.t.Helper()
	if _, err := x.master.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

// shows waits until text appears after what earlier calls waited for.
func (x *terminal) shows(text string) {
	x.t.Helper()
	eventually(x.t, 15*time.Second, func() error {
		x.mu.Lock()
		defer x.mu.Unlock()
		all := x.shown.String()
		if i := strings.Index(all[x.read:], text); i >= 0 {
			x.read += i + len(text)
			return nil
		}
		return fmt.Errorf("the terminal does not show %q after\n%s\nbut\n%s", text, all[:x.read], all[x.read:])
	})
}

// ends waits for the program's end and checks its exit code.
func (x *terminal) ends(code int) {
	x.t.Helper()
	select {
	case <-x.done:
	case <-time.After(20 * time.Second):
		x.t.Fatalf("the program does not end; the terminal shows\n%s", x.shown.String())
	}
	err := x.command.Wait()
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		x.t.Fatal(err)
	}
	if got != code {
		x.t.Errorf("%s: exit code %d, want %d; the terminal shows\n%s", strings.Join(x.command.Args, " "), got, code, x.shown.String())
	}
}

// terminals: exec, run, attach and debug as a user at a terminal has them.
func terminals(s *space) {
	s.apply(`
{apiVersion: v1, kind: Pod, metadata: {name: box}, spec: {containers: [{name: c, image: "standin:1", command: [standin, stress]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: shell}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: "standin:1", command: [sh], stdin: true, tty: true}]}}
`)
	s.k("wait", "--for=condition=Ready", "pod/box", "pod/shell", "--timeout=30s")

	x := s.terminal("exec", "-it", "box", "--", "sh")
	x.send("stty size; tty; echo $TERM\n")
	x.shows("33 101")
	x.shows("/dev/pts/")
	x.shows("xterm")
	x.resize(40, 120)
	x.send("until stty size | grep '40 120'; do sleep 0.1; done; echo grown\n") // the shell's echo says it first
	x.shows("echo grown")
	x.shows("grown")
	x.send("echo a''sleep; sleep 1000\n")
	x.shows("asleep")
	x.send("\x03") // Ctrl-C ends the sleep, not the shell
	x.send("exit $((6*7))\n")
	x.shows("command terminated with exit code 42")
	x.ends(42)

	x = s.terminal("run", "-it", "--rm", "once", "--image=standin:1", "--restart=Never", "--", "sh")
	x.shows("If you don't see a command prompt, try pressing enter.")
	x.send("echo got $((6*7)); exit 3\n")
	x.shows("got 42")
	x.shows(`pod "once" deleted`)
	x.ends(3)
	s.refuses([]string{`pods "once" not found`}, "get", "pod", "once")

	for range 2 { // the shell survives that its user goes away
		x = s.terminal("attach", "-it", "shell")
		x.send("\n")
		x.shows("# ")
		x.send("seen=$((seen+1)); echo times:$seen\n")
		x.shows("times:")
		x.shows("times:")
		_ = x.command.Process.Kill()
		<-x.done
	}
	s.comesToSay(5*time.Second, []string{"times:2"}, "logs", "shell")

	x = s.terminal("debug", "-it", "box", "--image=standin:2", "--target=c", "--", "sh")
	x.send("ps | grep -c 'standin [s]tress'; echo $NAME; exit\n")
	x.shows("\r\n1\r\n")
	x.shows("standin:2")
	x.ends(0)
	s.k("set", "image", "pod/box", "c=standin:2") // a pod that was debugged can be changed
	node := s.k("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
	x = s.terminal("debug", "-it", "node/"+node, "--image=standin:1", "--", "sh")
	x.shows("Creating debugging pod node-debugger-" + node)
	marker := filepath.Join(s.t.TempDir(), "marker")
	if err := os.WriteFile(marker, []byte("this is the node\n"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	x.send("cat /host" + marker + "; exit\n")
	x.shows("this is the node")
	x.ends(0)
}
