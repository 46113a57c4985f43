package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The gRPC health protocol is one unary call of two tiny messages, spoken here
// on plain HTTP/2: grpc.health.v1.Health/Check. A frame is a zero byte, the
// length in 4 bytes, big endian, and the message.
const (
	healthPath = "/grpc.health.v1.Health/Check"
	frameHead  = 5
	serving    = 1 // HealthCheckResponse.SERVING
	maxAnswer  = 1 << 10
)

func servingName(status uint64) string {
	switch status {
	case 2:
		return "NOT_SERVING"
	case 3:
		return "SERVICE_UNKNOWN"
	}
	return "UNKNOWN"
}

func newGRPCClient() *http.Client {
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: &only, DisableKeepAlives: true}}
}

// check succeeds if the service says that it is serving.
func (p *Prober) check(ctx context.Context, a *corev1.GRPCAction, t Target) (bool, string) {
	address, err := t.address("", intstr.FromInt32(a.Port))
	if err != nil {
		return false, err.Error()
	}
	var service string
	if a.Service != nil {
		service = *a.Service
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+healthPath, bytes.NewReader(healthRequest(service)))
	if err != nil {
		return false, err.Error()
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	r.Header.Set("User-Agent", userAgent)
	answer, err := p.grpc.Do(r)
	if err != nil {
		return false, fmt.Sprintf("timeout: failed to connect service %q: %v", address, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return false, fmt.Sprintf("error: health rpc probe failed: %v", err)
	}
	code := answer.Trailer.Get("Grpc-Status")
	text := answer.Trailer.Get("Grpc-Message")
	if code == "" { // an answer without a message has it in the header
		code, text = answer.Header.Get("Grpc-Status"), answer.Header.Get("Grpc-Message")
	}
	if code != "0" {
		return false, fmt.Sprintf("error: health rpc probe failed: status %s %s", code, text)
	}
	if status := servingStatus(body); status != serving {
		return false, fmt.Sprintf("service unhealthy (responded with %q)", servingName(status))
	}
	return true, "service healthy"
}

// healthRequest encodes HealthCheckRequest{service: 1} in a frame.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = append([]byte{1<<3 | 2}, binary.AppendUvarint(nil, uint64(len(service)))...)
		message = append(message, service...)
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(frame, message...)
}

// servingStatus decodes HealthCheckResponse{status: 1} from a frame.
func servingStatus(frame []byte) uint64 {
	if len(frame) < frameHead+2 || frame[frameHead] != 1<<3 {
		return 0
	}
	status, _ := binary.Uvarint(frame[frameHead+1:])
	return status
}
