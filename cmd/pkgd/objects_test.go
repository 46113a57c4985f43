package main

import (
	"strings"
	"time"
)

// invalidObjects are refused with the texts that Kubernetes has.
func invalidObjects(s *space) {
	for _, test := range []struct{ manifest, want string }{
		{`{apiVersion: v1, kind: Pod, metadata: {name: Bad_Name}, spec: {containers: [{name: c, image: x}]}}`,
			`Pod "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of`},
		{`{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: x, ports: [{containerPort: 99999}], volumeMounts: [{name: gone, mountPath: /x}]}]}}`,
			`The Pod "p" is invalid: * spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive * spec.containers[0].volumeMounts[0].name: Not found: "gone"`},
		{`{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: x, resources: {requests: {cpu: 2}, limits: {cpu: 1}}}]}}`,
			`spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`},
		{`{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: x}]}}}}`,
			"The Deployment \"d\" is invalid: spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`"},
		{`{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: Foo, ports: [{port: 80}]}}`,
			`spec.type: Unsupported value: "Foo": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"`},
		{`{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containrs: [], containers: [{name: c, image: x, imagee: y}]}}`,
			`strict decoding error: unknown field "spec.containers[0].imagee", unknown field "spec.containrs"`},
		{`{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: 1}}`,
			`ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string`},
		{`{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: elsewhere}}`, `does not match the namespace "invalid"`},
		{`{apiVersion: example.com/v1, kind: Thing, metadata: {name: c}}`, `no matches for kind "Thing" in version "example.com/v1"`},
		{`{apiVersion: v1, kind: Pod`, `error parsing`},
	} {
		s.refuses([]string{test.want}, "apply", "-f", s.file(test.manifest))
	}
	s.refuses([]string{`namespaces "nowhere" not found`}, "create", "configmap", "c", "-n", "nowhere")
	s.refuses([]string{"pod updates may not change fields other than"}, "apply", "-f", s.changedPod())
}

// changedPod makes a pod and returns a manifest that changes what cannot change.
func (s *space) changedPod() string {
	s.t.Helper()
	manifest := `{apiVersion: v1, kind: Pod, metadata: {name: fixed}, spec: {containers: [{name: c, image: "standin:1", command: [standin, stress]}]}}`
	s.apply(manifest)
	return s.file(strings.Replace(manifest, "[standin, stress]", "[standin]", 1))
}

// definition is a custom resource with what structural schemas can do.
const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns:
    - {name: Schedule, type: string, jsonPath: .spec.schedule}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [schedule]
            properties:
              schedule: {type: string, pattern: '^(\S+ ){4}\S+$', description: When it runs.}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
          status: {type: object, properties: {replicas: {type: integer}}}
`

// definitions makes kinds of one's own.
func definitions(s *space) {
	s.apply(definition)
	defer func() {
		s.k("delete", "crd", "crontabs.stable.example.com", "--timeout=20s")
		s.refuses([]string{`crontabs`}, "get", "crontabs") // kubectl may still know the kind
	}()
	s.k("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=10s")
	const thing = `{apiVersion: stable.example.com/v1, kind: CronTab, metadata: {name: mine}, spec: `
	s.refuses([]string{`The CronTab "mine" is invalid`, `spec.replicas: Invalid value: 11`, `spec.schedule: Required value`}, "apply", "-f", s.file(thing+`{replicas: 11}}`))
	s.refuses([]string{`spec.schedule`, `should match '^(\S+ ){4}\S+$'`}, "apply", "-f", s.file(thing+`{schedule: never}}`))
	s.refuses([]string{`unknown field "spec.other"`}, "apply", "-f", s.file(thing+`{schedule: "* * * * 5", other: 1}}`))
	s.k("apply", "--validate=false", "-f", s.file(thing+`{schedule: "* * * * 5", other: 1}}`))
	if got := s.k("get", "ct", "mine", "-o", "jsonpath={.spec}"); got != `{"replicas":1,"schedule":"* * * * 5"}` {
		s.t.Errorf("pruned and with defaults: %s", got)
	}
	s.k("scale", "crontab/mine", "--replicas=3")
	s.says([]string{"NAME SCHEDULE REPLICAS", "mine * * * * 5 3"}, "get", "crontabs")
	s.says([]string{"GROUP: stable.example.com", "schedule <string> -required-", "When it runs."}, "explain", "crontab.spec")
	s.says([]string{"crontabs ct stable.example.com/v1 true CronTab"}, "api-resources", "--api-group=stable.example.com")
}

// roles: a pod may what its ServiceAccount's role says, and nothing else.
func roles(s *space) {
	s.k("create", "serviceaccount", "reader")
	s.k("create", "role", "reader", "--verb=get,list", "--resource=configmaps")
	s.k("create", "rolebinding", "reader", "--role=reader", "--serviceaccount="+s.ns+":reader")
	const as = "--as=system:serviceaccount:roles:reader"
	s.says([]string{"yes"}, "auth", "can-i", "list", "configmaps", as)
	if r := s.tryK("auth", "can-i", "delete", "configmaps", as); r.code != 1 || r.stdout != "no\n" {
		s.t.Errorf("can-i delete: %+v", r)
	}
	s.k("run", "robot", "--image=standin:1", `--overrides={"spec":{"serviceAccountName":"reader"}}`, "--command", "--", "standin", "stress")
	s.k("wait", "--for=condition=Ready", "pod/robot", "--timeout=30s")
	ask := func(path string) string { return s.k("exec", "robot", "--", "standin", "api", path) }
	if got := ask("/api/v1/namespaces/roles/configmaps"); !strings.HasPrefix(got, "200\n") || !strings.Contains(got, "kube-root-ca.crt") {
		s.t.Errorf("its own config maps: %s", got)
	}
	for _, path := range []string{"/api/v1/namespaces/roles/secrets", "/api/v1/namespaces/default/configmaps", "/api/v1/nodes"} {
		if got := ask(path); !strings.HasPrefix(got, "403\n") || !strings.Contains(got, `User \"system:serviceaccount:roles:reader\" cannot list resource`) {
			s.t.Errorf("%s: %s", path, got)
		}
	}
	token := strings.TrimSpace(s.k("create", "token", "reader", "--duration=10m"))
	s.refuses([]string{`User "system:serviceaccount:roles:reader" cannot list resource "pods"`}, "get", "pods", "--token="+token, "--kubeconfig="+s.file(s.anonymous()))
	s.k("delete", "serviceaccount", "reader")
	eventually(s.t, 10*time.Second, func() error { // its tokens end with it
		return expect(ask("/api/v1/namespaces/roles/configmaps"), "401\n")
	})
}

// anonymous is the cluster's kubeconfig without a user.
func (s *space) anonymous() string {
	s.t.Helper()
	config := s.pkg("cluster", "kubeconfig")
	var kept []string
	for line := range strings.Lines(config) {
		if !strings.Contains(line, "client-certificate-data") && !strings.Contains(line, "client-key-data") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
