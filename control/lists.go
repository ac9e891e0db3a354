package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
)

// SetList subscribes to a list of addresses, a file or an HTTPS address, or
// changes how it is used. It is read at once; what cannot be read whole is
// refused.
type SetList struct {
	Name, Origin string
	Level        access.Level
	Every        Duration // how often it is read again; 0: when told to
	Wide         bool     // it may hold a large part of the Internet, or grow and shrink at will
}

// RemoveList ends that, ReloadList reads a list again now.
type (
	RemoveList struct{ Name string }
	ReloadList struct{ Name string }
)

// ListInfo is a list as commands and the API show it.
type ListInfo struct {
	Name     string         `json:"name"`
	Origin   string         `json:"origin"`
	Level    access.Level   `json:"level"`
	Every    Duration       `json:"every"`
	Wide     bool           `json:"wide,omitempty"`
	Entries  int64          `json:"entries"`
	Checked  *time.Time     `json:"checked,omitempty" doc:"when it was looked at last"`
	Good     *time.Time     `json:"good,omitempty" doc:"when what is in force was read"`
	Problem  string         `json:"problem,omitempty" doc:"why the last reading was refused: the one before stays in force"`
	Revision store.Revision `json:"revision"`
}

func (SetList) action() string    { return "list.set" }
func (RemoveList) action() string { return "list.remove" }
func (ReloadList) action() string { return "list.reload" }

func (c SetList) object() string    { return "list " + clean(c.Name) }
func (c RemoveList) object() string { return "list " + clean(c.Name) }
func (c ReloadList) object() string { return "list " + clean(c.Name) }

func (SetList) least() access.Level    { return access.Admin }
func (RemoveList) least() access.Level { return access.Admin }
func (ReloadList) least() access.Level { return access.Admin }

var listName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

const (
	minListEvery = 5 * time.Minute
	maxListBytes = 64 << 20
	listTimeout  = time.Minute
)

func (c SetList) apply(x *transaction) error {
	switch {
	case !listName.MatchString(c.Name):
		return invalid("name", "a list's name has 1 to 64 letters, digits, dots, dashes or underscores")
	case c.Level > access.Superuser:
		return invalid("level", "%v is no level", c.Level)
	case c.Every != 0 && time.Duration(c.Every) < minListEvery:
		return invalid("every", "a list is read once in %v at most", Duration(minListEvery))
	}
	if err := checkOrigin(c.Origin); err != nil {
		return err
	}
	row, err := x.tx.List(c.Name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := x.current(row.Rev); err != nil {
		return err
	}
	if errors.Is(err, store.ErrNotFound) || !row.Removed.IsZero() {
		row.Name, row.Created, row.Removed = c.Name, x.now, time.Time{}
	}
	row.Origin, row.Level, row.Every, row.Wide = c.Origin, c.Level, time.Duration(c.Every), c.Wide
	if err := x.tx.PutList(&row); err != nil {
		return err
	}
	x.detail("origin", row.Origin)
	x.detail("level", row.Level)
	x.result.Summary = fmt.Sprintf("list %s gives its addresses the ceiling %v", row.Name, row.Level)
	info := listInfo(row)
	x.result.List = &info
	return nil
}

// checkOrigin takes an absolute path or an HTTPS address.
func checkOrigin(origin string) error {
	if filepath.IsAbs(origin) {
		return nil
	}
	at, err := url.Parse(origin)
	if err != nil || at.Scheme != "https" || at.Host == "" || at.User != nil {
		return invalid("origin", "a list is the absolute path of a file, or an https address without a password")
	}
	return nil
}

func (c RemoveList) apply(x *transaction) error {
	row, err := x.list(c.Name)
	if err != nil {
		return err
	}
	row.Removed = x.now
	x.result.Summary = "list " + row.Name + " is not used any more"
	return x.tx.PutList(&row)
}

func (c ReloadList) apply(x *transaction) error {
	row, err := x.list(c.Name)
	if err != nil {
		return err
	}
	info := listInfo(row)
	x.result.List, x.result.Summary = &info, "list "+row.Name+" is read again"
	return nil
}

func (x *transaction) list(name string) (store.List, error) {
	row, err := x.tx.List(name)
	if errors.Is(err, store.ErrNotFound) || err == nil && !row.Removed.IsZero() {
		return row, notFound("list", clean(name), "mtguard list show")
	}
	return row, err
}

// afterApply reads a list that was set or is to be read again, before its maker
// is answered.
func (p *Plane) afterApply(ctx context.Context, c Change, force bool, r *Result) error {
	var name string
	switch c := c.(type) {
	case SetList:
		name = c.Name
	case ReloadList:
		name = c.Name
	default:
		return nil
	}
	err := p.readList(ctx, name, force)
	p.mu.Lock()
	row, ok := p.listRows[name]
	p.mu.Unlock()
	if ok {
		info := listInfo(row)
		r.List = &info
	}
	if err != nil {
		return &Error{Kind: Refused, Text: fmt.Sprintf("list %s: %v", clean(name), err), Fix: "the list before it stays in force, if there was one; mend it, or insist: mtguard list reload " + name + " --force"}
	}
	return nil
}

// readList reads a list from where it comes from and puts it in force, all of it
// or nothing. One that shrank or grew beyond belief is refused unless forced. The
// file of the last good one is kept for the next start.
func (p *Plane) readList(ctx context.Context, name string, force bool) error {
	p.listing.Lock()
	defer p.listing.Unlock()
	p.mu.Lock()
	row, ok := p.listRows[name]
	previous := p.lists[name]
	p.mu.Unlock()
	if !ok {
		return nil
	}
	fresh, data, err := p.fetchList(ctx, row)
	if err == nil && !row.Wide && !force {
		err = fresh.Guard(previous)
	}
	if err == nil {
		err = writeWhole(p.listFile(name), data)
	}
	now := p.parts.Now()
	row.Checked, row.Problem = now, ""
	if err != nil {
		row.Problem = clean(err.Error())
	} else {
		row.Good, row.Entries = now, int64(fresh.Len())
	}
	p.mu.Lock()
	if at, still := p.listRows[name]; still && at.Rev == row.Rev {
		p.listRows[name] = row
		if err == nil {
			p.lists[name] = fresh
			if problem := p.compileAccess(now); problem != nil {
				p.lists[name], err = previous, problem
			} else {
				p.publish()
				p.regrade(now)
			}
		}
	}
	p.mu.Unlock()
	_, failed := p.store.Update(ctx, func(tx *store.Tx) error {
		return tx.ListChecked(name, row.Checked, row.Good, row.Entries, row.Problem)
	})
	return errors.Join(err, failed)
}

func (p *Plane) fetchList(ctx context.Context, row store.List) (*access.List, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var body io.ReadCloser
	var err error
	if filepath.IsAbs(row.Origin) {
		body, err = openRegular(row.Origin)
	} else {
		body, err = download(ctx, row.Origin)
	}
	if err != nil {
		return nil, nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxListBytes+1))
	if err != nil {
		return nil, nil, err
	}
	list, err := access.ParseList(bytes.NewReader(data), listOptions(row))
	return list, data, err
}

func listOptions(row store.List) access.ListOptions {
	o := access.ListOptions{Name: row.Name, MaxBytes: maxListBytes}
	if row.Wide {
		o.MaxShare, o.MinPrefix4, o.MinPrefix6 = 1, -1, -1
	}
	return o
}

// download asks for a list. It goes where the operator said and nowhere else.
func download(ctx context.Context, address string) (io.ReadCloser, error) {
	client := http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != "https" || len(via) > 3 {
			return errors.New("it leads to an address without TLS, or too far")
		}
		return nil
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("the server answered %s", answer.Status)
	}
	return answer.Body, nil
}

// listFile is where the last good reading of a list is kept.
func (p *Plane) listFile(name string) string {
	return filepath.Join(p.parts.Dir, "list-"+name+".last")
}

// writeWhole puts a file in the place of another one, durably.
func writeWhole(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".list-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// restoreLists reads the last good readings at a start.
func (p *Plane) restoreLists() {
	for name, row := range p.listRows {
		data, err := os.ReadFile(p.listFile(name))
		if err != nil {
			continue // it was never good, or is read again in a moment
		}
		list, err := access.ParseList(bytes.NewReader(data), listOptions(row))
		if err != nil {
			p.log.Warn("the last good reading of a list is damaged", "list", name, "error", err)
			continue
		}
		p.lists[name] = list
	}
}

// dueLists are those to be read again.
func (p *Plane) dueLists(now time.Time) (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, row := range p.listRows {
		if row.Every > 0 && now.Sub(row.Checked) >= row.Every || p.lists[name] == nil && row.Checked.IsZero() {
			names = append(names, name)
		}
	}
	return names
}

// Lists returns all lists by name.
func (p *Plane) Lists(ctx context.Context) ([]ListInfo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	items := make([]ListInfo, 0, len(p.listRows))
	for _, row := range p.listRows {
		items = append(items, listInfo(row))
	}
	slices.SortFunc(items, func(a, b ListInfo) int { return strings.Compare(a.Name, b.Name) })
	return items, nil
}

func listInfo(row store.List) ListInfo {
	return ListInfo{
		Name: row.Name, Origin: row.Origin, Level: row.Level, Every: Duration(row.Every), Wide: row.Wide, Entries: row.Entries,
		Checked: maybe(row.Checked), Good: maybe(row.Good), Problem: row.Problem, Revision: row.Rev,
	}
}
