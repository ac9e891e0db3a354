package admin

import (
	"context"
	"strconv"

	"mtguard/control"
	"mtguard/security/aead"
	"mtguard/security/keys"
)

type keysInput struct {
	ListInput
	User    string `query:"user" maxLength:"64" doc:"only this user's"`
	State   string `query:"state" maxLength:"32" doc:"only those in it, such as active or retiring"`
	Purpose string `query:"purpose" maxLength:"32" doc:"only those for it: user, seal, store or master"`
}

func (s *server) listKeys(ctx context.Context, in *keysInput) (*page[control.KeyInfo], error) {
	return listed(s.plane.Keys(ctx, control.KeyFilter{User: in.User, State: in.State, Purpose: in.Purpose, After: in.Cursor, Limit: in.Limit}))
}

// KeyPath names a key in a path.
type KeyPath struct {
	ID string `path:"id" minLength:"1" maxLength:"64"`
}

type keyOutput struct {
	ETag string `header:"ETag"`
	Body control.KeyInfo
}

func (s *server) getKey(ctx context.Context, in *KeyPath) (*keyOutput, error) {
	info, err := s.plane.Key(ctx, in.ID)
	return &keyOutput{etag(int64(info.Revision)), info}, err
}

type revokeInput struct {
	KeyPath
	ChangeInput
	Body *RevokeBody
}

func (s *server) revokeKey(ctx context.Context, in *revokeInput) (*changed, error) {
	c := control.RevokeKey{ID: keys.ID(in.ID)}
	if in.Body != nil {
		c.Replace = in.Body.Replace
	}
	return s.change(ctx, c, &in.ChangeInput)
}

type rotateInput struct {
	ChangeInput
	Body RotateBody
}

func (s *server) rotateKeys(ctx context.Context, in *rotateInput) (*changed, error) {
	c, err := in.Body.change()
	if err != nil {
		return nil, err
	}
	return s.change(ctx, c, &in.ChangeInput)
}

// change is what b asks for. What does not belong to its purpose is refused: an
// overlap that is ignored would cut people off.
func (b *RotateBody) change() (control.Change, error) {
	ofUsers := b.User != "" || b.All || b.Overlap != nil || b.At != nil || b.Window != nil
	switch {
	case b.Purpose == "" || b.Purpose == "user":
		return b.ofUsers()
	case ofUsers:
		return nil, misplaced("purpose", "user, all, overlap, at and window are of users' secrets")
	case b.Suite != "" && b.Purpose != "seal":
		return nil, misplaced("suite", "only the key that seals blobs has a suite to choose")
	case b.File != "" && b.Purpose != "master":
		return nil, misplaced("file", "only the master key is read from a file")
	case b.Purpose == "store":
		return control.RotateStoreKey{}, nil
	case b.Purpose == "master":
		return control.RotateMasterKey{File: b.File}, nil
	}
	if b.Suite == "" {
		return control.RotateSealKey{}, nil
	}
	suite, err := aead.ParseSuite(b.Suite)
	if err != nil {
		return nil, misplaced("suite", err.Error())
	}
	return control.RotateSealKey{Suite: suite}, nil
}

func (b *RotateBody) ofUsers() (control.Change, error) {
	switch {
	case b.User == "" && !b.All || b.User != "" && b.All:
		return nil, misplaced("user", "say whose secret: a user's, or all")
	case b.Suite != "" || b.File != "":
		return nil, misplaced("purpose", "suite and file are of the keys that seal")
	case b.Window != nil && !b.All:
		return nil, misplaced("window", "one user's rotation cannot be spread")
	}
	c := control.RotateKeys{User: b.User, All: b.All, Overlap: b.Overlap}
	if b.At != nil {
		c.At = *b.At
	}
	if b.Window != nil {
		c.Window = *b.Window
	}
	return c, nil
}

func misplaced(field, text string) error {
	return &control.Error{Kind: control.Invalid, Field: field, Text: text}
}

type keyEventsInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"how many at most"`
	Cursor int64  `query:"cursor" minimum:"0" doc:"next_cursor of the page before"`
	Key    string `query:"key" maxLength:"64" doc:"only of this key"`
	User   string `query:"user" maxLength:"64" doc:"only of this user's keys"`
}

func (s *server) listKeyEvents(ctx context.Context, in *keyEventsInput) (*page[control.KeyEvent], error) {
	events, err := s.plane.History(ctx, control.HistoryFilter{Key: in.Key, User: in.User, Before: in.Cursor, Limit: in.Limit})
	next := ""
	if n := len(events); n > 0 && n == in.Limit {
		next = strconv.FormatInt(events[n-1].Cursor, 10)
	}
	return listed(events, next, err)
}

type scheduleOutput struct{ Body control.Schedule }

func (s *server) getSchedule(ctx context.Context, _ *struct{}) (*scheduleOutput, error) {
	schedule, err := s.plane.Schedule(ctx)
	return &scheduleOutput{schedule}, err
}

type setScheduleInput struct {
	ChangeInput
	Body control.Schedule
}

func (s *server) setSchedule(ctx context.Context, in *setScheduleInput) (*changed, error) {
	return s.change(ctx, control.SetSchedule{Schedule: in.Body}, &in.ChangeInput)
}
