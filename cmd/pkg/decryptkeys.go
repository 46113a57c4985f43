//go:build !front

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

func (a *app) decryptSOPS(ctx context.Context, data []byte) ([]byte, error) {
	program, err := exec.LookPath("sops")
	if err != nil {
		return nil, withHint(errors.New("SOPS encrypted this file, and there is no program sops to decrypt it"),
			"install sops (https://getsops.io) so that it is found in PATH")
	}
	format := "yaml"
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		format = "json"
	}
	cmd := exec.CommandContext(ctx, program, "--decrypt", "--input-type", format, "--output-type", format, "/dev/stdin")
	cmd.Stdin = bytes.NewReader(data)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(talk.String()))
	}
	return out.Bytes(), nil
}

// maxDecrypted bounds a values file of age.
const maxDecrypted = 64 << 20

func (a *app) decryptAge(data []byte) ([]byte, error) {
	keys, where, err := a.ageKeys()
	if err != nil {
		return nil, err
	}
	var in io.Reader = bytes.NewReader(data)
	if bytes.HasPrefix(data, []byte(ageArmor)) {
		in = armor.NewReader(in)
	}
	clear, err := age.Decrypt(in, keys...)
	if err != nil {
		return nil, fmt.Errorf("with the keys of %s: %w", where, err)
	}
	out, err := io.ReadAll(io.LimitReader(clear, maxDecrypted))
	if err != nil {
		return nil, fmt.Errorf("age: %w", err)
	}
	return out, nil
}

// ageKeys finds the user's keys where SOPS looks for them: $SOPS_AGE_KEY,
// $SOPS_AGE_KEY_FILE, sops/age/keys.txt of the user's configuration.
func (a *app) ageKeys() (keys []age.Identity, where string, err error) {
	text, where := a.Env("SOPS_AGE_KEY"), "$SOPS_AGE_KEY"
	if text == "" {
		config := a.Env("XDG_CONFIG_HOME")
		if config == "" {
			config = filepath.Join(a.Env("HOME"), ".config")
		}
		where = firstOf(a.Env("SOPS_AGE_KEY_FILE"), filepath.Join(config, "sops", "age", "keys.txt"))
		data, err := os.ReadFile(where)
		if err != nil {
			return nil, "", withHint(fmt.Errorf("age encrypted this file, and there is no key: %w", err),
				"name the file with the key in $SOPS_AGE_KEY_FILE, or put the key into $SOPS_AGE_KEY")
		}
		text = string(data)
	}
	keys, err = age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return nil, "", fmt.Errorf("keys of %s: %w", where, err)
	}
	return keys, where, nil
}
