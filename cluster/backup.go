package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/backup"
	"github.com/seed38700745/pkg/cluster/backup/archive"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/store"
)

// BackupsDir is the folder of the data folder that holds the backups that are made by schedule.
const BackupsDir = "backups"

// backupWriteTimeout bounds how long a client may take to take some of a backup:
// pods may stand still meanwhile.
const backupWriteTimeout = 30 * time.Second

// newBackups builds what makes backups.
func (k *Cluster) newBackups() *backup.Maker {
	c := &k.config
	return backup.New(backup.Config{
		Header: archive.Header{StoreFormat: store.Format, Version: c.Version, Cluster: c.Record.ID, Home: c.Record.Home, Node: k.nodeName},
		Store:  k.store.Copy, Home: c.Record.Home, VolumesDir: c.home("volumes"),
		Verbs: k.api, Node: k.agent, Now: time.Now, Logger: k.log,
	})
}

// keepBackups makes backups by schedule until ctx ends.
func (k *Cluster) keepBackups(ctx context.Context) error {
	s := k.config.Settings.Backup
	when, err := s.When()
	if err != nil || when == nil {
		return err
	}
	keeper := backup.Keeper{
		Dir: k.config.home(BackupsDir), Schedule: when, Keep: s.Kept(), Options: backup.Options{Volumes: s.Volumes},
		Born: func(ctx context.Context) (time.Time, error) {
			ns, err := builtin.Namespaces.Get(ctx, k.api, "", metav1.NamespaceSystem)
			if err != nil {
				return time.Time{}, fmt.Errorf("when the cluster was made: %w", err)
			}
			return ns.CreationTimestamp.Time, nil
		},
		Write: k.backups.Write, Logger: k.log,
	}
	return keeper.Run(ctx)
}

// serveBackup answers a request for a backup with the archive. It holds every
// secret of the cluster: the path is for who may everything.
func (k *Cluster) serveBackup(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodPost {
		api.WriteError(w, apierrors.NewMethodNotSupported(schema.GroupResource{Resource: "backup"}, q.Method))
		return
	}
	volumes, err := strconv.ParseBool(q.URL.Query().Get("volumes"))
	if err != nil && q.URL.Query().Has("volumes") {
		api.WriteError(w, apierrors.NewBadRequest("volumes must be true or false"))
		return
	}
	out := &backupWriter{w: w, control: http.NewResponseController(w)}
	_, err = k.backups.Write(q.Context(), out, backup.Options{Volumes: volumes})
	if err == nil {
		return
	}
	k.log.Error("backup failed", "error", err)
	switch {
	case errors.Is(err, backup.ErrBusy):
		api.WriteError(w, apierrors.NewConflict(schema.GroupResource{Resource: "backup"}, "", err))
	case !out.begun:
		api.WriteError(w, apierrors.NewInternalError(err))
	}
	// What was begun says itself that it failed, or is cut off.
}

// backupWriter sends a backup, and gives up on a client that does not take it.
type backupWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (b *backupWriter) Write(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		b.w.Header().Set("Content-Type", "application/zstd")
	}
	if err := b.control.SetWriteDeadline(time.Now().Add(backupWriteTimeout)); err != nil {
		return 0, err
	}
	return b.w.Write(p)
}
