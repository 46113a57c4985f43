package funcs

import "github.com/seed38700745/pkg/chart/semver"

func semverOf(version string) (*semver.Version, error) { return semver.NewVersion(version) }

func semverCompare(constraint, version string) (bool, error) {
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return false, err
	}
	v, err := semver.NewVersion(version)
	if err != nil {
		return false, err
	}
	return c.Check(v), nil
}
