package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed38700745/pkg/charts"
	"github.com/seed38700745/pkg/cluster"
	"github.com/seed38700745/pkg/cluster/host"
	"github.com/seed38700745/pkg/cluster/image"
	"github.com/seed38700745/pkg/cluster/instance"
	"github.com/seed38700745/pkg/cluster/network"
	"github.com/seed38700745/pkg/cluster/node/eviction"
	"github.com/seed38700745/pkg/cluster/registries"
	"github.com/seed38700745/pkg/cluster/settings"
	"github.com/seed38700745/pkg/cmd/internal/imageexport"
	"github.com/seed38700745/pkg/cmd/internal/objectlint"
	"github.com/seed38700745/pkg/cmd/internal/schemacheck"
	"github.com/seed38700745/pkg/cmd/internal/version"
)

// options are the flags of all subcommands.
type options struct {
	home           string
	readyFD        int
	noSubstitution bool
	volumes        bool
	force          bool
	args           []string
}

func parse(name string, args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("pkgd "+name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.home, "home", "", "data folder; default $PKG_HOME, else "+instance.DefaultHome)
	f.IntVar(&o.readyFD, "ready-fd", -1, "descriptor to write \"ready\", or an error, to")
	f.BoolVar(&o.noSubstitution, "no-image-substitution", false, "never build images from Debian packages in place of a registry's")
	f.BoolVar(&o.force, "force", false, "restore over a stopped cluster and volumes that are there")
	f.BoolVar(&o.volumes, "volumes", false, "delete volumes too")
	if err := f.Parse(args); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if o.args = f.Args(); len(o.args) > 0 && name != "build-images" && name != "restore" {
		return nil, fmt.Errorf("%w: unexpected %q", errUsage, o.args)
	}
	if o.home == "" {
		o.home = os.Getenv("PKG_HOME")
	}
	home, err := instance.Home(o.home)
	o.home = home
	return o, err
}

// run does what the command line asks for.
func run(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch args[0] {
	case "kinds":
		return printKinds(os.Stdout)
	case objectlint.Command:
		return lintObjects(os.Stdin, os.Stdout)
	case schemacheck.Command:
		return checkSchema(os.Stdin, os.Stdout)
	case imageexport.Command:
		return exportImages(ctx, os.Stdin, os.Stdout)
	case "version":
		fmt.Println(version.Version)
		return nil
	}
	o, err := parse(args[0], args[1:])
	if err != nil {
		return err
	}
	switch args[0] {
	case "run":
		return serve(ctx, o)
	case "build-images":
		return buildImages(ctx, o, o.args)
	case "restore":
		return restore(ctx, o)
	case "stop-pods", "delete":
		return remove(ctx, args[0], o)
	}
	return fmt.Errorf("%w: no command %q", errUsage, args[0])
}

func newLogger() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) }

// serve runs the cluster until ctx ends.
func serve(ctx context.Context, o *options) (err error) {
	tell := readyPipe(o.readyFD)
	notify, err := notifier()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tell(err.Error())
			err = errors.Join(err, notify("STATUS="+strings.ReplaceAll(err.Error(), "\n", " ")))
		}
	}()
	if err := host.Missing(); err != nil {
		return err
	}
	if err := cluster.CheckRestored(o.home); err != nil {
		return fmt.Errorf("%w: pkg cluster restore FILE does it again", err)
	}
	claim, err := instance.Acquire(o.home, network.Overlaps)
	if err != nil {
		return err
	}
	defer claim.Release()
	shim, helper, err := installPrograms(o.home)
	if err != nil {
		return err
	}
	chosen, err := settings.Load(o.home)
	if err != nil {
		return err
	}
	o.noSubstitution = o.noSubstitution || chosen.NoImageSubstitution
	if err := useProxy(claim.Record); err != nil {
		return err
	}
	images, err := imageConfig(o)
	if err != nil {
		return err
	}
	images.Registries = filepath.Join(o.home, registries.File)
	images.DockerConfigs = slices.DeleteFunc([]string{chosen.Credentials.Login, chosen.Credentials.Docker}, func(f string) bool { return f == "" })
	thresholds, transition, err := pressureSettings(chosen.Eviction)
	if err != nil {
		return err
	}
	log := newLogger()
	c, err := cluster.Open(cluster.Config{
		Record: claim.Record, API: claim.API, Settings: chosen, Shim: shim, Helper: helper, Images: images,
		Thresholds: thresholds, PressureTransition: transition,
		Version: version.Version, Kubernetes: version.Kubernetes, Logger: log,
	})
	if err != nil {
		return err
	}
	log.Info("cluster is open", "home", o.home, "version", version.Version)
	err = c.Run(ctx, func() {
		log.Info("cluster is ready", "server", claim.Server())
		tell("ready")
		if err := notify("READY=1\nSTATUS=ready at " + claim.Server()); err != nil {
			log.Warn("systemd does not hear that the cluster is ready", "error", err)
		}
	})
	log.Info("cluster has stopped", "error", err)
	return errors.Join(err, c.Close())
}

// pressureSettings reads when the node is short of something.
func pressureSettings(e settings.Eviction) (t eviction.Thresholds, transition time.Duration, err error) {
	if t, err = eviction.Parse(e.Hard); err != nil {
		return nil, 0, fmt.Errorf("%w: pkg cluster start --eviction-hard changes it", err)
	}
	if e.PressureTransition != "" {
		if transition, err = time.ParseDuration(e.PressureTransition); err != nil {
			return nil, 0, fmt.Errorf("pressure transition period: %w: pkg cluster start --eviction-pressure-transition-period changes it", err)
		}
	}
	return t, transition, nil
}

// useProxy makes the proxy that the user chose that of this process, and of those
// that it runs: apt takes it from the environment, too. The cluster's own addresses
// are reached directly.
func useProxy(r instance.Record) error {
	proxy, known, err := settings.LoadProxy(r.Home)
	if err != nil || !known {
		return err
	}
	for name, value := range proxy.Environment("localhost", "127.0.0.0/8", "::1", r.PodCIDR.String(), r.ServiceCIDR.String(), ".svc", "."+cluster.Domain) {
		if value == "" {
			err = os.Unsetenv(name)
		} else {
			err = os.Setenv(name, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readyPipe returns a func that says one thing to whoever started the daemon.
func readyPipe(fd int) func(string) {
	if fd < 0 {
		return func(string) {}
	}
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "ready")
	return func(text string) {
		if f != nil {
			io.WriteString(f, text)
			f.Close()
			f = nil
		}
	}
}

// imageConfig says where images come from.
func imageConfig(o *options) (image.Config, error) {
	declared, err := charts.Substitutes()
	if err != nil {
		return image.Config{}, err
	}
	c := image.Config{Cache: os.Getenv("PKG_IMAGE_CACHE"), NoSubstitution: o.noSubstitution, Substitutes: map[string]image.Substitute{}}
	if c.Cache == "" {
		c.Cache = defaultImageCache
	}
	for name, d := range declared {
		c.Substitutes[name] = image.Substitute{Image: d.Image, Reason: d.Reason, Config: image.Overrides{
			Entrypoint: d.Config.Entrypoint, Cmd: d.Config.Cmd, Env: d.Config.Env,
			User: d.Config.User, WorkingDir: d.Config.WorkingDir, StopSignal: d.Config.StopSignal,
		}}
	}
	return c, nil
}

// defaultImageCache keeps built images for all clusters of the machine.
const defaultImageCache = "/var/cache/pkg/images"

// remove ends the pods of a stopped cluster, or removes all of it.
func remove(ctx context.Context, command string, o *options) error {
	if pid, err := instance.Running(o.home); err != nil {
		return err
	} else if pid != 0 {
		return fmt.Errorf("the cluster in %s is running (pid %d): stop it first", o.home, pid)
	}
	record, err := instance.Load(o.home)
	if err != nil {
		return fmt.Errorf("no cluster in %s: %w", o.home, err)
	}
	shim, helper, err := installPrograms(record.RunDir())
	if err != nil {
		return err
	}
	if command == "stop-pods" {
		return cluster.StopPods(ctx, *record, shim, helper, newLogger())
	}
	return cluster.Delete(ctx, *record, shim, helper, o.volumes, newLogger())
}
