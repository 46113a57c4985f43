// Helper creates, starts, enters and deletes containers with libcontainer, and
// exits; nothing of it stays in memory. It is the only program of ours that
// needs cgo and libseccomp, and it is embedded in pkgd.
//
//	helper create STATE ID SPEC  creates and starts the container of the OCI
//	                             spec in file SPEC, with the caller's standard
//	                             streams, or with a terminal whose master goes
//	                             to the socket at descriptor 4
//	helper exec STATE ID         runs the OCI process read from descriptor 5
//	                             and exits with its code; SIGTERM kills it
//	helper delete STATE ID       kills what is left and removes the container
//	helper init                  libcontainer's own second stage
//
// Descriptor 3 gets one line: "ok\x00PID" once the process runs, or
// "error\x00why". The exit code of create and delete is 0 or 1.
//
// Build: CGO_ENABLED=1 go build -tags "seccomp netgo osusergo" -ldflags
// '-s -w -linkmode external -extldflags "-static"' ./cmd/helper
package main
