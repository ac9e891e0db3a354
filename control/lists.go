package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
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
// changes how it is used. It is read before anything is changed: what cannot be
// read whole is refused and leaves nothing behind, and a list of that name, if
// there is one, goes on as it was. A dry run reads it, too.
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

func (c SetList) check() error {
	switch {
	case !listName.MatchString(c.Name):
		return invalid("name", "a list's name has 1 to 64 letters, digits, dots, dashes or underscores")
	case c.Level > access.Superuser:
		return invalid("level", "%v is no level", c.Level)
	case c.Every != 0 && time.Duration(c.Every) < minListEvery:
		return invalid("every", "a list is read once in %v at most", Duration(minListEvery))
	}
	return checkOrigin(c.Origin)
}

// reading is a list that was read and is not in force yet. Its text is in a file.
type reading struct {
	list *access.List
	file string
}

// prepare reads the list: what cannot be taken whole leaves nothing behind.
func (c SetList) prepare(x *transaction) (release func(), err error) {
	if err := c.check(); err != nil {
		return func() {}, err
	}
	p := x.p
	p.listing.Lock()
	file := ""
	release = func() {
		if file != "" {
			os.Remove(file) // gone already when it is in force
		}
		p.listing.Unlock()
	}
	row := store.List{Name: c.Name, Origin: c.Origin, Level: c.Level, Wide: c.Wide}
	p.mu.Lock()
	previous := p.lists[c.Name]
	p.mu.Unlock()
	list, data, err := p.obtainList(x.ctx, row, previous, x.o.Force)
	if err == nil {
		err = p.tryList(row, list)
	}
	if err != nil {
		return release, unread(c.Name, err, "nothing has changed", "mtguard list set")
	}
	if file, err = writeTemp(p.listFile(c.Name), data); err != nil {
		return release, err
	}
	x.reading = &reading{list, file}
	return release, nil
}

// unread is how a person hears that a list was refused. What is too short or too
// long to be believed, or covers too much, may be insisted on, what is no list may
// not.
func unread(name string, err error, stays, command string) error {
	name = clean(name)
	fix := stays + ": mend the list, and repeat this"
	if errors.Is(err, access.ErrShrunk) || errors.Is(err, access.ErrGrown) {
		fix = stays + "; if the list is right as it is: " + command + " " + name + " --force"
	} else if e, ok := errors.AsType[*access.ListError](err); ok && e.Wide {
		fix = stays + "; if the list is right as it is: mtguard list set " + name + " --wide"
	}
	text := problemText(err)
	if !strings.HasPrefix(text, "list ") {
		text = "list " + name + ": " + text
	}
	return &Error{Kind: Refused, Text: text, Fix: fix}
}

// tryList says what would be wrong with a list beside the rules and lists that
// there are.
func (p *Plane) tryList(row store.List, list *access.List) error {
	p.mu.Lock()
	rows, lists := p.listRows, p.lists
	p.listRows, p.lists = maps.Clone(rows), maps.Clone(lists)
	p.listRows[row.Name], p.lists[row.Name] = row, list
	rules, options := p.rulesInForce(p.parts.Now()), p.accessOptions()
	p.listRows, p.lists = rows, lists
	p.mu.Unlock() // a large table takes its time
	_, err := access.Compile(rules, options)
	return err
}

func (c SetList) apply(x *transaction) error {
	if x.reading == nil {
		return errors.New("the list was not read")
	}
	row, err := x.tx.List(c.Name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := x.current(row.Rev); err != nil {
		return err
	}
	if errors.Is(err, store.ErrNotFound) {
		row.Name, row.Created = c.Name, x.now
	} else if err := x.mayChange(row, c); err != nil {
		return err
	}
	if err := x.notAbove(c.Level); err != nil {
		return err
	}
	row.Origin, row.Level, row.Every, row.Wide = c.Origin, c.Level, time.Duration(c.Every), c.Wide
	if err := x.tx.PutList(&row); err != nil {
		return err
	}
	row.Checked, row.Good, row.Entries, row.Problem = x.now, x.now, int64(x.reading.list.Len()), ""
	if err := x.tx.ListChecked(row.Name, row.Checked, row.Good, row.Entries, row.Problem); err != nil {
		return err
	}
	x.detail("origin", row.Origin)
	x.detail("level", row.Level)
	x.result.Summary = fmt.Sprintf("list %s gives its addresses the ceiling %v", row.Name, row.Level)
	x.result.Summary += x.watched(access.PrefixMatch(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), row.Level)
	info := listInfo(row)
	x.result.List = &info
	return nil
}

// mayChange refuses to make another list of one, see mayTakeOut.
func (x *transaction) mayChange(row store.List, c SetList) error {
	switch {
	case !row.Removed.IsZero():
		return nil
	case row.Origin == c.Origin && row.Level == c.Level:
		return x.notAbove(row.Level)
	}
	return x.mayTakeOut(access.Rule{Match: access.ListMatch(row.Name), Level: row.Level})
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
	if err := x.mayTakeOut(access.Rule{Match: access.ListMatch(row.Name), Level: row.Level}); err != nil {
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

// afterApply puts a list that was set in force, or reads one again, before its
// maker is answered.
func (p *Plane) afterApply(x *transaction, c Change) error {
	var name string
	var err error
	switch c := c.(type) {
	case SetList:
		name = c.Name
		if err = os.Rename(x.reading.file, p.listFile(name)); err == nil {
			err = p.putList(name, x.reading.list)
		}
	case ReloadList:
		name = c.Name
		if err = p.readList(x.ctx, name, x.o.Force); err != nil {
			err = unread(name, err, "what was read before stays in force", "mtguard list reload")
		}
	default:
		return nil
	}
	p.mu.Lock()
	row, ok := p.listRows[name]
	p.mu.Unlock()
	if ok {
		info := listInfo(row)
		x.result.List = &info
	}
	return err
}

// problemText is what is wrong, whole and on one line.
func problemText(err error) string {
	const dots = len("…")
	return cleanTo(store.MaxText-dots, strings.ReplaceAll(err.Error(), "\n", "; "))
}

// putList puts a list that was read in force. Nobody else reads one meanwhile.
func (p *Plane) putList(name string, list *access.List) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, still := p.listRows[name]; !still {
		return nil
	}
	now, previous := p.parts.Now(), p.lists[name]
	p.lists[name] = list
	if err := p.compileAccess(now); err != nil {
		p.lists[name] = previous
		return err
	}
	p.publish()
	p.regrade(now)
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
	fresh, data, err := p.obtainList(ctx, row, previous, force)
	if err == nil {
		err = writeWhole(p.listFile(name), data)
	}
	now := p.parts.Now()
	row.Checked, row.Problem = now, ""
	if err != nil {
		row.Problem = problemText(err)
	} else {
		row.Good, row.Entries = now, int64(fresh.Len())
	}
	p.mu.Lock()
	at, still := p.listRows[name]
	if still = still && at.Rev == row.Rev; still {
		p.listRows[name] = row
	}
	p.mu.Unlock()
	if err == nil && still {
		err = p.putList(name, fresh)
	}
	_, failed := p.store.Update(ctx, func(tx *store.Tx) error {
		return tx.ListChecked(name, row.Checked, row.Good, row.Entries, row.Problem)
	})
	return errors.Join(err, failed)
}

// obtainList reads a list from where it comes from, and refuses one that cannot be
// what it should be beside the one before it.
func (p *Plane) obtainList(ctx context.Context, row store.List, previous *access.List, force bool) (*access.List, []byte, error) {
	list, data, err := p.fetchList(ctx, row)
	if err == nil && !row.Wide && !force {
		err = list.Guard(previous)
	}
	return list, data, err
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
	temp, err := writeTemp(path, data)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	return os.Rename(temp, path)
}

// writeTemp writes a file durably beside the one whose place it is to take.
func writeTemp(path string, data []byte) (name string, err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), ".list-")
	if err != nil {
		return "", err
	}
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		os.Remove(temp.Name())
		return "", err
	}
	return temp.Name(), nil
}

// restoreLists reads the last good readings at a start. One that is missing, or
// is not the one that the store knows, is read again in a moment: the program
// ended between the two.
func (p *Plane) restoreLists() {
	for name, row := range p.listRows {
		var list *access.List
		data, err := os.ReadFile(p.listFile(name))
		if err == nil {
			if list, err = access.ParseList(bytes.NewReader(data), listOptions(row)); err != nil {
				p.log.Warn("the last good reading of a list is damaged", "list", name, "error", err)
			}
		}
		if err == nil {
			p.lists[name] = list
		}
		if err != nil || int64(list.Len()) != row.Entries {
			row.Checked = time.Time{}
			p.listRows[name] = row
		}
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
