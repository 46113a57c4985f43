// Package wire is what the node agent and a pod's shim say to each other: the
// requests on the shim's unix socket, the frames of an attached stream and the
// two files that the shim leaves for each container. It is kept free of
// encoders so that the shim stays small.
//
// A connection carries one request. A message is one line: fields separated by
// NUL, ended by a newline; fields may hold neither. An answer begins with OK or
// Error and its text.
//
//	start  (Start)                  -> ok, pid
//	signal id, number               -> ok
//	reopen id                       -> ok
//	attach id                       -> ok, then frames in both directions
//	watch                           -> ok, shim's pid, pause process's pid or 0;
//	                                   a running line for each container, end;
//	                                   then an exit line for each that ends
//	quit                            -> ok; the shim kills what runs and goes
package wire

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// The names of requests and of lines in answers.
const (
	OpStart  = "start"
	OpSignal = "signal"
	OpReopen = "reopen"
	OpAttach = "attach"
	OpWatch  = "watch"
	OpQuit   = "quit"

	OK      = "ok"
	Error   = "error"
	Running = "running" // id, pid
	End     = "end"
	Exited  = "exit" // id
)

// The files of a sandbox's run directory, which is the shim's working directory.
const (
	Lock   = "lock" // holds the shim's pid; held with flock while it lives
	Socket = "sock"
)

// MaxLine bounds a message.
const MaxLine = 64 << 10

// The types of frames. A frame is its type, the length of its data as four
// bytes, most significant first, and the data.
const (
	FrameStdin  byte = iota // to the shim; no data: end of input
	FrameStdout             // to the client
	FrameStderr
	FrameResize // to the shim: width and height, two bytes each
)

// FrameHeader is the length of a frame's header, MaxFrame that of its data.
const (
	FrameHeader = 5
	MaxFrame    = 16 << 10
)

// PutFrameHeader writes the header of a frame with n bytes of data to b.
func PutFrameHeader(b []byte, kind byte, n int) {
	b[0], b[1], b[2], b[3], b[4] = kind, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
}

// FrameLength returns the length that a frame's header tells.
func FrameLength(header []byte) int {
	return int(header[1])<<24 | int(header[2])<<16 | int(header[3])<<8 | int(header[4])
}

// Join makes a message.
func Join(fields ...string) string {
	for i, f := range fields {
		fields[i] = strings.ReplaceAll(f, "\n", " ")
	}
	return strings.Join(fields, "\x00") + "\n"
}

// Split is Join's inverse.
func Split(line string) []string {
	return strings.Split(strings.TrimSuffix(line, "\n"), "\x00")
}

// Start asks for a container to be created and started.
type Start struct {
	ID        string
	Helper    string // path of the container helper
	State     string // libcontainer's state directory
	Dir       string // holds SpecFile; StartedFile and ExitFile are written there
	Log       string // file that output is appended to, as CRI log lines
	OOM       string // cgroup file with a line "oom_kill N", may be empty
	TTY       bool
	Stdin     bool // keep standard input open
	StdinOnce bool
}

// Fields returns the request's message fields.
func (s Start) Fields() []string {
	return []string{OpStart, s.ID, s.Helper, s.State, s.Dir, s.Log, s.OOM,
		strconv.FormatBool(s.TTY), strconv.FormatBool(s.Stdin), strconv.FormatBool(s.StdinOnce)}
}

// ParseStart reads a start request's fields.
func ParseStart(f []string) (Start, error) {
	if len(f) != 10 {
		return Start{}, errors.New("malformed start request")
	}
	return Start{ID: f[1], Helper: f[2], State: f[3], Dir: f[4], Log: f[5], OOM: f[6],
		TTY: f[7] == "true", Stdin: f[8] == "true", StdinOnce: f[9] == "true"}, nil
}

// The files of a container's directory.
const (
	SpecFile    = "spec.json"
	StartedFile = "started"
	ExitFile    = "exit"
)

// Started is the content of StartedFile.
type Started struct {
	PID int
	At  time.Time
}

// Encode returns the file's content.
func (s Started) Encode() string {
	return Join(strconv.Itoa(s.PID), s.At.UTC().Format(time.RFC3339Nano))
}

// ParseStarted reads it.
func ParseStarted(content string) (Started, error) {
	f := Split(content)
	if len(f) != 2 {
		return Started{}, errors.New("malformed record of a start")
	}
	pid, err := strconv.Atoi(f[0])
	if err != nil {
		return Started{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, f[1])
	return Started{PID: pid, At: at}, err
}

// Exit is the content of ExitFile: how a container ended.
type Exit struct {
	Code    int // 128+Signal when a signal ended it
	Signal  int
	OOM     bool
	At      time.Time
	Message string // why it could not be started (Code is StartFailed)
}

// StartFailed is the exit code of a container that could not be started, as
// in Kubernetes.
const StartFailed = 128

// Encode returns the file's content.
func (e Exit) Encode() string {
	return Join(strconv.Itoa(e.Code), strconv.Itoa(e.Signal), strconv.FormatBool(e.OOM),
		e.At.UTC().Format(time.RFC3339Nano), e.Message)
}

// ParseExit reads it.
func ParseExit(content string) (Exit, error) {
	f := Split(content)
	if len(f) != 5 {
		return Exit{}, errors.New("malformed record of an exit")
	}
	code, err := strconv.Atoi(f[0])
	if err != nil {
		return Exit{}, err
	}
	signal, err := strconv.Atoi(f[1])
	if err != nil {
		return Exit{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, f[3])
	return Exit{Code: code, Signal: signal, OOM: f[2] == "true", At: at, Message: f[4]}, err
}
