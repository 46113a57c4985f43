// Pkgd is the cluster's daemon: store, API server, controllers, scheduler, node
// agent, network and DNS in one process. `pkg cluster start` runs it.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

const usage = `pkgd runs a cluster; pkg cluster start|stop|delete run it as needed.

  pkgd run [--home DIR] [--ready-fd N]   until it gets SIGTERM; pods keep running
  pkgd stop-pods [--home DIR]            ends the pods of a stopped cluster
  pkgd delete [--home DIR] [--volumes]   removes a stopped cluster from the machine
  pkgd restore [--home DIR] [--force] FILE
                                         makes a backup's cluster the one in DIR
  pkgd build-images NAME...              puts images into the machine's image cache
  pkgd kinds                             lists the served kinds as JSON
  pkgd version

Exit codes: 0 done, 1 failed, 2 wrong usage.
`

// errUsage ends the program with exit code 2.
var errUsage = errors.New("wrong usage")

// memoryGoal is how much the heap may grow between collections, in percent of
// what is in use (GOGC): the daemon mostly idles, beside programs that need the
// memory more.
const memoryGoal = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(memoryGoal)
	}
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "Error:", err)
	if errors.Is(err, errUsage) {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	os.Exit(1)
}
