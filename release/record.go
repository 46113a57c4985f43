package release

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
)

// maxDecoded bounds what a stored release may unpack to.
const maxDecoded = 256 << 20

// encode is base64(gzip(JSON)).
func encode(r *Release) (string, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(data); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// decode reverses encode; what is not compressed is taken as it is (Helm's rule,
// for records of its first days).
func decode(text string) (*Release, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b, 0x08}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(io.LimitReader(z, maxDecoded)); err != nil {
			return nil, err
		}
	}
	r := &Release{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	if r.Info == nil {
		r.Info = &Info{Status: StatusUnknown}
	}
	return r, nil
}
