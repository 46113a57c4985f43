package semver

import "math"

// IncPatch returns the release that follows: that of a prerelease, or the next patch.
// Like the other methods that return a new version it keeps the v of the original; at
// the last number of 64 bits they panic.
func (v Version) IncPatch() Version {
	patch := v.patch
	if v.pre == "" {
		patch = next(patch, "patch")
	}
	return v.with(v.major, v.minor, patch, "", "")
}

// IncMinor returns the next minor release, with patch 0.
func (v Version) IncMinor() Version {
	return v.with(v.major, next(v.minor, "minor"), 0, "", "")
}

// IncMajor returns the next major release, with minor and patch 0.
func (v Version) IncMajor() Version {
	return v.with(next(v.major, "major"), 0, 0, "", "")
}

// SetPrerelease returns the version with another prerelease, without hyphen before it;
// "" makes it a release. With an error it returns v.
func (v Version) SetPrerelease(pre string) (Version, error) {
	if pre != "" {
		if err := checkPrerelease(pre); err != nil {
			return v, err
		}
	}
	return v.with(v.major, v.minor, v.patch, pre, v.metadata), nil
}

// SetMetadata returns the version with other metadata, without plus before it, or
// without any. With an error it returns v.
func (v Version) SetMetadata(metadata string) (Version, error) {
	if metadata != "" {
		if err := checkMetadata(metadata); err != nil {
			return v, err
		}
	}
	return v.with(v.major, v.minor, v.patch, v.pre, metadata), nil
}

func (v Version) with(major, minor, patch uint64, pre, metadata string) Version {
	out := Version{major: major, minor: minor, patch: patch, pre: pre, metadata: metadata}
	out.original = out.String()
	if v.original != "" && v.original[0] == 'v' {
		out.original = "v" + out.original
	}
	return out
}

func next(n uint64, what string) uint64 {
	if n == math.MaxUint64 {
		panic(what + " version increment would overflow uint64")
	}
	return n + 1
}
