package admin

import (
	"context"
	"io"

	"mtguard/control"
)

// Plane is what the API needs of the control plane: *control.Plane.
type Plane interface {
	Apply(ctx context.Context, by control.Actor, c control.Change, o control.Options) (control.Result, error)

	Status(ctx context.Context) (control.Status, error)
	Users(ctx context.Context, f control.UserFilter) (items []control.UserInfo, next string, err error)
	User(ctx context.Context, name string) (control.UserInfo, error)
	Keys(ctx context.Context, f control.KeyFilter) (items []control.KeyInfo, next string, err error)
	Key(ctx context.Context, id string) (control.KeyInfo, error)
	History(ctx context.Context, f control.HistoryFilter) ([]control.KeyEvent, error)
	Schedule(ctx context.Context) (control.Schedule, error)

	Seal(ctx context.Context, by control.Actor, r control.SealRequest) ([]byte, error)
	Open(ctx context.Context, by control.Actor, r control.OpenRequest) ([]byte, error)
	Backup(ctx context.Context, by control.Actor, to control.BackupTarget, w io.Writer) error

	AuditTail(ctx context.Context, by control.Actor, n int, before int64) ([]control.AuditRow, error)
	AuditVerify(ctx context.Context, by control.Actor) (control.AuditReport, error)
	AuditExport(ctx context.Context, by control.Actor, w io.Writer) error
	AuditKey(ctx context.Context) (string, error)
}

var _ Plane = (*control.Plane)(nil)
