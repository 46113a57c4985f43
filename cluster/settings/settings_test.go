package settings

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSaveLoad(t *testing.T) {
	home := t.TempDir()
	if s, err := Load(home); err != nil || s != (Settings{}) {
		t.Errorf("without a file: %+v, %v", s, err)
	}
	want := Settings{NoImageSubstitution: true, Backup: Backup{Schedule: "30 4 * * *", Keep: 3, Volumes: true}}
	if err := want.Save(home); err != nil {
		t.Fatal(err)
	}
	got, err := Load(home)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v (%v)", entries, err)
	}
	if err := os.WriteFile(path(home), []byte(`{"backups":{}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(home); err == nil || !strings.Contains(err.Error(), path(home)) || !strings.Contains(err.Error(), "backups") {
		t.Errorf("a setting that nobody knows: %v", err)
	}
}

func TestSchedule(t *testing.T) {
	start := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":           time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		"30 4 * * *": time.Date(2026, 11, 21, 4, 30, 0, 0, time.UTC),
	} {
		when, err := Backup{Schedule: text}.When()
		if err != nil || !when.Next(start).Equal(want) {
			t.Errorf("%q: %v, %v", text, when, err)
		}
	}
	if when, err := (Backup{Schedule: Off}).When(); when != nil || err != nil {
		t.Errorf("off: %v, %v", when, err)
	}
	if _, err := (Backup{Schedule: "sometimes"}).When(); err == nil || !strings.Contains(err.Error(), "@daily") {
		t.Errorf("no schedule: %v", err)
	}
	if (Backup{}).Kept() != 7 || (Backup{Keep: 2}).Kept() != 2 {
		t.Error("the number kept")
	}
}
