//go:build !front

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func newClusterStatusCommand(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "say whether the cluster runs, and where; exit code 1 when it does not",
		Args:  a.argCount(0, 0),
		RunE: func(*cobra.Command, []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			return l.status(a, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

// clusterStatus is what `pkg cluster status -o json` prints.
type clusterStatus struct {
	Home        string       `json:"home"`
	ID          string       `json:"id"`
	Running     bool         `json:"running"`
	PID         int          `json:"pid,omitempty"`
	Since       *time.Time   `json:"since,omitempty"`
	Server      string       `json:"server"`
	PodCIDR     string       `json:"podCIDR"`
	ServiceCIDR string       `json:"serviceCIDR"`
	DNS         string       `json:"dns"`
	NodePorts   string       `json:"nodePorts"`
	AtBoot      bool         `json:"atBoot"`
	Backups     backupStatus `json:"backups"`
	Proxy       string       `json:"proxy"`      // a line for people, without passwords
	Registries  string       `json:"registries"` // the same
}

func (l *localCluster) status(a *app, output string) error {
	record, err := l.record()
	if err != nil {
		return err
	}
	if record == nil {
		return l.errNoCluster()
	}
	pid, err := l.running()
	if err != nil {
		return err
	}
	s := clusterStatus{
		Home: l.home, ID: record.ID, Running: pid != 0, PID: pid, Server: record.Server(),
		PodCIDR: record.PodCIDR.String(), ServiceCIDR: record.ServiceCIDR.String(), DNS: record.DNS().String(),
		NodePorts: fmt.Sprintf("%d-%d", record.NodePortBase, record.NodePortBase+record.NodePortSize-1),
	}
	if s.Running {
		s.Since = &record.Started
	}
	s.AtBoot = l.systemd.Enabled(record.ID)
	if s.Backups, err = l.backupStatus(); err != nil {
		return err
	}
	s.Proxy, s.Registries = l.proxyLine(s.Since), l.registriesLine()
	switch output {
	case "json":
		e := json.NewEncoder(a.Out)
		e.SetIndent("", "  ")
		if err := e.Encode(s); err != nil {
			return err
		}
	case "table":
		state := "stopped"
		if s.Running {
			state = fmt.Sprintf("running (pid %d, since %s)", pid, record.Started.Local().Format(time.DateTime))
		}
		fmt.Fprintf(a.Out, "cluster:    %s in %s\nstate:      %s\nserver:     %s\npods:       %s\nservices:   %s\nDNS:        %s\nnode ports: %s\nboot:       %s\nbackups:    %s\nproxy:      %s\nregistries: %s\n",
			s.ID, s.Home, state, s.Server, s.PodCIDR, s.ServiceCIDR, s.DNS, s.NodePorts, l.bootLine(s.ID), l.backupLine(a), s.Proxy, s.Registries)
	default:
		return usagef("unknown output format %q: table or json", output)
	}
	if !s.Running {
		return &exitError{code: exitFailed}
	}
	return nil
}

func newClusterLogsCommand(a *app) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "print the daemon's log",
		Args:  a.argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.localCluster()
			if err != nil {
				return err
			}
			f, err := os.Open(l.log())
			if errors.Is(err, fs.ErrNotExist) {
				return l.errNoCluster()
			}
			if err != nil {
				return err
			}
			defer f.Close()
			for {
				if _, err := io.Copy(a.Out, f); err != nil || !follow {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(200 * time.Millisecond):
				}
			}
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as the log grows")
	return cmd
}
