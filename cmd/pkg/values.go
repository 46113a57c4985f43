package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/repo"
)

// addValueFlags declares the flags that give values to a chart.
func addValueFlags(f *pflag.FlagSet, v *chart.Values) {
	f.StringSliceVarP(&v.Files, "values", "f", nil, "specify values in a YAML file or a URL (can specify multiple)")
	f.StringArrayVar(&v.Set, "set", nil, "set values on the command line (can specify multiple or separate values with commas: key1=val1,key2=val2)")
	f.StringArrayVar(&v.SetString, "set-string", nil, "set STRING values on the command line (can specify multiple or separate values with commas: key1=val1,key2=val2)")
	f.StringArrayVar(&v.SetFile, "set-file", nil, "set values from respective files specified via the command line (can specify multiple or separate values with commas: key1=path1,key2=path2)")
	f.StringArrayVar(&v.JSON, "set-json", nil, "set JSON values on the command line (can specify multiple or separate values with commas: key1=jsonval1,key2=jsonval2)")
	f.StringArrayVar(&v.SetLiteral, "set-literal", nil, "set a literal STRING value on the command line")
}

// readFile reads a values file and, unless called as helm, decrypts it.
func (a *app) readFile(ctx context.Context, name string) ([]byte, error) {
	data, err := a.readPlain(ctx, name)
	if err != nil || a.asHelm {
		return data, err
	}
	return a.decrypt(ctx, name, data)
}

// readPlain reads a file: "-" is standard input, a URL is fetched, everything else is
// a path.
func (a *app) readPlain(ctx context.Context, name string) ([]byte, error) {
	name = strings.TrimSpace(name)
	if err := rereadable(name); err != nil {
		return nil, err
	}
	switch {
	case name == "-":
		return io.ReadAll(a.In)
	case strings.HasPrefix(name, "http://"), strings.HasPrefix(name, "https://"):
		return a.repositories().Fetch(ctx, name, repo.Access{})
	}
	return os.ReadFile(name)
}
