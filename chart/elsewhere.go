package chart

import "errors"

// ErrElsewhere is wrapped by the errors of what a program built with the tag front
// leaves out, since linking it would cost the start of every run: whoever gets it
// begins the whole command line again in the full program. Nothing has been printed,
// written or read from standard input when it is returned.
var ErrElsewhere = errors.New("only the full program can do this")
