package api_test

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// BenchmarkCreate makes 1 KiB ConfigMaps with 32 typed clients, each on a
// connection of its own, over TLS and fsynced.
func BenchmarkCreate(b *testing.B) {
	c := start(b, nil)
	clients := make([]*kubernetes.Clientset, 32)
	for i := range clients {
		config := c.config()
		config.UserAgent = fmt.Sprintf("client-%d", i)
		config.TLSClientConfig.ServerName = "127.0.0.1"
		cs, err := kubernetes.NewForConfig(config)
		if err != nil {
			b.Fatal(err)
		}
		clients[i] = cs
	}
	text := strings.Repeat("x", 1024)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i, cs := range clients {
		wg.Go(func() {
			for n := i; n < b.N; n += len(clients) {
				cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c-%d", n)}, Data: map[string]string{"text": text}}
				if _, err := cs.CoreV1().ConfigMaps("default").Create(b.Context(), cm, metav1.CreateOptions{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
}

// BenchmarkFanOut measures how long 100 watches take to hear of a create.
func BenchmarkFanOut(b *testing.B) {
	c := start(b, nil)
	cs := c.client(b)
	const watches = 100
	var mu sync.Mutex
	sent := map[string]time.Time{}
	var delays []time.Duration
	heard := make(chan struct{}, watches*(b.N+1))
	for range watches {
		w, err := cs.CoreV1().ConfigMaps("default").Watch(b.Context(), metav1.ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
		defer w.Stop()
		go func() { // ends with w
			for e := range w.ResultChan() {
				cm, ok := e.Object.(*corev1.ConfigMap)
				if !ok {
					continue
				}
				now := time.Now()
				mu.Lock()
				delays = append(delays, now.Sub(sent[cm.Name]))
				mu.Unlock()
				heard <- struct{}{}
			}
		}()
	}
	b.ResetTimer()
	for n := range b.N {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c-%d", n)}}
		mu.Lock()
		sent[cm.Name] = time.Now()
		mu.Unlock()
		if _, err := cs.CoreV1().ConfigMaps("default").Create(b.Context(), cm, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	for range watches * b.N {
		<-heard
	}
	b.StopTimer()
	sort.Slice(delays, func(i, j int) bool { return delays[i] < delays[j] })
	b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(delays[len(delays)/2].Microseconds()), "p50-us")
}
