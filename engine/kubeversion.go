package engine

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseKubeVersion reads "1.36", "v1.36.2" or "v1.36.2+k3s1": two or more numbers with
// dots between; spaces and a v before them and whatever follows on the line do not
// count. It accepts what ParseGeneric of k8s.io/apimachinery/pkg/util/version does,
// which Helm uses, with its errors.
func ParseKubeVersion(s string) (KubeVersion, error) {
	numbers, err := kubeNumbers(s)
	if err != nil {
		return KubeVersion{}, fmt.Errorf("invalid kube version '%s': %w", s, err)
	}
	return KubeVersion{
		Version: "v" + strings.Join(numbers, "."),
		Major:   numbers[0],
		Minor:   numbers[1],
	}, nil
}

// kubeNumbers returns the numbers of a version, at least two, without leading zeros.
func kubeNumbers(s string) ([]string, error) {
	rest := strings.TrimPrefix(strings.TrimLeft(s, " \t\n\f\r"), "v")
	var numbers []string
	for more := true; more; {
		end := digits(rest)
		numbers, rest = append(numbers, rest[:end]), rest[end:]
		more = len(rest) > 1 && rest[0] == '.' && digits(rest[1:]) > 0
		if more {
			rest = rest[1:]
		}
	}
	if numbers[0] == "" || strings.Contains(rest, "\n") {
		return nil, fmt.Errorf("could not parse %q as version", s)
	}
	if len(numbers) < 2 {
		return nil, fmt.Errorf("illegal version string %q", s)
	}
	if major := numbers[0]; major != "0" && major[0] == '0' {
		return nil, fmt.Errorf("illegal zero-prefixed version component %q in %q", major, s)
	}
	for i, number := range numbers {
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("illegal non-numeric version component %q in %q: %w", number, s, err)
		}
		numbers[i] = strconv.FormatUint(n, 10)
	}
	return numbers, nil
}

// digits counts those at the beginning.
func digits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
