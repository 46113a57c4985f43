package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"pkg":  main,
		"helm": main,
	})
}

// TestScripts runs the real main in testdata/script. `serve DIR` hosts a folder over
// HTTP for the rest of the script and sets $SERVER.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PKG_CONFIG_HOME", filepath.Join(e.WorkDir, ".config"))
			e.Setenv("PKG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("KUBECONFIG", os.DevNull)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) != 1 {
					ts.Fatalf("usage: serve DIR")
				}
				s := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[0]))))
				ts.Defer(s.Close)
				ts.Setenv("SERVER", s.URL)
			},
		},
		UpdateScripts: os.Getenv("UPDATE") != "",
	})
}
