//go:build !front

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newEnvCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "env [NAME]",
		Short: "print where pkg keeps things, as environment variables",
		Args:  a.argCount(0, 1),
		RunE:  func(_ *cobra.Command, args []string) error { return runEnv(a, args) },
	}
}

func runEnv(a *app, args []string) error {
	vars := a.environment()
	if len(args) == 1 {
		_, err := fmt.Fprintln(a.Out, vars[args[0]])
		return err
	}
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, err := fmt.Fprintf(a.Out, "%s=%q\n", name, vars[name]); err != nil {
			return err
		}
	}
	return nil
}

// environment holds what pkg reads from the environment with the values in force;
// the HELM_ names are those that programs driving helm ask for.
func (a *app) environment() map[string]string {
	vars := map[string]string{
		"HELM_BURST_LIMIT":                  fmt.Sprint(a.global.BurstLimit),
		"HELM_CACHE_HOME":                   a.CacheDir,
		"HELM_CONFIG_HOME":                  a.ConfigDir,
		"HELM_DEBUG":                        fmt.Sprint(a.global.Debug),
		"HELM_KUBECONTEXT":                  a.global.KubeContext,
		"HELM_DATA_HOME":                    firstOf(a.Env("HELM_DATA_HOME"), a.ConfigDir),
		"HELM_KUBEAPISERVER":                a.global.KubeAPIServer,
		"HELM_KUBEASGROUPS":                 strings.Join(a.global.KubeAsGroups, ","),
		"HELM_KUBEASUSER":                   a.global.KubeAsUser,
		"HELM_KUBECAFILE":                   a.global.KubeCAFile,
		"HELM_KUBEINSECURE_SKIP_TLS_VERIFY": fmt.Sprint(a.global.KubeInsecure),
		"HELM_KUBETLS_SERVER_NAME":          a.global.KubeTLSName,
		"HELM_KUBETOKEN":                    a.global.KubeToken,
		"HELM_MAX_HISTORY":                  fmt.Sprint(defaultHistory),
		"HELM_PLUGINS":                      "",
		"HELM_REGISTRY_CONFIG":              a.registryConfig(),
		"HELM_NAMESPACE":                    a.namespace(),
		"HELM_QPS":                          fmt.Sprintf("%.2f", a.global.QPS),
		"HELM_REPOSITORY_CACHE":             a.repositoryCache(),
		"HELM_REPOSITORY_CONFIG":            a.repositoryConfig(),
	}
	if exe, err := program("pkg"); err == nil {
		vars["HELM_BIN"] = exe
	}
	if !a.asHelm {
		vars["PKG_CACHE_HOME"] = a.CacheDir
		vars["PKG_CONFIG_HOME"] = a.ConfigDir
		vars["PKG_HOME"] = firstOf(a.Env("PKG_HOME"), "/var/lib/pkg")
	}
	return vars
}
