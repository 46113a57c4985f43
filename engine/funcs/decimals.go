package funcs

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
)

// The arithmetic of floats is one of decimal numbers: addf 0.1 0.2 is 0.3. Each float
// means the shortest number that reads back as it, and only the result is rounded to
// a float.

// calculate applies an operation to a value and others, one after another. It writes
// its result into the first number.
func calculate(v any, others []any, operation func(a, b *big.Rat)) float64 {
	result := decimal(toFloat64(v))
	for _, other := range others {
		operation(result, decimal(toFloat64(other)))
	}
	f, _ := result.Float64()
	return f
}

func decimal(f float64) *big.Rat {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		panic(fmt.Sprintf("Cannot create a Decimal from %v", f))
	}
	r, _ := new(big.Rat).SetString(strconv.FormatFloat(f, 'e', -1, 64)) // what this writes is a number
	return r
}

func addFloats(values ...any) float64 {
	return calculate(0, values, func(a, b *big.Rat) { a.Add(a, b) })
}

func addOneFloat(v any) float64 { return addFloats(v, 1) }

func subFloats(v any, others ...any) float64 {
	return calculate(v, others, func(a, b *big.Rat) { a.Sub(a, b) })
}

func mulFloats(v any, others ...any) float64 {
	return calculate(v, others, func(a, b *big.Rat) { a.Mul(a, b) })
}

func divFloats(v any, others ...any) float64 { return calculate(v, others, divide) }

// quotientPlaces is how many decimal places quotients are rounded to, by the library
// that sprig uses.
const quotientPlaces = 16

// divide divides a by b: halves of the last place are rounded away from zero.
func divide(a, b *big.Rat) {
	if b.Sign() == 0 {
		panic("decimal division by 0")
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(quotientPlaces), nil)
	a.Quo(a, b).Mul(a, new(big.Rat).SetInt(unit))
	whole, rest := new(big.Int).QuoRem(a.Num(), a.Denom(), new(big.Int))
	if rest.Lsh(rest.Abs(rest), 1).Cmp(a.Denom()) >= 0 {
		whole.Add(whole, big.NewInt(int64(a.Sign())))
	}
	a.SetFrac(whole, unit)
}
