package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed38700745/pkg/cluster/store/powercut"
)

// runProgram runs pkg-repo to its end, which must come by itself.
func runProgram(t *testing.T, prepare func(*exec.Cmd), args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if prepare != nil {
		prepare(cmd)
	}
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), talk.String()
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	noKey := filepath.Join(dir, "none.pem")
	badUsers := filepath.Join(dir, "users")
	if err := os.WriteFile(badUsers, []byte("ann:plain\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	badRules := filepath.Join(dir, "rules")
	if err := os.WriteFile(badRules, []byte("- {who: ann, repository: '**', can: [own]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		args []string
		code int
		want []string // on stderr, or on stdout with code 0
	}{
		{[]string{"--help"}, 0, []string{"pkg repo serve --data charts", "--allow-anonymous-push", "Exit codes"}},
		{nil, 2, []string{"--data is missing", "hint: pkg repo serve --help"}},
		{[]string{"--data", dir, "--nonsense"}, 2, []string{"unknown flag: --nonsense"}},
		{[]string{"--data", dir, "more"}, 2, []string{`"more"`}},
		{[]string{"--data", dir, "--overwrite", "maybe"}, 2, []string{`forced, always or never, not "maybe"`}},
		{[]string{"--data", dir, "--max-upload", "0"}, 2, []string{"--max-upload"}},
		{[]string{"--data", dir, "--client-timeout", "0s"}, 2, []string{"--client-timeout"}},
		{[]string{"--data", dir, "--rate", "-1"}, 2, []string{"--rate"}},
		{[]string{"--data", dir, "--tls-cert", "x"}, 2, []string{"belong together"}},
		{[]string{"--data", dir, "--tls-cert", "x", "--tls-key", "y", "--tls-self-made"}, 2, []string{"exclude each other"}},
		{[]string{"--data", dir, "--tls-cert", noKey, "--tls-key", noKey}, 1, []string{noKey, "no such file"}},
		{[]string{"--data", dir, "--htpasswd", noKey}, 1, []string{noKey, "no such file"}},
		{[]string{"--data", dir, "--htpasswd", badUsers}, 1, []string{"line 1", "htpasswd -B"}},
		{[]string{"--data", dir, "--rules", badRules}, 1, []string{`right "own" is none of pull, push, delete`}},
		{[]string{"--data", dir, "--token-key", badUsers}, 1, []string{"neither an RSA nor an EC public key"}},
		{[]string{"--data", dir, "--listen", "127.0.0.1:no"}, 1, []string{"unknown port"}},
		{[]string{"--data", badUsers}, 1, []string{"chart folder " + badUsers, "not a directory"}},
		{[]string{"--data", "/proc/charts"}, 1, []string{"chart folder /proc/charts"}},
	}
	for _, tc := range cases {
		code, stdout, stderr := runProgram(t, nil, tc.args...)
		text := stderr
		if tc.code == 0 {
			text = stdout
		}
		for _, want := range tc.want {
			if code != tc.code || !strings.Contains(text, want) {
				t.Errorf("%q: exit code %d, want %d and %q in:\n%s", tc.args, code, tc.code, want, text)
			}
		}
	}
}

// TestTaken wants the address and the folder of a running server refused, with its number,
// and the server left alone.
func TestTaken(t *testing.T) {
	dir := t.TempDir()
	p := startProgram(t, os.Args[0], "--data", dir)
	code, _, talk := runProgram(t, nil, "--data", dir, "--listen", "127.0.0.1:0")
	if want := fmt.Sprintf("chart folder %s: process %d serves it already", dir, p.cmd.Process.Pid); code != 1 || !strings.Contains(talk, want) {
		t.Errorf("exit code %d, want 1 and %q in:\n%s", code, want, talk)
	}
	address := strings.TrimPrefix(p.base, "http://")
	code, _, talk = runProgram(t, nil, "--data", t.TempDir(), "--listen", address)
	if want := "address already in use\nhint: "; code != 1 || !strings.Contains(talk, want) {
		t.Errorf("exit code %d, want 1 and %q in:\n%s", code, want, talk)
	}
	if get(t, p.base+"/health") == "" {
		t.Error("the first server is gone")
	}
	p.stop(t)
	startProgram(t, os.Args[0], "--data", dir).stop(t) // the folder is free again
}

// TestUnwritable runs as somebody who may not write to the folder.
func TestUnwritable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	const nobody = 65534
	// Everybody may read the program and the folder.
	dir, err := os.MkdirTemp("", "pkg-repo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	charts, program := filepath.Join(dir, "charts"), filepath.Join(dir, "program")
	text, err := os.ReadFile(os.Args[0])
	if err := errors.Join(err, os.Chmod(dir, 0o755), os.Mkdir(charts, 0o755), os.WriteFile(program, text, 0o755)); err != nil {
		t.Fatal(err)
	}
	code, _, talk := runProgram(t, func(cmd *exec.Cmd) {
		cmd.Path, cmd.Dir = program, dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}, "--data", charts, "--listen", "127.0.0.1:0")
	if want := "chart folder " + charts + ": mkdir " + charts + "/.pkg: permission denied"; code != 1 || !strings.Contains(talk, want) {
		t.Errorf("exit code %d, want 1 and %q in:\n%s", code, want, talk)
	}
}

// TestStop stops the server in the middle of an upload, which is finished and stored, while
// nobody new gets in.
func TestStop(t *testing.T) {
	dir := t.TempDir()
	p := startProgram(t, os.Args[0], "--data", dir, "--allow-anonymous-push")
	archive := packChart(t, "late", "1.0.0", 100<<10)
	address := strings.TrimPrefix(p.base, "http://")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	half := len(archive) / 2
	fmt.Fprintf(c, "POST /api/charts HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", len(archive))
	if _, err := c.Write(archive[:half]); err != nil {
		t.Fatal(err)
	}
	// The upload has begun when its file is there.
	until(t, "the upload has begun", func() bool {
		files, _ := filepath.Glob(filepath.Join(dir, ".pkg", "tmp", "chart-*"))
		return len(files) == 1
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "new connections are refused", func() bool {
		n, err := net.Dial("tcp", address)
		if err == nil {
			_ = n.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if _, err := c.Write(archive[half:]); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 201")) {
		t.Errorf("%v: %s", err, answer)
	}
	if code := p.wait(t); code != 0 || !strings.Contains(p.said(), "stopping: requests that run have 20s") {
		t.Errorf("exit code %d:\n%s", code, p.said())
	}
	if _, err := os.Stat(filepath.Join(dir, "late-1.0.0.tgz")); err != nil {
		t.Error(err)
	}
	// An idle server stops at once, on SIGINT too.
	p = startProgram(t, os.Args[0], "--data", dir)
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.said())
	}
}

func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in 30 s: %s", what)
		}
	}
}

// TestDiskFull wants uploads to a full disk refused both ways with nothing stored, reads to go
// on, and uploads to go on when there is room again.
func TestDiskFull(t *testing.T) {
	disk := powercut.ForTest(t, 16<<20)
	dir := disk.Path()
	p := startProgram(t, os.Args[0], "--data", dir, "--allow-anonymous-push")
	post := func(path, kind string, body []byte) (int, string) {
		t.Helper()
		r, err := http.Post(p.base+path, kind, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(text)
	}
	if status, text := post("/api/charts", "", packChart(t, "first", "1.0.0", 1<<10)); status != http.StatusCreated {
		t.Fatal(status, text)
	}
	fill(t, filepath.Join(dir, "ballast"))
	before := listing(t, dir)
	big := packChart(t, "big", "1.0.0", 1<<20)
	for _, path := range []string{"/api/charts", fmt.Sprintf("/v2/some/blobs/uploads/?digest=sha256:%x", sha256.Sum256(big))} {
		status, text := post(path, "", big)
		if status != http.StatusInsufficientStorage || !strings.Contains(text, "the server's disk is full") {
			t.Errorf("%s: %d: %s", path, status, text)
		}
	}
	if after := listing(t, dir); !slices.Equal(before, after) {
		t.Errorf("stored on a full disk: %v, before %v", after, before)
	}
	if text := get(t, p.base+"/index.yaml"); !strings.Contains(text, "first") || strings.Contains(text, "big") {
		t.Errorf("index: %s", text)
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	if status, text := post("/api/charts", "", big); status != http.StatusCreated {
		t.Errorf("with room again: %d: %s", status, text)
	}
	p.stop(t)
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<16)
	for len(block) > 0 {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			block = block[:len(block)/2] // the last corners
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// listing is all files below a folder but the lost+found of its disk, with their sizes.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all = append(all, fmt.Sprint(path, " ", info.Size()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
