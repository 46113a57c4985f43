// Package imageexport is what `pkg bundle` and `pkgd export-images` say to each
// other: one Request as JSON on stdin, Lines of JSON on stdout.
package imageexport

import "github.com/seed38700745/pkg/cluster/cri"

// Command is pkgd's subcommand.
const Command = "export-images"

// Request asks for images as blobs of an OCI layout.
type Request struct {
	Names []string `json:"names"`
	// Folder gets the blobs, below blobs/sha256. It should be on the file system of
	// the image cache, whose files are then linked and not copied.
	Folder       string `json:"folder"`
	Architecture string `json:"architecture,omitempty"` // Go's name; this machine's if empty
	// Whole takes images of several platforms as they are, with their index; else it is
	// the image of the architecture.
	Whole bool `json:"whole,omitempty"`
	// Registries is a registries.yaml, Credentials are files of Docker's format; they
	// need not exist.
	Registries     string   `json:"registries,omitempty"`
	Credentials    []string `json:"credentials,omitempty"`
	NoSubstitution bool     `json:"noSubstitution,omitempty"`
	// Known are digests, by names of the request: an image that turns out to have it
	// is named in the answer, but its blobs are not fetched.
	Known map[string]string `json:"known,omitempty"`
	// KeepGoing makes an image that cannot be had a Line with Failed, not the end.
	KeepGoing bool `json:"keepGoing,omitempty"`
}

// Line is one line of the answer; exactly one of its fields is set.
type Line struct {
	Progress *cri.ImageProgress `json:"progress,omitempty"`
	Image    *Image             `json:"image,omitempty"` // in the order of the request
	Failed   *Failure           `json:"failed,omitempty"`
}

// Image is one whose blobs are in the folder, unless its digest was known.
type Image struct {
	Asked  string `json:"asked"`  // the name as in the request
	Name   string `json:"name"`   // in full, "docker.io/library/nginx:1.22"
	Digest string `json:"digest"` // of its manifest or index, which is in the folder
	Origin string `json:"origin"` // where it came from, for people
}

// Failure is an image that could not be had.
type Failure struct {
	Asked string `json:"asked"`
	Error string `json:"error"`
}
