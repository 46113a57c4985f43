// Package boot starts clusters with the machine: a service of systemd for each,
// named pkg-<id>.service.
//
// The service runs pkgd, which tells systemd when it is ready. Stopping or
// restarting it leaves the pods alone: systemd ends the daemon only, and is told
// to keep off the cgroups below it. What the daemon needs of the environment is
// in a file of its own that only root reads, since proxies may have passwords.
package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Service is what starts one cluster.
type Service struct {
	ID     string // of the cluster
	Home   string // its data folder
	Daemon string // the path of pkgd
	Log    string // where the daemon's output goes
	Env    map[string]string
}

// Kept are the variables of the environment that a daemon gets at boot, too.
var Kept = []string{"PKG_IMAGE_CACHE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	"http_proxy", "https_proxy", "no_proxy", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// Name is the service's name for a cluster's id.
func Name(id string) string { return "pkg-" + id + ".service" }

// Unit is the service's file, with its environment in the file env.
func (s *Service) Unit(env string) string {
	return fmt.Sprintf(`# Made by pkg cluster enable; pkg cluster disable removes it.
[Unit]
Description=pkg cluster in %[1]s
After=network-online.target
Wants=network-online.target
RequiresMountsFor=%[2]s

[Service]
Type=notify
ExecStart=%[3]s run --home %[6]s
EnvironmentFile=%[4]s
StandardOutput=append:%[5]s
StandardError=inherit
# Pods outlive the daemon, and their cgroups are its business.
KillMode=process
Delegate=yes
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=1048576
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2
TimeoutStartSec=120
TimeoutStopSec=40

[Install]
WantedBy=multi-user.target
`, percent(s.Home), quote(percent(s.Home)), quote(percent(s.Daemon)), percent(env), percent(s.Log), quote(dollar(percent(s.Home))))
}

// percent keeps systemd from taking parts of a text for specifiers.
func percent(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// dollar keeps systemd from taking parts of a command's arguments for variables.
func dollar(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// quote makes a word of a unit's file (systemd.syntax(7), "Quoting").
func quote(text string) string {
	if !strings.ContainsAny(text, " \t\"'\\;") {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// environment is the file of variables (systemd.exec(5), "EnvironmentFile=").
// PKG_HOME is always in it.
func (s *Service) environment() (string, error) {
	all := map[string]string{"PKG_HOME": s.Home}
	for k, v := range s.Env {
		all[k] = v
	}
	var lines []string
	for k, v := range all {
		if strings.ContainsAny(v, "\n\x00") {
			return "", fmt.Errorf("variable %s has several lines", k)
		}
		lines = append(lines, k+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(v)+"\"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}

// Systemd is this machine's systemd. The zero value is what it is in use.
type Systemd struct {
	// Root is the folder that stands for "/".
	Root string
}

func (s Systemd) path(elem ...string) string {
	return filepath.Join(append([]string{"/", s.Root}, elem...)...)
}

// Runs tells whether systemd runs this machine (sd_booted(3)).
func (s Systemd) Runs() bool {
	info, err := os.Lstat(s.path("run/systemd/system"))
	return err == nil && info.IsDir()
}

func (s Systemd) unitFile(id string) string { return s.path("etc/systemd/system", Name(id)) }
func (s Systemd) envFile(id string) string  { return s.path("etc/pkg", Name(id)+".env") }

// Installed tells whether the cluster has a service.
func (s Systemd) Installed(id string) bool {
	_, err := os.Stat(s.unitFile(id))
	return err == nil
}

// Enabled tells whether the cluster's service starts with the machine.
func (s Systemd) Enabled(id string) bool {
	_, err := os.Lstat(s.path("etc/systemd/system/multi-user.target.wants", Name(id)))
	return err == nil && s.Installed(id)
}

// ErrNone says that this machine is not run by systemd.
var ErrNone = errors.New("this machine is not run by systemd")

// Enable installs the service, or brings it up to date, and has it start with
// the machine. It does not start it now.
func (s Systemd) Enable(ctx context.Context, v *Service) error {
	if !s.Runs() {
		return ErrNone
	}
	env, err := v.environment()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.envFile(v.ID)), 0o755); err != nil {
		return err
	}
	if err := writeFile(s.envFile(v.ID), env, 0o600); err != nil {
		return err
	}
	if err := writeFile(s.unitFile(v.ID), v.Unit(s.envFile(v.ID)), 0o644); err != nil {
		return err
	}
	if _, err := s.systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	_, err = s.systemctl(ctx, "enable", Name(v.ID))
	return err
}

// Disable removes the service; a daemon that runs goes on. Where there is no
// service it does nothing.
func (s Systemd) Disable(ctx context.Context, id string) error {
	if !s.Installed(id) {
		return nil
	}
	if s.Runs() {
		if _, err := s.systemctl(ctx, "disable", Name(id)); err != nil {
			return err
		}
	}
	for _, file := range []string{s.path("etc/systemd/system/multi-user.target.wants", Name(id)), s.unitFile(id), s.envFile(id)} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if !s.Runs() {
		return nil
	}
	_, err := s.systemctl(ctx, "daemon-reload")
	return err
}

// Start starts the service and waits until the daemon is ready. The error is the
// daemon's own where it told one.
func (s Systemd) Start(ctx context.Context, id string) error {
	_, err := s.systemctl(ctx, "start", Name(id))
	if err == nil || ctx.Err() != nil {
		return err
	}
	if text, showErr := s.show(ctx, id, "StatusText"); showErr == nil && text != "" {
		return errors.New(text)
	}
	return err
}

// Stop stops the service and waits for that. Pods keep running.
func (s Systemd) Stop(ctx context.Context, id string) error {
	_, err := s.systemctl(ctx, "stop", Name(id))
	return err
}

// Owns tells whether a process is the daemon that the service runs.
func (s Systemd) Owns(ctx context.Context, id string, pid int) (bool, error) {
	if !s.Runs() || !s.Installed(id) {
		return false, nil
	}
	text, err := s.show(ctx, id, "MainPID")
	return text == strconv.Itoa(pid), err
}

func (s Systemd) show(ctx context.Context, id, property string) (string, error) {
	return s.systemctl(ctx, "show", "--property="+property, "--value", Name(id))
}

func (s Systemd) systemctl(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "systemctl", args...)
	var talk strings.Builder
	c.Stderr = &talk
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(talk.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// writeFile replaces a file at once.
func writeFile(path, text string, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".pkg-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
