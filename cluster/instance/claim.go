package instance

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// What is shared out. Pod ranges are 10.42.0.0/16, 10.43.0.0/16 ..., service
// ranges 10.142.0.0/16 ..., node ports 30000-32767, 27232-29999 ...
const (
	maxClusters  = 10
	firstPod     = 42
	firstService = 142
	firstAPIPort = 6443
	apiPorts     = 100 // how many are tried
	nodePortBase = 30000
	nodePortSize = 2768
)

// Claim is a record and what its owner holds while it lives.
type Claim struct {
	Record
	// API listens on 127.0.0.1 and the cluster's port.
	API  net.Listener
	lock *os.File
}

// ErrRunning says that another pkgd has the data folder open.
var ErrRunning = errors.New("is in use by another pkgd")

// Acquire takes the data folder for this process and claims what the cluster
// needs of the host. What was claimed before is kept; a port that somebody else
// took meanwhile is an error. overlaps tells which route or address of the host
// a range would collide with, or "".
func Acquire(home string, overlaps func(netip.Prefix) string) (*Claim, error) {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockHome(home)
	if err != nil {
		return nil, err
	}
	c := &Claim{lock: lock}
	if err := c.claim(home, overlaps); err != nil {
		c.Release()
		return nil, err
	}
	return c, nil
}

// Release ends the claim on the folder; the record stays.
func (c *Claim) Release() {
	if c.API != nil {
		c.API.Close()
	}
	c.lock.Close()
}

func (c *Claim) claim(home string, overlaps func(netip.Prefix) string) error {
	unlock, err := lockAll()
	if err != nil {
		return err
	}
	defer unlock()
	all, err := All()
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(all, func(r *Record) bool { return r.Home == home })
	kept, err := read(keptPath(home))
	switch {
	case err == nil && kept.Home == home:
		c.Record = *kept
	case err == nil:
		c.Record = moved(kept, home, others, overlaps)
	case errors.Is(err, os.ErrNotExist):
		c.Record = Record{ID: ID(home), Home: home, Number: -1}
	default:
		return err
	}
	if err := c.chooseRanges(others, overlaps); err != nil {
		return err
	}
	if err := c.listen(others); err != nil {
		return err
	}
	c.PID, c.BootID, c.Started = os.Getpid(), BootID(), time.Now().UTC().Truncate(time.Second)
	return c.save()
}

// moved is the record of a folder that was restored or moved to home. It keeps
// what it had where nobody else has that here.
func moved(r *Record, home string, others []*Record, overlaps func(netip.Prefix) string) Record {
	n := *r
	n.ID, n.Home = ID(home), home
	if overlaps(n.PodCIDR) != "" || overlaps(n.ServiceCIDR) != "" ||
		slices.ContainsFunc(others, func(o *Record) bool { return o.Number == n.Number }) {
		n.Number = -1 // chosen anew
	}
	if slices.ContainsFunc(others, func(o *Record) bool { return o.APIPort == n.APIPort }) || !free(n.APIPort) {
		n.APIPort = 0
	}
	return n
}

// free tells whether nobody listens on a port of loopback.
func free(port int) bool {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		l.Close()
	}
	return err == nil
}

// chooseRanges keeps the cluster's number or takes the first free one.
func (c *Claim) chooseRanges(others []*Record, overlaps func(netip.Prefix) string) error {
	taken := map[int]string{}
	for _, o := range others {
		taken[o.Number] = "the cluster in " + o.Home
	}
	if c.Number >= 0 {
		if by, ok := taken[c.Number]; ok {
			return fmt.Errorf("the address ranges of this cluster (%s, %s) are used by %s", c.PodCIDR, c.ServiceCIDR, by)
		}
		return nil
	}
	var why error
	for n := range maxClusters {
		pods, services := block(firstPod+n), block(firstService+n)
		if taken[n] != "" {
			continue
		}
		if by := overlaps(pods); by != "" {
			why = fmt.Errorf("%s overlaps with %s", pods, by)
			continue
		}
		if by := overlaps(services); by != "" {
			why = fmt.Errorf("%s overlaps with %s", services, by)
			continue
		}
		c.Number, c.PodCIDR, c.ServiceCIDR = n, pods, services
		c.NodePortBase, c.NodePortSize = nodePortBase-n*nodePortSize, nodePortSize
		return nil
	}
	return fmt.Errorf("no free address range for pods and services among %d: %w", maxClusters, why)
}

// block is 10.n.0.0/16.
func block(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), 0, 0}), 16)
}

// listen opens the cluster's API port: the kept one, or the first free one.
func (c *Claim) listen(others []*Record) error {
	if c.APIPort != 0 {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", c.APIPort))
		if err != nil {
			return fmt.Errorf("the API's port %d is taken by another program: %w", c.APIPort, err)
		}
		c.API = l
		return nil
	}
	for port := firstAPIPort; port < firstAPIPort+apiPorts; port++ {
		if slices.ContainsFunc(others, func(o *Record) bool { return o.APIPort == port }) {
			continue
		}
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return err
		}
		c.API, c.APIPort = l, port
		return nil
	}
	return fmt.Errorf("no free port for the API between %d and %d", firstAPIPort, firstAPIPort+apiPorts-1)
}

// lockHome locks <home>/lock for this process and writes its pid there.
func lockHome(home string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(home, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			pid, _ := Running(home)
			return nil, fmt.Errorf("data folder %s %w (pid %d)", home, ErrRunning, pid)
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if err := errors.Join(f.Truncate(0), write(f, fmt.Appendf(nil, "%d\n", os.Getpid()))); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lockAll takes the lock over all records of the machine.
func lockAll() (unlock func(), err error) {
	dir := filepath.Join(runRoot, "instances")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}
