package main

import (
	"errors"
	"net"
	"os"
)

// notifySocket is where systemd hears of its service's state (sd_notify(3)).
const notifySocket = "NOTIFY_SOCKET"

// notifier returns a func that tells systemd of this daemon ("READY=1"), and
// does nothing where nobody listens. The variable is taken away, so that what
// the daemon starts does not speak for it.
func notifier() (func(state string) error, error) {
	address := os.Getenv(notifySocket)
	if err := os.Unsetenv(notifySocket); err != nil || address == "" {
		return func(string) error { return nil }, err
	}
	return func(state string) error {
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
		if err != nil {
			return err
		}
		_, err = c.Write([]byte(state))
		return errors.Join(err, c.Close())
	}, nil
}
