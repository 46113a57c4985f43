package funcs

import (
	"strconv"
	"time"
)

// dateInZone formats a date by one of Go's layouts. The date is a time or seconds
// since 1970; anything else means now. Zones that are not known are UTC.
func dateInZone(layout string, date any, zone string) string {
	var t time.Time
	switch date := date.(type) {
	case time.Time:
		t = date
	case *time.Time:
		t = *date
	case int64:
		t = time.Unix(date, 0)
	case int:
		t = time.Unix(int64(date), 0)
	case int32:
		t = time.Unix(int64(date), 0)
	default:
		t = time.Now()
	}
	where, err := time.LoadLocation(zone)
	if err != nil {
		where = time.UTC
	}
	return t.In(where).Format(layout)
}

// dateModify adds a duration; what is none changes nothing.
func dateModify(duration string, date time.Time) time.Time {
	if d, err := time.ParseDuration(duration); err == nil {
		return date.Add(d)
	}
	return date
}

func mustDateModify(duration string, date time.Time) (time.Time, error) {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return time.Time{}, err
	}
	return date.Add(d), nil
}

// toDate reads a date; what is none is the zero time.
func toDate(layout, text string) time.Time {
	t, _ := mustToDate(layout, text)
	return t
}

func mustToDate(layout, text string) (time.Time, error) {
	return time.ParseInLocation(layout, text, time.Local)
}

// ago is how long a date has passed, in whole seconds.
func ago(date any) string {
	var t time.Time
	switch date := date.(type) {
	case time.Time:
		t = date
	case int64:
		t = time.Unix(date, 0)
	case int:
		t = time.Unix(int64(date), 0)
	default:
		t = time.Now()
	}
	return time.Since(t).Round(time.Second).String()
}

// duration writes seconds, as int64 or text; anything else is none.
func duration(seconds any) string {
	n := int64(0)
	switch v := seconds.(type) {
	case string:
		n, _ = strconv.ParseInt(v, 10, 64)
	case int64:
		n = v
	}
	return (time.Duration(n) * time.Second).String()
}

// Units of durationRound: a year has no leap days, a month thirty.
const (
	day   = 24 * time.Hour
	month = 30 * day
	year  = 365 * day
)

// durationRound writes a duration, or how long a date has passed, in its largest unit
// of which there is more than one.
func durationRound(v any) string {
	var d time.Duration
	switch v := v.(type) {
	case string:
		d, _ = time.ParseDuration(v)
	case int64:
		d = time.Duration(v)
	case time.Time:
		d = time.Since(v)
	}
	size := uint64(d)
	if d < 0 {
		size = -size
	}
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{
		{year, "y"}, {month, "mo"}, {day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"},
	} {
		if length := uint64(unit.length); size > length {
			return strconv.FormatUint(size/length, 10) + unit.name
		}
	}
	return "0s"
}
