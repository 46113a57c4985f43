package podspec

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/object"
)

// fixed are objects that can be read.
type fixed struct {
	object.Verbs
	objects []object.Object
}

func resourceOf(o object.Object) string {
	switch o.(type) {
	case *corev1.ConfigMap:
		return "configmaps"
	case *corev1.Secret:
		return "secrets"
	}
	return "services"
}

func (f fixed) Get(_ context.Context, r object.Resource, k object.Key) (object.Object, error) {
	for _, o := range f.objects {
		if resourceOf(o) == r.Resource && object.KeyOf(o) == k {
			return o, nil
		}
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: r.Resource}, k.Name)
}

func (f fixed) List(_ context.Context, r object.Resource, o object.ListOptions) (*object.List, error) {
	l := &object.List{}
	for _, x := range f.objects {
		if resourceOf(x) == r.Resource && x.GetNamespace() == o.Namespace {
			l.Items = append(l.Items, x)
		}
	}
	return l, nil
}

func meta(ns, name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ns, Name: name} }

func service(ns, name, ip string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{ObjectMeta: meta(ns, name), Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: ports}}
}

func testPod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web-0", UID: "u", Labels: map[string]string{"app": "web"}}}
	p.Spec.DNSPolicy = corev1.DNSClusterFirst
	p.Status.PodIP = "10.0.0.5"
	return p
}

func TestEnv(t *testing.T) {
	world := fixed{objects: []object.Object{
		&corev1.ConfigMap{ObjectMeta: meta("ns", "conf"), Data: map[string]string{"a": "from conf", "b": "B"}},
		&corev1.Secret{ObjectMeta: meta("ns", "sec"), Data: map[string][]byte{"pw": []byte("hunter2")}},
		service("default", "kubernetes", "10.1.0.1", corev1.ServicePort{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP}),
		service("ns", "my-db", "10.1.0.7", corev1.ServicePort{Port: 5432, Protocol: corev1.ProtocolTCP}),
		service("ns", "headless", "None", corev1.ServicePort{Port: 1}),
	}}
	c := &corev1.Container{Name: "c",
		EnvFrom: []corev1.EnvFromSource{{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}}}},
		Env: []corev1.EnvVar{
			{Name: "PLAIN", Value: "x"}, {Name: "REF", Value: "$(PLAIN)-$(P_a)-$(NONE)-$$(PLAIN)"}, {Name: "P_b", Value: "overridden"},
			{Name: "PW", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "sec"}, Key: "pw"}}},
			{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
			{Name: "APP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['app']"}}},
			{Name: "MEM", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}}},
			{Name: "OPT", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}, Key: "zz", Optional: new(true)}}},
		}}
	pod := testPod()
	pod.Spec.Containers = []corev1.Container{*c}
	env, err := Env(context.Background(), world, pod, c, corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range env {
		got[e.Name] = e.Value
	}
	for name, want := range map[string]string{
		"PLAIN": "x", "REF": "x-from conf-$(NONE)-$(PLAIN)", "P_b": "overridden", "PW": "hunter2", "IP": "10.0.0.5", "APP": "web", "MEM": "512",
		"KUBERNETES_SERVICE_HOST": "10.1.0.1", "KUBERNETES_SERVICE_PORT_HTTPS": "443", "KUBERNETES_PORT": "tcp://10.1.0.1:443",
		"MY_DB_SERVICE_HOST": "10.1.0.7", "MY_DB_PORT_5432_TCP_ADDR": "10.1.0.7",
	} {
		if got[name] != want {
			t.Errorf("%s=%q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{"OPT", "HEADLESS_SERVICE_HOST"} {
		if _, ok := got[name]; ok {
			t.Errorf("%s is set", name)
		}
	}
	pod.Spec.EnableServiceLinks = new(false)
	env, err = Env(context.Background(), world, pod, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := cmp.Diff(nil, env)
	if strings.Contains(text, "MY_DB") || !strings.Contains(text, "KUBERNETES_SERVICE_HOST") {
		t.Errorf("without service links: %s", text)
	}
}

func TestEnvErrors(t *testing.T) {
	world := fixed{objects: []object.Object{&corev1.ConfigMap{ObjectMeta: meta("ns", "conf")}}}
	for want, e := range map[string]corev1.EnvVarSource{
		`secret "no" not found`:                       {SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "no"}, Key: "k"}},
		"couldn't find key k in ConfigMap ns/conf":    {ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "conf"}, Key: "k"}},
		"unsupported fieldPath: status.phase":         {FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.phase"}},
		"unsupported container resource: weights.cpu": {ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "weights.cpu"}},
	} {
		pod := testPod()
		pod.Spec.Containers = []corev1.Container{{Name: "c", Env: []corev1.EnvVar{{Name: "X", ValueFrom: &e}}}}
		if _, err := Env(context.Background(), world, pod, &pod.Spec.Containers[0], nil); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestCommand(t *testing.T) {
	image := cri.ImageConfig{Entrypoint: []string{"entry"}, Cmd: []string{"cmd"}}
	env := []corev1.EnvVar{{Name: "V", Value: "1"}}
	for _, c := range []struct{ command, args, want []string }{
		{nil, nil, []string{"entry", "cmd"}},
		{nil, []string{"a$(V)"}, []string{"entry", "a1"}},
		{[]string{"sh"}, nil, []string{"sh"}},
		{[]string{"sh"}, []string{"-c", "$(X)"}, []string{"sh", "-c", "$(X)"}},
	} {
		got, err := Command(&corev1.Container{Command: c.command, Args: c.args}, image, env)
		if err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%q %q: %q, %v; want %q", c.command, c.args, got, err, c.want)
		}
	}
	if _, err := Command(&corev1.Container{Image: "x"}, cri.ImageConfig{}, nil); err == nil {
		t.Error("no command at all is accepted")
	}
}

func TestSecure(t *testing.T) {
	pod := testPod()
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(10)), FSGroup: new(int64(20)), SupplementalGroups: []int64{30},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}}
	spec := &corev1.Container{Name: "c", SecurityContext: &corev1.SecurityContext{RunAsUser: new(int64(11)), AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"CAP_NET_ADMIN"}, Drop: []corev1.Capability{"all"}}}}
	var c cri.ContainerConfig
	if err := Secure(&c, pod, spec, "/profiles"); err != nil {
		t.Fatal(err)
	}
	want := cri.ContainerConfig{User: cri.User{UID: new(int64(11)), Groups: []int64{30, 20}}, NoNewPrivileges: true, ReadonlyRootfs: true,
		AddCapabilities: []string{"NET_ADMIN"}, DropCapabilities: []string{"ALL"}, MaskedPaths: true, Seccomp: "Unconfined"}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	c = cri.ContainerConfig{}
	local := &corev1.Container{SecurityContext: &corev1.SecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost, LocalhostProfile: new("../../x.json")}}}
	if err := Secure(&c, pod, local, "/profiles"); err != nil || c.Seccomp != "/profiles/x.json" {
		t.Errorf("localhost profile %q, %v", c.Seccomp, err)
	}
}

func TestNonRoot(t *testing.T) {
	for _, c := range []struct {
		uid  *int64
		user string
		want string
	}{
		{nil, "1000", ""}, {nil, "1000:0", ""}, {new(int64(5)), "root", ""},
		{nil, "", "container has runAsNonRoot and image will run as root"},
		{nil, "0", "container has runAsNonRoot and image will run as root"},
		{nil, "mysql", "container has runAsNonRoot and image has non-numeric user (mysql), cannot verify user is non-root"},
		{new(int64(0)), "1000", "container's runAsUser breaks non-root policy"},
	} {
		spec := &corev1.Container{Name: "c", SecurityContext: &corev1.SecurityContext{RunAsNonRoot: new(true), RunAsUser: c.uid}}
		cfg := cri.ContainerConfig{Image: cri.Image{Config: cri.ImageConfig{User: c.user}}}
		err := Secure(&cfg, testPod(), spec, "")
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want+` (pod: "web-0_ns(u)", container: c)` {
			t.Errorf("%v %q: %v, want %q", c.uid, c.user, err, c.want)
		}
	}
}

func resources(requests, limits string) corev1.ResourceRequirements {
	parse := func(s string) corev1.ResourceList {
		l := corev1.ResourceList{}
		if cpu, memory, ok := strings.Cut(s, " "); ok {
			l[corev1.ResourceCPU], l[corev1.ResourceMemory] = resource.MustParse(cpu), resource.MustParse(memory)
		}
		return l
	}
	return corev1.ResourceRequirements{Requests: parse(requests), Limits: parse(limits)}
}

func TestResources(t *testing.T) {
	const node = 1 << 30
	for _, c := range []struct {
		name, requests, limits string
		qos                    corev1.PodQOSClass
		want                   cri.Resources
	}{
		{"none", "", "", corev1.PodQOSBestEffort, cri.Resources{CPUShares: 2, OOMScoreAdj: 1000}},
		{"requests", "500m 256Mi", "", corev1.PodQOSBurstable, cri.Resources{CPUShares: 512, OOMScoreAdj: 750}},
		{"limits", "", "250m 128Mi", corev1.PodQOSGuaranteed, cri.Resources{CPUShares: 256, CPUQuota: 25000, CPUPeriod: 100000, Memory: 128 << 20, OOMScoreAdj: -997}},
		{"both", "100m 1Gi", "1m 2Gi", corev1.PodQOSBurstable, cri.Resources{CPUShares: 102, CPUQuota: 1000, CPUPeriod: 100000, Memory: 2 << 30, OOMScoreAdj: 3}},
	} {
		pod := testPod()
		pod.Spec.Containers = []corev1.Container{{Name: "c", Resources: resources(c.requests, c.limits)}}
		if got := QoS(pod); got != c.qos {
			t.Errorf("%s: %s, want %s", c.name, got, c.qos)
		}
		if diff := cmp.Diff(c.want, Resources(pod, &pod.Spec.Containers[0], node)); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
	pod := testPod()
	pod.Spec.Containers = []corev1.Container{{Resources: resources("100m 1Mi", "200m 64Mi")}, {Resources: resources("100m 1Mi", "")}}
	if got := PodResources(pod); got.Memory != 0 || got.CPUQuota != 0 || got.CPUShares != 204 {
		t.Errorf("a pod with an unlimited container: %+v", got)
	}
	pod.Spec.Containers[1].Resources = resources("100m 1Mi", "300m 64Mi")
	if got := PodResources(pod); got.Memory != 128<<20 || got.CPUQuota != 50000 {
		t.Errorf("a pod whose containers are all limited: %+v", got)
	}
}

func TestFiles(t *testing.T) {
	pod := testPod()
	pod.Spec.Subdomain = "web"
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "192.0.2.9", Hostnames: []string{"a", "b"}}}
	hosts := HostsFile(pod, "cluster.local", []string{"10.0.0.5"}, "")
	for _, want := range []string{"127.0.0.1\tlocalhost\n", "10.0.0.5\tweb-0.web.ns.svc.cluster.local\tweb-0\n", "192.0.2.9\ta\tb\n"} {
		if !strings.Contains(hosts, want) {
			t.Errorf("hosts file lacks %q:\n%s", want, hosts)
		}
	}
	host := ParseResolver("# comment\nnameserver 192.0.2.53\nsearch example.org .\noptions timeout:1\n")
	for _, c := range []struct {
		policy  corev1.DNSPolicy
		hostNet bool
		want    string
	}{
		{corev1.DNSClusterFirst, false, "search ns.svc.cluster.local svc.cluster.local cluster.local example.org\nnameserver 10.1.0.10\noptions ndots:2 edns0\n"},
		{corev1.DNSClusterFirst, true, "search example.org\nnameserver 192.0.2.53\noptions timeout:1 ndots:2 edns0\n"},
		{corev1.DNSClusterFirstWithHostNet, true, "search ns.svc.cluster.local svc.cluster.local cluster.local example.org\nnameserver 10.1.0.10\noptions ndots:2 edns0\n"},
		{corev1.DNSDefault, false, "search example.org\nnameserver 192.0.2.53\noptions timeout:1 ndots:2 edns0\n"},
		{corev1.DNSNone, false, "options ndots:2 edns0\n"},
	} {
		pod.Spec.DNSPolicy, pod.Spec.HostNetwork = c.policy, c.hostNet
		pod.Spec.DNSConfig = &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: new("2")}, {Name: "edns0"}}}
		if got := PodResolver(pod, "10.1.0.10", "cluster.local", host).String(); got != c.want {
			t.Errorf("%s, host network %v:\n%s\nwant\n%s", c.policy, c.hostNet, got, c.want)
		}
	}
	if host.Options[0] != "timeout:1" || len(host.Options) != 1 {
		t.Errorf("the host's resolver was changed: %v", host)
	}
}

func TestHostname(t *testing.T) {
	pod := testPod()
	pod.Name = strings.Repeat("a", 62) + "-b"
	if name, _ := Hostname(pod, "cluster.local"); name != strings.Repeat("a", 62) {
		t.Errorf("long name became %q", name)
	}
	pod.Spec.Subdomain, pod.Spec.SetHostnameAsFQDN = "sub", new(true)
	if _, err := UTSHostname(pod, "cluster.local"); err == nil {
		t.Error("a host name of more than 64 characters is accepted")
	}
}

func TestSysctls(t *testing.T) {
	pod := testPod()
	set := func(name string) {
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: name, Value: "1"}}}
	}
	set("net/ipv4/tcp_syncookies")
	if got, err := Sysctls(pod); err != nil || got["net.ipv4.tcp_syncookies"] != "1" {
		t.Errorf("%v, %v", got, err)
	}
	pod.Spec.HostNetwork = true
	if _, err := Sysctls(pod); err == nil {
		t.Error("a sysctl of the host's network is accepted")
	}
	set("kernel.msgmax")
	if _, err := Sysctls(pod); err == nil || err.Error() != `forbidden sysctl: "kernel.msgmax" not allowlisted` {
		t.Error(err)
	}
}
