package manifest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/cluster/kind/manifest"
)

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: example.com:5000/web:1
        ports: [{name: http, containerPort: 80}]
`

func TestCheck(t *testing.T) {
	tests := []struct {
		name      string
		documents string
		want      []string
	}{
		{"nothing", deployment + `
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
`, nil},
		{"types and fields", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {a: 1}}
spec:
  replicas: "2"
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: a, image: "a:1", resources: {limits: {cpu: lots}}, ports: {}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {a: b}
dada: {}
`, []string{
			`0 ERROR metadata.labels.a: wrong type: the number 1 where a string is expected`,
			`0 ERROR spec.replicas: wrong type: the string "2" where an integer is expected`,
			`0 ERROR spec.template.spec.containers[0].ports: wrong type: a map where a list is expected`,
			`0 ERROR spec.template.spec.containers[0].resources.limits.cpu: wrong type: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
			`1 ERROR dada: unknown field`,
		}},
		{"the cluster's validation, in a List", `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: Web}, spec: {ports: [{port: 70000, targetPort: 80}]}}
`, []string{
			`0 ERROR items[0].metadata.name: Invalid value: "Web": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
			`0 ERROR items[0].spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive`,
		}},
		{"kinds", `
apiVersion: apps/v1
kind: deployment
metadata: {name: a}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: a}
spec: {whatever: 1}
---
kind: ConfigMap
`, []string{
			`0 ERROR kind: apps/v1 has no kind "deployment"; apps/v1 Deployment exists`,
			`2 ERROR apiVersion: missing: no cluster takes an object without it`,
		}},
		{"Services", deployment + `
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: https}]}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {selector: {app: other}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: n2}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i}
spec:
  rules:
  - http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 81}}}}
      - {path: /b, pathType: Prefix, backend: {service: {name: c, port: {number: 80}}}}
`, []string{
			`1 ERROR spec.ports[0].targetPort: "https" names no port of Deployment web; its ports: http`,
			`2 WARNING spec.selector: selects none of the chart's pods: no template has the labels app=other`,
			`3 WARNING spec.selector: selects none of the chart's pods: no template has the labels app=web`,
			`4 ERROR spec.rules[0].http.paths[0].backend.service.port: Service "a" has no such port`,
			`4 WARNING spec.rules[0].http.paths[1].backend.service.name: Service "c" is not among the chart's objects`,
		}},
		{"custom resources may make pods", `
apiVersion: example.com/v1
kind: Thing
metadata: {name: a}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {selector: {app: other}, ports: [{port: 80}]}
`, nil},
		{"pods", `
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  serviceAccountName: who
  containers:
  - name: a
    image: example.com:5000/a
    env:
    - {name: A, valueFrom: {secretKeyRef: {name: made, key: k}}}
    - {name: B, valueFrom: {configMapKeyRef: {name: maybe, key: k, optional: true}}}
    envFrom: [{configMapRef: {name: c1}}]
  - {name: b, image: "b:latest"}
  - {name: c, image: "c@sha256:0000000000000000000000000000000000000000000000000000000000000000"}
  volumes:
  - {name: v1, secret: {secretName: s1}}
  - {name: v2, projected: {sources: [{configMap: {name: kube-root-ca.crt}}, {secret: {name: tls}}]}}
  - {name: v3, persistentVolumeClaim: {claimName: p1}}
---
apiVersion: v1
kind: Secret
metadata: {name: made}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: c}
spec: {secretName: tls}
`, []string{
			`0 WARNING spec.containers[0].image: image "example.com:5000/a" has no tag: which version runs depends on the day`,
			`0 INFO spec.containers[1].image: image "b:latest": which version runs depends on the day`,
			`0 WARNING spec.containers[0].envFrom[0].configMapRef.name: ConfigMap "c1" is not among the chart's objects`,
			`0 WARNING spec.volumes[0].secret.secretName: Secret "s1" is not among the chart's objects`,
			`0 WARNING spec.volumes[2].persistentVolumeClaim.claimName: PersistentVolumeClaim "p1" is not among the chart's objects`,
			`0 WARNING spec.serviceAccountName: ServiceAccount "who" is not among the chart's objects`,
		}},
		{"StatefulSets", `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: a, image: "a:1"}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
apiVersion: v1
kind: Service
metadata: {name: db-0}
spec: {selector: {app: db, statefulset.kubernetes.io/pod-name: db-0}, ports: [{port: 80}]}
`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var documents []json.RawMessage
			for _, doc := range strings.Split(tt.documents, "\n---\n") {
				data, err := yaml.YAMLToJSON([]byte(doc))
				if err != nil {
					t.Fatal(err)
				}
				documents = append(documents, data)
			}
			var got []string
			for _, f := range manifest.Check(documents, "default", nil) {
				got = append(got, fmt.Sprintf("%d %s %s: %s", f.Document, f.Severity, f.Path, f.Message))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzCheck: no document makes the check panic.
func FuzzCheck(f *testing.F) {
	for _, doc := range []string{
		`{}`, `null`, `[]`, `{"apiVersion":"v1","kind":"Pod"}`, `{"apiVersion":"v1","kind":"List","items":[null,1]}`,
		`{"apiVersion":"apps/v1","kind":"StatefulSet","spec":{"template":{"spec":{"containers":[{"env":[{"valueFrom":{}}]}]}}}}`,
		`{"apiVersion":"v1","kind":"Service","spec":{"selector":{"a":"b"},"ports":[{"targetPort":"x"}]}}`,
		`{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","spec":{"scaleTargetRef":{}}}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		manifest.Check([]json.RawMessage{doc, doc}, "default", nil)
	})
}
