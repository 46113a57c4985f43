package charts_test

import (
	"strings"
	"testing"
)

func TestWordPressFindsItsDatabase(t *testing.T) {
	for _, test := range []struct{ values, host, user, secret string }{
		{"", "blog-mysql:3306", "wordpress", "blog-mysql"},
		{"mysql: {fullnameOverride: db, service: {port: 3333}, auth: {username: ann}}", "db:3333", "ann", "db"},
		{"mysql: {enabled: false}\nexternalDatabase: {host: db.example.com, user: ann, password: x}", "db.example.com:3306", "ann", "blog-wordpress"},
		{"mysql: {enabled: false}\nexternalDatabase: {host: db.example.com, existingSecret: mine}", "db.example.com:3306", "wordpress", "mine"},
	} {
		out, err := render(t, "wordpress", "blog", test.values, nil)
		if err != nil {
			t.Fatalf("%s: %v", test.values, err)
		}
		all := objects(t, out)
		pod := at(all["Deployment/blog-wordpress"], "spec", "template", "spec")
		for _, container := range []any{at(pod, "initContainers", 0), at(pod, "containers", 0)} {
			if got := at(container, "env", 0, "value"); got != test.host {
				t.Errorf("%s: host %v, want %s", test.values, got, test.host)
			}
			if got := at(container, "env", 1, "value"); got != test.user {
				t.Errorf("%s: user %v, want %s", test.values, got, test.user)
			}
			if got := at(container, "env", 3, "valueFrom", "secretKeyRef", "name"); got != test.secret {
				t.Errorf("%s: secret %v, want %s", test.values, got, test.secret)
			}
		}
		if own := all["Secret/"+test.secret]; own != nil && at(own, "data", "mysql-password") == nil {
			t.Errorf("%s: Secret %s has no password", test.values, test.secret)
		}
		if alone := strings.Contains(test.values, "enabled: false"); alone != (all["StatefulSet/blog-mysql"] == nil && all["StatefulSet/db"] == nil) {
			t.Errorf("%s: a database of its own: %v", test.values, !alone)
		}
		if !strings.Contains(out.Notes, test.host) {
			t.Errorf("%s: notes:\n%s", test.values, out.Notes)
		}
	}
	_, err := render(t, "wordpress", "blog", "mysql: {enabled: false}", nil)
	if err == nil || !strings.Contains(err.Error(), "externalDatabase.host") {
		t.Errorf("without a database: %v", err)
	}
}

func TestWordPressOptions(t *testing.T) {
	out, err := render(t, "wordpress", "wordpress", "wordpressSkipInstall: true\nwordpressUrl: https://www.example.com\nwordpressExtraConfig: define('X', 1);\npersistence: {existingClaim: mine}", nil)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, out)
	config := at(all["ConfigMap/wordpress"], "data", "wp-config.php").(string)
	for _, text := range []string{"define('WP_HOME', 'https://www.example.com');", "\ndefine('X', 1);"} {
		if !strings.Contains(config, text) {
			t.Errorf("%s is not in\n%s", text, config)
		}
	}
	if all["PersistentVolumeClaim/wordpress"] != nil {
		t.Error("a claim beside the existing one")
	}
	pod := at(all["Deployment/wordpress"], "spec", "template", "spec")
	if got := at(pod, "volumes", 2, "persistentVolumeClaim", "claimName"); got != "mine" {
		t.Errorf("claim %v", got)
	}
	if got := len(at(pod, "initContainers", 0, "env").([]any)); got != 5 {
		t.Errorf("%d variables of the installation, which is left to the visitor", got)
	}
}
