package semver

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// String returns major.minor.patch[-prerelease][+metadata], without a v.
func (v Version) String() string {
	return string(v.appendTo(make([]byte, 0, 32)))
}

func (v *Version) appendTo(b []byte) []byte {
	b = strconv.AppendUint(b, v.major, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, v.minor, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, v.patch, 10)
	if v.pre != "" {
		b = append(append(b, '-'), v.pre...)
	}
	if v.metadata != "" {
		b = append(append(b, '+'), v.metadata...)
	}
	return b
}

// MarshalText returns String's text.
func (v Version) MarshalText() ([]byte, error) {
	return []byte(v.String()), nil
}

// UnmarshalText reads what NewVersion does. With an error v stays as it was.
func (v *Version) UnmarshalText(text []byte) error {
	return v.set(string(text))
}

// MarshalJSON returns String's text as a JSON string.
func (v Version) MarshalJSON() ([]byte, error) {
	return json.Marshal(v.String())
}

// UnmarshalJSON reads a JSON string as NewVersion does. With an error v stays as it was.
func (v *Version) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	return v.set(text)
}

// Scan reads a string or bytes as NewVersion does: the method of database/sql's Scanner,
// here because templates see it. With an error v stays as it was.
func (v *Version) Scan(value any) error {
	switch value := value.(type) {
	case string:
		return v.set(value)
	case []byte:
		return v.set(string(value))
	case nil:
		return errors.New("cannot scan nil into Version")
	}
	return fmt.Errorf("unsupported Scan type %T", value)
}

// Value returns String's text. It stands for the method of database/sql's Valuer, whose
// result has a type of that package, which is not worth linking it.
func (v Version) Value() (any, error) {
	return v.String(), nil
}

func (v *Version) set(text string) error {
	read, err := parse(text)
	if err != nil {
		return err
	}
	*v = read
	return nil
}
