package api_test

import (
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/api"
)

// TestShutdown ends watches at once and lets a slow request finish.
func TestShutdown(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	c := start(t, func(c *api.Config) {
		c.Paths = map[string]http.Handler{"/slow": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-finish
			_, _ = w.Write([]byte("done"))
		})}
	})
	cs := c.client(t)
	w, err := cs.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	slow := make(chan string, 1)
	go func() {
		data, err := cs.CoreV1().RESTClient().Get().AbsPath("/slow").DoRaw(t.Context())
		slow <- string(data)
		if err != nil {
			t.Error(err)
		}
	}()
	<-begun
	stopped := make(chan struct{})
	go func() { c.stop(); close(stopped) }()
	select {
	case _, ok := <-w.ResultChan():
		if ok {
			t.Error("an event")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the watch goes on")
	}
	close(finish)
	if got := <-slow; got != "done" {
		t.Errorf("the slow request got %q", got)
	}
	at := time.Now()
	<-stopped
	if took := time.Since(at); took > 900*time.Millisecond {
		t.Errorf("idle connections held the shutdown up for %v", took)
	}
}
