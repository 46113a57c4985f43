package meter_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/meter"
)

func scrape(t *testing.T, m *meter.Meter) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("/metrics: %d, %s", w.Code, w.Header())
	}
	return w.Body.String()
}

func TestMeter(t *testing.T) {
	m := meter.New(meter.Version{Product: "0.1", Kubernetes: "v1.36.3"})
	pods := api.Observed{Verb: "list", Version: "v1", Resource: "pods", Scope: "namespace"}
	m.Begin(pods)(api.Outcome{Code: 200, Bytes: 1500, Served: true})
	m.Begin(api.Observed{Verb: "patch", Group: "apps", Version: "v1", Resource: "deployments", Scope: "resource",
		Patch: "application/apply-patch+yaml", DryRun: true})(api.Outcome{Code: 201, Served: true})
	m.Begin(api.Observed{Verb: "get", Version: "v1", Resource: "whatever"})(api.Outcome{Code: 404})
	watch := api.Observed{Verb: "watch", Version: "v1", Resource: "pods", Scope: "cluster", Long: true}
	ended := m.Begin(watch)
	m.Committed(3, 2*time.Millisecond, nil)
	m.Committed(1, time.Millisecond, errors.New("no space"))
	m.Scheduled("default-scheduler", "unschedulable", time.Millisecond)
	q := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[string]{Name: "deployment", MetricsProvider: m.Queues()})
	q.Add("a")
	defer q.ShutDown()
	text := scrape(t, m)
	for _, want := range []string{
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource="",verb="LIST",version="v1"} 1`,
		`apiserver_request_total{code="201",component="apiserver",dry_run="All",group="apps",resource="deployments",scope="resource",subresource="",verb="APPLY",version="v1"} 1`,
		`apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="",scope="",subresource="",verb="GET",version=""} 1`,
		`apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource="",verb="LIST",version="v1"} 1`,
		`apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="cluster",subresource="",verb="WATCH",version="v1"} 1`,
		`apiserver_response_sizes_sum{component="apiserver",group="",resource="pods",scope="namespace",subresource="",verb="LIST",version="v1"} 1500`,
		"etcd_disk_backend_commit_duration_seconds_count 1", "pkg_store_commit_errors_total 1",
		`scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 1`,
		`workqueue_depth{name="deployment"} 1`, `kubernetes_build_info{git_version="v1.36.3",product_version="0.1"} 1`,
		"\ngo_goroutines ", "\nprocess_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	ended(api.Outcome{Code: 200})
	if want := `apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="cluster",subresource="",verb="WATCH",version="v1"} 0`; !strings.Contains(scrape(t, m), want) {
		t.Errorf("no %s after its end", want)
	}
}
