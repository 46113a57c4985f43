package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// hostSysctls are what routing pods needs of the host.
var hostSysctls = map[string]string{
	"net/ipv4/ip_forward": "1",
}

// setSysctls sets them, noting in record what they were before the first
// cluster of this machine changed them.
func setSysctls(record string) error {
	before := map[string]string{}
	data, err := os.ReadFile(record)
	if err == nil {
		err = json.Unmarshal(data, &before)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", record, err)
	}
	for name, want := range hostSysctls {
		is, err := os.ReadFile(sysctlPath(name))
		if err != nil {
			return err
		}
		value := strings.TrimSpace(string(is))
		if value == want {
			continue
		}
		if _, noted := before[name]; !noted {
			before[name] = value
			data, err := json.Marshal(before)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(record), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(record, data, 0o644); err != nil {
				return err
			}
		}
		if err := os.WriteFile(sysctlPath(name), []byte(want), 0o644); err != nil {
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	return nil
}

// restoreSysctls puts back what setSysctls noted.
func restoreSysctls(record string) error {
	data, err := os.ReadFile(record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	before := map[string]string{}
	if err := json.Unmarshal(data, &before); err != nil {
		return fmt.Errorf("%s: %w", record, err)
	}
	for name, value := range before {
		if err := os.WriteFile(sysctlPath(name), []byte(value), 0o644); err != nil {
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	return os.Remove(record)
}

func sysctlPath(name string) string { return "/proc/sys/" + name }
