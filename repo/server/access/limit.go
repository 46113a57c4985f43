package access

import (
	"net"
	"net/http"
	"sync"

	"golang.org/x/time/rate"
)

// maxAddresses bounds what a Limiter remembers; beyond it all start afresh.
const maxAddresses = 10000

// Limiter bounds the requests of one address. The zero rate limits nothing.
type Limiter struct {
	rate rate.Limit

	mu   sync.Mutex
	each map[string]*rate.Limiter // guarded by mu
}

// NewLimiter allows so many requests a second, and bursts of four seconds' worth.
func NewLimiter(perSecond float64) *Limiter {
	return &Limiter{rate: rate.Limit(perSecond), each: map[string]*rate.Limiter{}}
}

// Allow takes one request of a client.
func (l *Limiter) Allow(r *http.Request) bool {
	if l.rate <= 0 {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	l.mu.Lock()
	one := l.each[host]
	if one == nil {
		if len(l.each) >= maxAddresses {
			clear(l.each)
		}
		one = rate.NewLimiter(l.rate, max(1, int(4*l.rate)))
		l.each[host] = one
	}
	l.mu.Unlock()
	return one.Allow()
}
