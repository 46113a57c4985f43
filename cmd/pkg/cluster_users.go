//go:build !front

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/seed38700745/pkg/cluster/instance"
)

// allowed tells why the kubeconfig of this machine's cluster cannot be read.
func (l *localCluster) allowed() error {
	f, err := os.Open(l.kubeconfig())
	if errors.Is(err, fs.ErrPermission) {
		return l.errNotAllowed()
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// errNotAllowed says who may use the cluster, and how this user comes to.
func (l *localCluster) errNotAllowed() error {
	who := strconv.Itoa(os.Geteuid())
	u, err := user.LookupId(who)
	if err == nil {
		who = u.Username
	}
	group, err := instance.SharedWith(l.kubeconfig())
	if err != nil || group == "" {
		return withHint(fmt.Errorf("the cluster in %s may be used by root only, not by %s", l.home, who),
			"sudo pkg ...; or share it with a group, which makes its members as powerful as root: sudo groupadd %s; sudo usermod -aG %[1]s %s; sudo pkg cluster start --group %[1]s",
			instance.DefaultGroup, who)
	}
	text := fmt.Errorf("the cluster in %s may be used by root and the group %s, which %s is not in", l.home, group, who)
	if u != nil && memberOf(u, group) {
		return withHint(fmt.Errorf("%w in this session", text), "log in again, or newgrp %s", group)
	}
	return withHint(text, "sudo usermod -aG %s %s, then log in again (members are as powerful as root); or sudo pkg ...", group, who)
}

// memberOf asks the user database, which may be newer than the session.
func memberOf(u *user.User, group string) bool {
	g, err := user.LookupGroup(group)
	if err != nil {
		return false
	}
	ids, err := u.GroupIds()
	return err == nil && slices.Contains(ids, g.Gid)
}

// needsRoot refuses what the group may not do either.
func needsRoot(what string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return withHint(fmt.Errorf("%s needs root", what), "sudo pkg %s", strings.Join(os.Args[1:], " "))
}

// checkGroup tells whether a group can be shared with.
func checkGroup(name string) error {
	if name == instance.NoGroup {
		return nil
	}
	if _, err := user.LookupGroup(name); err != nil {
		return withHint(fmt.Errorf("there is no group %q on this machine", name), "sudo groupadd %s", name)
	}
	return nil
}

// group is the one that may use the cluster, "" if none may or that cannot be told.
func (l *localCluster) group() string {
	group, err := instance.SharedWith(l.kubeconfig())
	if err != nil {
		return ""
	}
	return group
}

// tellGroup says which group may use the cluster, too.
func (l *localCluster) tellGroup(a *app) {
	if group := l.group(); group != "" {
		fmt.Fprintf(a.Err, "members of the group %s may use it, too, and are as powerful as root\n", group)
	}
}
