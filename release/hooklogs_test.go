package release

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/engine"
)

// piped is a cluster whose containers write what the test writes.
type piped struct {
	Cluster
	logs map[string]io.ReadCloser // by container
}

func (p *piped) Logs(_ context.Context, _ object.Key, o LogOptions) (io.ReadCloser, error) {
	if !o.Follow {
		return nil, fmt.Errorf("a log that is not followed")
	}
	return p.logs[o.Container], nil
}

// TestHookLogsWhileItRuns reads a line of a container that has not ended, and those of
// one that was too quick for the watch.
func TestHookLogsWhileItRuns(t *testing.T) {
	api := newCluster(t)
	first, firstIn := io.Pipe()
	second, secondIn := io.Pipe()
	c := &piped{api, map[string]io.ReadCloser{"one": first, "two": second}}
	said := make(chan string, 10)
	l := &hookLogs{cluster: c, say: func(format string, args ...any) { said <- fmt.Sprintf(format, args...) }}
	next := func(want string) {
		t.Helper()
		select {
		case line := <-said:
			if line != want {
				t.Errorf("said %q, want %q", line, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing was said, want %q", want)
		}
	}
	account := sample(t, `{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: default}}`)
	if _, err := api.Create(t.Context(), object.Resource{Resource: "serviceaccounts"}, account, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := sample(t, `{apiVersion: v1, kind: Pod, metadata: {name: migrate, namespace: default},
		spec: {restartPolicy: Never, containers: [{name: one, image: x}, {name: two, image: x}]}}`)
	if _, err := api.Create(t.Context(), pods(), pod, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	status := func(one, two string) {
		t.Helper()
		body := `{"status":{"phase":"Running","containerStatuses":[
			{"name":"one","image":"x","imageID":"x","restartCount":0,"ready":true,"state":{` + one + `}},
			{"name":"two","image":"x","imageID":"x","restartCount":0,"ready":true,"state":{` + two + `}}]}}`
		if _, err := api.Patch(t.Context(), pods(), object.KeyOf(pod), types.MergePatchType, []byte(body), object.WriteOptions{Subresource: "status"}); err != nil {
			t.Fatal(err)
		}
	}
	stop := l.follow(t.Context(), "default", &Hook{Hook: engine.Hook{Kind: "Pod", Name: "migrate"}})
	status(`"running":{}`, `"waiting":{"reason":"ContainerCreating"}`)
	fmt.Fprintln(firstIn, "step 1")
	next("  migrate/one | step 1")
	fmt.Fprintln(firstIn, "step 2")
	next("  migrate/one | step 2")
	status(`"terminated":{"exitCode":0}`, `"terminated":{"exitCode":1}`)
	go func() { // the pipes block until they are read
		firstIn.Close()
		fmt.Fprintln(secondIn, "quick")
		secondIn.Close()
	}()
	stop()
	next("  migrate/two | quick")
	select {
	case line := <-said:
		t.Errorf("said %q, too", line)
	default:
	}
}
