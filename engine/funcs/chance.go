package funcs

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
)

// What random texts consist of.
const (
	letters   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digits    = "0123456789"
	printable = " !\"#$%&'()*+,-./" + digits + ":;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
)

// randomText is made of count characters, each as likely as any other; empty when
// count is negative. Charts make passwords of it.
func randomText(count int, of string) string {
	if count <= 0 {
		return ""
	}
	out := make([]byte, count)
	limit := 256 - 256%len(of) // bytes from here on would favour the first characters
	var buf [64]byte
	for n := 0; n < count; {
		chunk := buf[:min(len(buf), count-n+8)]
		_, _ = rand.Read(chunk) // never fails
		for _, b := range chunk {
			if int(b) < limit && n < count {
				out[n] = of[int(b)%len(of)]
				n++
			}
		}
	}
	return string(out)
}

// randBytes are random bytes in base64.
func randBytes(count int) (string, error) {
	buf := make([]byte, count)
	_, _ = rand.Read(buf) // never fails
	return base64.StdEncoding.EncodeToString(buf), nil
}

// uuidV4 is a random UUID (RFC 9562, section 5.4).
func uuidV4() string {
	var id [16]byte
	_, _ = rand.Read(id[:])      // never fails
	id[6] = id[6]&0x0f | 4<<4    // version
	id[8] = id[8]&0x3f | 0b10<<6 // variant
	out := make([]byte, 0, 36)
	for _, part := range [][]byte{id[:4], id[4:6], id[6:8], id[8:10]} {
		out = append(hex.AppendEncode(out, part), '-')
	}
	return string(hex.AppendEncode(out, id[10:]))
}
