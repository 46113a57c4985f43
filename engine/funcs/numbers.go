package funcs

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// indirect follows pointers to what they point to, or to the last that is nil.
func indirect(v any) any {
	if reflect.TypeOf(v).Kind() != reflect.Pointer {
		return v
	}
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	return r.Interface()
}

// toInt64 makes a whole number of what looks like one, by the rules of the library
// spf13/cast: texts in any of Go's bases, also with zeros behind a point; floats are
// cut; true is 1; other types, and texts that are no number, are 0.
func toInt64(v any) int64 {
	switch v := v.(type) {
	case nil:
		return 0
	case int:
		return int64(v)
	case int64:
		return v
	case float64:
		return int64(v)
	case string:
		n, err := strconv.ParseInt(withoutZeroDecimals(v), 0, 0)
		if err != nil {
			return 0
		}
		return n
	}
	switch v := indirect(v).(type) {
	case int, int64, float64, string:
		return toInt64(v)
	case time.Weekday:
		return int64(v)
	case time.Month:
		return int64(v)
	case int32:
		return int64(v)
	case int16:
		return int64(v)
	case int8:
		return int64(v)
	case uint:
		return int64(v)
	case uint64:
		return int64(v)
	case uint32:
		return int64(v)
	case uint16:
		return int64(v)
	case uint8:
		return int64(v)
	case float32:
		return int64(v)
	case json.Number:
		return toInt64(string(v))
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

// withoutZeroDecimals cuts off a point behind which there are zeros, one at least.
func withoutZeroDecimals(s string) string {
	if whole := strings.TrimRight(s, "0"); len(whole) < len(s) && strings.HasSuffix(whole, ".") {
		return whole[:len(whole)-1]
	}
	return s
}

// toFloat64 is toInt64 for floats.
func toFloat64(v any) float64 {
	switch v := v.(type) {
	case nil:
		return 0
	case float64:
		return v
	case string:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return 0
		}
		return f
	}
	switch v := indirect(v).(type) {
	case float64, string:
		return toFloat64(v)
	case float32:
		return float64(v)
	case uint:
		return float64(v)
	case uint64:
		return float64(v)
	case int, int64, int32, int16, int8, uint32, uint16, uint8, bool, time.Weekday, time.Month:
		return float64(toInt64(v))
	case interface{ Float64() (float64, error) }:
		f, err := v.Float64()
		if err != nil {
			return 0
		}
		return f
	case interface{ Float64() float64 }:
		return v.Float64()
	}
	return 0
}

// toDecimal reads an octal number, 0 when it is none.
func toDecimal(v any) int64 {
	n, err := strconv.ParseInt(formatted(v), 8, 64)
	if err != nil {
		return 0
	}
	return n
}

func add(values ...any) int64 {
	sum := int64(0)
	for _, v := range values {
		sum += toInt64(v)
	}
	return sum
}

func mul(v any, others ...any) int64 {
	product := toInt64(v)
	for _, other := range others {
		product *= toInt64(other)
	}
	return product
}

func maxOf(v any, others ...any) int64 {
	out := toInt64(v)
	for _, other := range others {
		out = max(out, toInt64(other))
	}
	return out
}

func minOf(v any, others ...any) int64 {
	out := toInt64(v)
	for _, other := range others {
		out = min(out, toInt64(other))
	}
	return out
}

func maxFloat(v any, others ...any) float64 {
	out := toFloat64(v)
	for _, other := range others {
		out = math.Max(out, toFloat64(other))
	}
	return out
}

func minFloat(v any, others ...any) float64 {
	out := toFloat64(v)
	for _, other := range others {
		out = math.Min(out, toFloat64(other))
	}
	return out
}

func ceil(v any) float64 { return math.Ceil(toFloat64(v)) }

func floor(v any) float64 { return math.Floor(toFloat64(v)) }

// round rounds to places behind the point: up from the fraction up on, one half if it
// is not given. Negative numbers have a negative fraction, and so go down.
func round(v any, places int, up ...float64) float64 {
	from := 0.5
	if len(up) > 0 {
		from = up[0]
	}
	scale := math.Pow(10, float64(places))
	scaled := scale * toFloat64(v)
	if _, fraction := math.Modf(scaled); fraction >= from {
		return math.Ceil(scaled) / scale
	}
	return math.Floor(scaled) / scale
}

// until counts from 0 towards a number, which it leaves out.
func until(count int) []int {
	if count < 0 {
		return untilStep(0, count, -1)
	}
	return untilStep(0, count, 1)
}

// untilStep counts in steps, which must lead towards stop.
func untilStep(start, stop, step int) []int {
	out := []int{}
	switch {
	case stop < start && step < 0:
		for i := start; i > stop; i += step {
			out = append(out, i)
		}
	case stop >= start && step > 0:
		for i := start; i < stop; i += step {
			out = append(out, i)
		}
	}
	return out
}

// seq counts as the command of that name does: seq LAST, seq FIRST LAST, or seq FIRST
// STEP LAST. The step is the direction if it is not given.
func seq(args ...int) string {
	first, last, step := 1, 0, 0
	switch len(args) {
	case 1:
		last = args[0]
	case 2:
		first, last = args[0], args[1]
	case 3:
		first, step, last = args[0], args[1], args[2]
	default:
		return ""
	}
	direction := 1
	if last < first {
		direction = -1
	}
	if len(args) < 3 {
		step = direction
	} else if direction < 0 && step > 0 {
		return ""
	}
	var b strings.Builder
	for i, n := range untilStep(first, last+direction, step) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}
