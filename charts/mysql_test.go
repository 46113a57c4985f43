package charts_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReplication(t *testing.T) {
	out, err := render(t, "mysql", "shop", "architecture: replication\nsecondary: {replicaCount: 2, configuration: x = 1, persistence: {size: 3Gi}}", nil)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, out)
	primary, secondary := all["StatefulSet/shop-mysql"], all["StatefulSet/shop-mysql-secondary"]
	if primary == nil || secondary == nil {
		t.Fatal("StatefulSets are missing")
	}
	if got := at(secondary, "spec", "replicas"); got != 2.0 {
		t.Errorf("replicas %v", got)
	}
	if got := at(secondary, "spec", "volumeClaimTemplates", 0, "spec", "resources", "requests", "storage"); got != "3Gi" {
		t.Errorf("the replicas' storage %v", got)
	}
	// A StatefulSet's selector and service name cannot change: those of the primary
	// are what they are without replicas.
	alone, err := render(t, "mysql", "shop", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"selector", "serviceName", "volumeClaimTemplates"} {
		if diff := cmp.Diff(at(objects(t, alone)["StatefulSet/shop-mysql"], "spec", field), at(primary, "spec", field)); diff != "" {
			t.Errorf("the primary's %s (-alone +with replicas):\n%s", field, diff)
		}
	}
	for name, of := range map[string]map[string]any{
		"shop-mysql": primary, "shop-mysql-headless": primary,
		"shop-mysql-secondary": secondary, "shop-mysql-secondary-headless": secondary,
	} {
		for _, set := range []map[string]any{primary, secondary} {
			selects := true
			labels := at(set, "spec", "template", "metadata", "labels").(map[string]any)
			for k, v := range at(all["Service/"+name], "spec", "selector").(map[string]any) {
				selects = selects && labels[k] == v
			}
			if selects != (at(set, "metadata", "name") == at(of, "metadata", "name")) {
				t.Errorf("Service %s selects %v: %v", name, at(set, "metadata", "name"), selects)
			}
		}
	}
	if !strings.Contains(at(all["ConfigMap/shop-mysql-secondary"], "data", "my.cnf").(string), "\nx = 1") {
		t.Error("the replicas' configuration is missing")
	}
	if at(all["Secret/shop-mysql"], "data", "mysql-replication-password") == nil {
		t.Error("no password for replicas")
	}
	if len(out.Hooks) != 2 || !strings.Contains(out.Notes, "shop-mysql-secondary.default.svc.cluster.local:3306") {
		t.Errorf("%d hooks; notes:\n%s", len(out.Hooks), out.Notes)
	}
}

func TestReplicasDoNotConcernThePrimary(t *testing.T) {
	template := func(values string) any {
		out, err := render(t, "mysql", "mysql", "architecture: replication\n"+values, nil)
		if err != nil {
			t.Fatal(err)
		}
		return at(objects(t, out)["StatefulSet/mysql"], "spec", "template")
	}
	if diff := cmp.Diff(template(""), template("secondary: {replicaCount: 5, configuration: x = 1, maxLagSeconds: 1}")); diff != "" {
		t.Errorf("a change of the replicas restarts the primary:\n%s", diff)
	}
}

func TestSemiSync(t *testing.T) {
	for mode, want := range map[string]string{"none": "", "preferred": "wait-no-slave = OFF", "required": "wait-no-slave = ON"} {
		out, err := render(t, "mysql", "mysql", "architecture: replication\nreplication: {semiSync: "+mode+"}", nil)
		if err != nil {
			t.Fatal(err)
		}
		all := objects(t, out)
		config := at(all["ConfigMap/mysql"], "data", "my.cnf").(string)
		if !strings.Contains(config, want) || mode == "none" && strings.Contains(config, "wait-no-slave") {
			t.Errorf("%s: my.cnf:\n%s", mode, config)
		}
		on := strings.Contains(at(all["ConfigMap/mysql"], "data", "start.sh").(string), "rpl_semi_sync_master_enabled = ON")
		acks := strings.Contains(at(all["ConfigMap/mysql-secondary"], "data", "my.cnf").(string), "rpl-semi-sync-slave-enabled = ON")
		if on != (mode != "none") || acks != on {
			t.Errorf("%s: the primary waits: %v, replicas acknowledge: %v", mode, on, acks)
		}
	}
}

func TestReplicationNeedsThePrimarysVolume(t *testing.T) {
	_, err := render(t, "mysql", "mysql", "architecture: replication\nprimary: {persistence: {enabled: false}}", nil)
	if err == nil || !strings.Contains(err.Error(), "primary.persistence.enabled=true") {
		t.Errorf("error %v", err)
	}
}

// A shell reads every script that the charts bring, whatever their values leave out.
func TestScriptsParse(t *testing.T) {
	for _, c := range []struct{ chart, values string }{
		{"mysql", ""},
		{"mysql", "architecture: replication"},
		{"mysql", "architecture: replication\nreplication: {semiSync: required}\nsecondary: {maxLagSeconds: 0}"},
		{"wordpress", ""},
	} {
		out, err := render(t, c.chart, "x", c.values, nil)
		if err != nil {
			t.Fatal(err)
		}
		scripts := 0
		for name, object := range objects(t, out) {
			if !strings.HasPrefix(name, "ConfigMap/") {
				continue
			}
			for file, text := range object["data"].(map[string]any) {
				if !strings.HasSuffix(file, ".sh") {
					continue
				}
				scripts++
				sh := exec.Command("sh", "-n")
				sh.Stdin = strings.NewReader(text.(string))
				// A here-document without its end is a warning only.
				if said, err := sh.CombinedOutput(); err != nil || len(said) > 0 {
					t.Errorf("%s, %q: %s %s: %v\n%s", c.chart, c.values, name, file, err, said)
				}
			}
		}
		if scripts == 0 {
			t.Errorf("%s: no scripts", c.chart)
		}
	}
}
