package cri

import "errors"

// Sentinels that an image store's errors wrap, for the agent to tell apart.
var (
	// ErrInvalidImageName: the reference cannot be parsed.
	ErrInvalidImageName = errors.New("invalid image name")
	// ErrImageNeverPull: the image is not present and may not be pulled.
	ErrImageNeverPull = errors.New("image is not present and its pull policy is Never")
)
