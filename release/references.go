package release

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Groups of Kubernetes' own kinds that refer to each other.
const (
	rbacGroup      = "rbac.authorization.k8s.io"
	admissionGroup = "admissionregistration.k8s.io"
	crdGroup       = "apiextensions.k8s.io"
	crdKind        = "CustomResourceDefinition"
)

// references are the objects that i names in its specification: what it mounts, reads
// its environment from, runs as, is bound to, routes to or scales. Kinds that pkg does
// not know refer to nothing.
func references(i *Item) []Ref {
	o := fieldsOf(i.Body)
	var out []Ref
	refer := func(group, kind, namespace, name string) {
		if name != "" {
			out = append(out, Ref{group, kind, namespace, name})
		}
	}
	if i.Namespace != "" {
		refer("", "Namespace", "", i.Namespace)
	}
	if spec := podSpec(i); spec != nil {
		podReferences(spec, func(group, kind, name string, clusterWide bool) {
			if clusterWide {
				refer(group, kind, "", name)
			} else {
				refer(group, kind, i.Namespace, name)
			}
		})
	}
	service := func(f fields) { refer("", "Service", f.text("namespace"), f.text("name")) }
	switch i.Group + "/" + i.Kind {
	case "apps/StatefulSet":
		refer("", "Service", i.Namespace, o.text("spec", "serviceName"))
		for _, claim := range o.maps("spec", "volumeClaimTemplates") {
			refer("storage.k8s.io", "StorageClass", "", claim.text("spec", "storageClassName"))
		}
	case "/PersistentVolumeClaim":
		refer("storage.k8s.io", "StorageClass", "", o.text("spec", "storageClassName"))
		refer("", "PersistentVolume", "", o.text("spec", "volumeName"))
	case "/PersistentVolume":
		refer("storage.k8s.io", "StorageClass", "", o.text("spec", "storageClassName"))
	case "/ServiceAccount":
		for _, field := range []string{"secrets", "imagePullSecrets"} {
			for _, s := range o.maps(field) {
				refer("", "Secret", i.Namespace, s.text("name"))
			}
		}
	case rbacGroup + "/RoleBinding", rbacGroup + "/ClusterRoleBinding":
		kind, namespace := o.text("roleRef", "kind"), ""
		if kind == "Role" {
			namespace = i.Namespace
		}
		refer(rbacGroup, kind, namespace, o.text("roleRef", "name"))
		out = append(out, subjects(i)...)
	case "networking.k8s.io/Ingress":
		for _, backend := range ingressBackends(o) {
			refer("", "Service", i.Namespace, backend.text("service", "name"))
		}
		for _, t := range o.maps("spec", "tls") {
			refer("", "Secret", i.Namespace, t.text("secretName"))
		}
		refer("networking.k8s.io", "IngressClass", "", o.text("spec", "ingressClassName"))
	case "autoscaling/HorizontalPodAutoscaler":
		target := o.table("spec", "scaleTargetRef")
		refer(schema.FromAPIVersionAndKind(target.text("apiVersion"), "").Group, target.text("kind"), i.Namespace, target.text("name"))
	case "apiregistration.k8s.io/APIService":
		service(o.table("spec", "service"))
	case crdGroup + "/" + crdKind:
		service(o.table("spec", "conversion", "webhook", "clientConfig", "service"))
	case admissionGroup + "/ValidatingWebhookConfiguration", admissionGroup + "/MutatingWebhookConfiguration":
		for _, w := range o.maps("webhooks") {
			service(w.table("clientConfig", "service"))
		}
	}
	return out
}

// subjects are the ServiceAccounts that a binding gives rights to.
func subjects(binding *Item) (out []Ref) {
	for _, s := range fieldsOf(binding.Body).maps("subjects") {
		if s.text("kind") == "ServiceAccount" {
			namespace := s.text("namespace")
			if namespace == "" {
				namespace = binding.Namespace
			}
			out = append(out, Ref{"", "ServiceAccount", namespace, s.text("name")})
		}
	}
	return out
}

func ingressBackends(o fields) []fields {
	out := []fields{o.table("spec", "defaultBackend")}
	for _, rule := range o.maps("spec", "rules") {
		for _, path := range rule.maps("http", "paths") {
			out = append(out, path.table("backend"))
		}
	}
	return out
}

// podTemplatePath is where a kind has the metadata and spec of its pods; nil if it has
// none.
func podTemplatePath(i *Item) []string {
	switch i.Group + "/" + i.Kind {
	case "/Pod":
		return []string{}
	case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "batch/Job", "/ReplicationController":
		return []string{"spec", "template"}
	case "batch/CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}
	}
	return nil
}

// podSpec is the spec of an item's pods, or nil.
func podSpec(i *Item) fields {
	path := podTemplatePath(i)
	if path == nil {
		return nil
	}
	return fieldsOf(i.Body).table(append(path, "spec")...)
}

// podLabels are the labels of an item's pods.
func podLabels(i *Item) labels.Set {
	path := podTemplatePath(i)
	if path == nil {
		return nil
	}
	out := labels.Set{}
	for k, v := range fieldsOf(i.Body).table(append(path, "metadata", "labels")...) {
		if text, ok := v.(string); ok {
			out[k] = text
		}
	}
	return out
}

// podReferences tells what a pod's spec names.
func podReferences(spec fields, refer func(group, kind, name string, clusterWide bool)) {
	local := func(kind, name string) { refer("", kind, name, false) }
	account := spec.text("serviceAccountName")
	if account == "" {
		account = spec.text("serviceAccount")
	}
	local("ServiceAccount", account)
	refer("scheduling.k8s.io", "PriorityClass", spec.text("priorityClassName"), true)
	refer("node.k8s.io", "RuntimeClass", spec.text("runtimeClassName"), true)
	for _, s := range spec.maps("imagePullSecrets") {
		local("Secret", s.text("name"))
	}
	for _, v := range spec.maps("volumes") {
		local("ConfigMap", v.text("configMap", "name"))
		local("Secret", v.text("secret", "secretName"))
		local("PersistentVolumeClaim", v.text("persistentVolumeClaim", "claimName"))
		for _, p := range v.maps("projected", "sources") {
			local("ConfigMap", p.text("configMap", "name"))
			local("Secret", p.text("secret", "name"))
		}
	}
	for _, field := range []string{"initContainers", "containers"} {
		for _, c := range spec.maps(field) {
			for _, e := range c.maps("env") {
				local("ConfigMap", e.text("valueFrom", "configMapKeyRef", "name"))
				local("Secret", e.text("valueFrom", "secretKeyRef", "name"))
			}
			for _, e := range c.maps("envFrom") {
				local("ConfigMap", e.text("configMapRef", "name"))
				local("Secret", e.text("secretRef", "name"))
			}
		}
	}
}
