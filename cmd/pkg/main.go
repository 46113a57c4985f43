// Command pkg is the command line: charts, their rendering, repositories and
// releases, on this machine's cluster or on any Kubernetes.
//
// Exit codes: 0 done; 1 failed; 2 wrong usage, or a diff with changes; 3 timed out;
// 4 another operation is running.
//
// Results go to stdout, everything else to stderr. The program starts in a few
// milliseconds because it links nothing heavy; deps_test.go keeps it so.
//
// It is built twice. Without tags it has every command and is installed as
// pkg-release. With the tag front it is pkg: the commands that are over within
// milliseconds, front.go lists them, and every other command line goes on in
// pkg-release. That halves the start of `pkg template`, since the libraries that
// speak to clusters and servers take longer to start than a small chart to render.
//
// So pkg has no network, little cryptography and no tree of commands: it parses flags,
// and help is pkg-release's. A function that comes upon what only pkg-release can do, as
// fetching a chart, returns chart.ErrElsewhere, and the whole command line begins again
// there (front.go). Until a command is certain to end in pkg it writes nothing, says
// nothing (talk.go) and reads nothing that can be read only once. What pkg answers itself
// is what pkg-release would, but that a signal ends it at once.
package main

import (
	"os"
	"runtime/debug"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		debug.SetMemoryLimit(gcMemory)
	}
	os.Exit(run())
}

// gcPercent lets the heap grow to about 32 MB before it is collected for the first
// time: nearly all runs are over before that, and collecting costs heavy charts a fifth
// of their time.
const gcPercent = 800

// gcMemory is the size of the process, in bytes, from which memory counts more than
// time after all.
const gcMemory = 1 << 30

// run is main with deferred calls and an exit code, for tests to start.
func run() int {
	ctx, stop := interruptible()
	defer stop()
	return newApp().main(ctx, os.Args[1:])
}
