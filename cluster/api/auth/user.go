package auth

// User is who made a request, as authentication found out.
type User struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
}

// Attributes is what a request wants to do: the input of authorization.
// For requests that are not about resources (ResourceRequest is false) only
// User, Verb (the lower-case HTTP method) and Path are set.
type Attributes struct {
	User
	Verb        string // "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate" ...
	Namespace   string
	Group       string
	Version     string
	Resource    string // plural: "pods"
	Subresource string
	// Name of the object, empty for collections.
	Name string

	Path            string
	ResourceRequest bool
}
