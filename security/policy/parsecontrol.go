package policy

import (
	"slices"
	"strconv"
	"strings"

	"mtguard/config/spelling"
)

// control takes one value below [controls].
func (p *parser) control(v *value) {
	if len(v.parts) == 1 {
		if !v.header {
			p.refuse(v.place(), "controls", v.shown()+" is no section", `write [controls."rate.accept"] and mode = "monitor" below it`)
		}
		return
	}
	name := v.parts[1]
	if !p.knownControl(name, v) {
		return
	}
	shown := shownPath(controlPath(name))
	switch key := strings.Join(v.parts[2:], "."); {
	case len(v.parts) == 2 && v.header, len(v.parts) == 3 && v.header && key == "candidate":
	case len(v.parts) == 3 && key == "candidate":
		p.refuse(v.place(), candidatePath(name), shown+".candidate must be a section, not "+v.kind.String(), "write ["+shown+".candidate] on a line of its own")
	case len(v.parts) == 2:
		p.refuse(v.place(), controlPath(name), shown+" must be a section, not "+v.kind.String(), "write ["+shown+`] and mode = "enforce" below it`)
	case key == "mode" && !v.header:
		p.mode(name, v)
	case key == "percent" && !v.header:
		p.percent(name, v)
	case v.parts[2] == "candidate":
		p.candidate(name, v)
	default:
		hint := "known: mode, percent, candidate"
		if near := spelling.Nearest(v.parts[2], []string{"mode", "percent", "candidate"}); near != "" && near != v.parts[2] {
			hint = "did you mean " + near + "?"
		} else if slices.ContainsFunc(p.doc.candidates(name), func(f field) bool { return f.key() == key }) {
			hint = "it belongs to [" + shown + ".candidate], or to its own section"
		}
		p.refuse(v.key, pathOf(v.parts), "unknown key "+pathOf(v.parts), hint)
	}
}

func (p *parser) knownControl(name string, v *value) bool {
	switch {
	case MemoryBound(name):
		p.refuse(v.key, controlPath(name), "control "+name+" has no mode: it bounds memory and is always enforced", "remove it")
	case slices.Contains(controlNames, name):
		return true
	case len(v.parts) > 2 && slices.Contains(controlNames, name+"."+v.parts[2]):
		p.refuse(v.key, controlPath(name+"."+v.parts[2]), "unknown control "+quote(name), "a name with a dot stands in quotes: "+shownPath(controlPath(name+"."+v.parts[2])))
	default:
		hint := "known: " + strings.Join(rollable(), ", ")
		if near := spelling.Nearest(name, rollable()); near != "" {
			hint = "did you mean " + strconv.Quote(near) + "?"
		}
		p.refuse(v.key, controlPath(name), "unknown control "+quote(name), hint)
	}
	return false
}

func (p *parser) mode(name string, v *value) {
	path := controlPath(name)
	if !p.once(path+".mode", v) {
		return
	}
	p.givenControl(path, v)
	mode, err := ParseMode(v.text)
	if v.kind != kindString || err != nil {
		hint := `"off", "monitor" or "enforce"`
		if word, share, ok := strings.Cut(v.text, " "); ok && word == "enforce" {
			hint = `write mode = "enforce" and percent = ` + strings.TrimSuffix(share, "%")
		}
		p.refuse(v.place(), path+".mode", shownPath(path)+".mode cannot be "+v.shown(), hint)
		return
	}
	c := p.doc.Control(name)
	c.Mode = mode
	p.doc.setControl(name, c)
}

func (p *parser) percent(name string, v *value) {
	path := controlPath(name)
	if !p.once(path+".percent", v) {
		return
	}
	p.givenControl(path, v)
	n, err := strconv.Atoi(v.text)
	if v.kind != kindInteger || err != nil || n < 1 || n > 100 {
		p.refuse(v.place(), path+".percent", shownPath(path)+".percent cannot be "+v.shown(), `a whole number from 1 to 100; for nobody write mode = "monitor"`)
		return
	}
	c := p.doc.Control(name)
	c.Percent = n
	p.doc.setControl(name, c)
}

func (p *parser) givenControl(path string, v *value) {
	if _, given := p.places[path]; !given {
		p.places[path] = v.place()
		p.doc.mark(path, p.src.line(v.key.start))
	}
}

// candidate takes one value of a candidate. It is read into a copy, so that it is written as the document would write it.
func (p *parser) candidate(name string, v *value) {
	key := strings.Join(v.parts[3:], ".")
	path := candidatePath(name)
	trial := p.doc.Clone()
	known := trial.candidates(name)
	i := slices.IndexFunc(known, func(f field) bool { return slices.Equal(strings.Split(f.key(), "."), v.parts[3:]) })
	if i < 0 || v.header {
		if v.header && slices.ContainsFunc(known, func(f field) bool { return strings.HasPrefix(f.key(), key+".") }) {
			return // a section of a section
		}
		hint := "there is nothing to compare: remove it"
		if len(known) > 0 {
			hint = "known: " + strings.Join(keysOf(known), ", ")
		}
		if near := spelling.Nearest(key, keysOf(known)); near != "" && near != key {
			hint = "did you mean " + near + "?"
		}
		p.refuse(v.key, path+"."+key, "unknown key "+pathOf(v.parts), hint)
		return
	}
	if !p.once(path+"."+key, v) {
		return
	}
	if problem, hint := known[i].read(v); problem != "" {
		p.refuse(v.place(), path+"."+key, pathOf(v.parts)+" "+problem, hint)
		return
	}
	if _, given := p.places[path]; !given {
		p.places[path] = v.place()
		p.doc.mark(path, p.src.line(v.key.start))
	}
	c := p.doc.Control(name)
	if c.Candidate == nil {
		c.Candidate = map[string]string{}
	}
	c.Candidate[key] = known[i].text()
	p.doc.setControl(name, c)
}
