package boot

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var service = &Service{ID: "0123abcd", Home: "/srv/my pkg/50%", Daemon: "/opt/$x/pkgd", Log: "/srv/my pkg/50%/logs/pkgd.log",
	Env: map[string]string{"HTTPS_PROXY": `http://u:p"$\` + "`@proxy:1"}}

// machine is a root folder with systemd running, and a systemctl that notes what
// it is asked in the returned file.
func machine(t *testing.T) (Systemd, string) {
	t.Helper()
	root, bin := t.TempDir(), t.TempDir()
	for _, dir := range []string{"run/systemd/system", "etc/systemd/system/multi-user.target.wants"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asked := filepath.Join(bin, "asked")
	script := `#!/bin/sh
echo "$@" >> ` + asked + `
wants=` + root + `/etc/systemd/system/multi-user.target.wants
case $1 in
enable) ln -sf ../$2 $wants/$2 ;;
disable) rm -f $wants/$2 ;;
start) exit 1 ;;
show) echo "42" ;;
esac
`
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return Systemd{Root: root}, asked
}

func TestEnableDisable(t *testing.T) {
	s, asked := machine(t)
	if s.Enabled(service.ID) || s.Installed(service.ID) {
		t.Error("enabled before anything was done")
	}
	for range 2 { // again brings it up to date
		if err := s.Enable(t.Context(), service); err != nil {
			t.Fatal(err)
		}
	}
	if !s.Enabled(service.ID) || s.Enabled("ffffffff") {
		t.Error("not enabled, or another one is")
	}
	env, err := os.ReadFile(s.envFile(service.ID))
	if want := "HTTPS_PROXY=\"http://u:p\\\"\\$\\\\\\`@proxy:1\"\nPKG_HOME=\"/srv/my pkg/50%\"\n"; err != nil || string(env) != want {
		t.Errorf("environment %q, want %q (%v)", env, want, err)
	}
	if owns, err := s.Owns(t.Context(), service.ID, 42); err != nil || !owns {
		t.Errorf("owns its process: %v, %v", owns, err)
	}
	if owns, err := s.Owns(t.Context(), service.ID, 43); err != nil || owns {
		t.Errorf("owns another process: %v, %v", owns, err)
	}
	if err := s.Start(t.Context(), service.ID); err == nil || err.Error() != "42" { // the status text
		t.Errorf("a start that fails: %v", err)
	}
	for range 2 {
		if err := s.Disable(t.Context(), service.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{s.unitFile(service.ID), s.envFile(service.ID)} {
		if _, err := os.Lstat(file); err == nil {
			t.Errorf("%s is still there", file)
		}
	}
	text, err := os.ReadFile(asked)
	if err != nil || !strings.Contains(string(text), "daemon-reload\nenable pkg-0123abcd.service\n") || !strings.HasSuffix(string(text), "disable pkg-0123abcd.service\ndaemon-reload\n") {
		t.Errorf("systemctl was asked:\n%s", text)
	}
}

func TestWithoutSystemd(t *testing.T) {
	s := Systemd{Root: t.TempDir()}
	if err := s.Enable(t.Context(), service); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if err := s.Disable(t.Context(), service.ID); err != nil {
		t.Error(err)
	}
}

func TestLinesOfEnvironment(t *testing.T) {
	v := &Service{Home: "/x", Env: map[string]string{"HTTP_PROXY": "a\nExecStart=/bin/sh"}}
	if _, err := v.environment(); err == nil || !strings.Contains(err.Error(), "HTTP_PROXY") {
		t.Error(err)
	}
}

// What systemd itself makes of the unit, strange names included.
func TestUnitVerified(t *testing.T) {
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("systemd-analyze is missing")
		}
		t.Skip("no systemd-analyze")
	}
	dir := filepath.Join(t.TempDir(), "a b%c$d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	v := *service
	v.Home, v.Daemon, v.Log = dir, filepath.Join(dir, "pkgd"), filepath.Join(dir, "pkgd.log")
	if err := os.WriteFile(v.Daemon, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, Name(v.ID))
	check := func(unit string) string {
		t.Helper()
		if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(verify, "verify", "--man=no", file).CombinedOutput()
		if err != nil && len(out) == 0 {
			t.Fatal(err)
		}
		var ours []string
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, Name(v.ID)) {
				ours = append(ours, line)
			}
		}
		return strings.Join(ours, "")
	}
	if said := check(v.Unit("/etc/pkg/x.env")); said != "" {
		t.Errorf("systemd-analyze verify:\n%s", said)
	}
	if said := check(strings.Replace(v.Unit("/etc/pkg/x.env"), "KillMode=process", "KillMode=none-such", 1)); said == "" {
		t.Error("a wrong unit passes: the check sees nothing")
	}
}
