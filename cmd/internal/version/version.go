// Package version knows which version this program is.
package version

// Version is set by the linker; see the Makefile.
var Version = Unknown

// Unknown is the version of a program that was built without one.
const Unknown = "0.0.0-unknown"

// Kubernetes is the version of the API that the cluster speaks.
const Kubernetes = "v1.36.3"
