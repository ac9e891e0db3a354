package config

import (
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"

	"mtguard/config/spelling"
)

// envPrefix has two underscores, because with one it would collide with the variables
// that Kubernetes invents for a service called mtguard.
const envPrefix = "MTGUARD__"

// applyEnvironment lays MTGUARD__SECTION__KEY variables over the file.
func (f *File) applyEnvironment(environ []string) []Problem {
	var problems []Problem
	environ = slices.Sorted(slices.Values(environ))
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		key, message, hint := keyOfVariable(name)
		if message == "" {
			message, hint = f.set(key, splitList(key, value))
		} else {
			key = ""
		}
		if message != "" {
			problems = append(problems, Problem{Origin: name, Key: key, Message: safe(message), Hint: safe(hint), order: len(f.source().data)})
			continue
		}
		f.source().override[key] = name
	}
	return problems
}

// Set lays values over the file as a variable would; origin, such as "--listen", names
// the place in errors. Keys are dotted ("proxy.listen"). Call Validate afterwards.
func (f *File) Set(origin, key string, values ...string) error {
	message, hint := f.set(key, values)
	if message != "" {
		return &Error{Problems: []Problem{{Origin: origin, Key: key, Message: safe(message), Hint: safe(hint)}}}
	}
	f.source().override[key] = origin
	return nil
}

// set changes one key. It returns a problem as a whole sentence, and a hint.
func (f *File) set(key string, values []string) (message, hint string) {
	section, rest, _ := strings.Cut(key, ".")
	name, entry, isEntry := strings.Cut(rest, ".")
	at, ok := fieldByKey(reflect.ValueOf(f).Elem(), section)
	if ok = ok && at.Kind() == reflect.Struct; ok {
		at, ok = fieldByKey(at, name)
	}
	if !ok || isEntry != (at.Kind() == reflect.Map) {
		return "unknown key " + key, ""
	}
	switch {
	case isEntry:
		value := reflect.New(at.Type().Elem()).Elem()
		if message, hint := assignAll(key, values, value); message != "" {
			return message, hint
		}
		at.SetMapIndex(reflect.ValueOf(entry), value)
		return "", ""
	default:
		return assignAll(key, values, at)
	}
}

func assignAll(key string, values []string, into reflect.Value) (message, hint string) {
	if into.Kind() == reflect.Slice {
		list := reflect.MakeSlice(into.Type(), len(values), len(values))
		for i, value := range values {
			if problem, hint := assignText(value, list.Index(i)); problem != "" {
				return key + " " + problem, hint
			}
		}
		into.Set(list)
		return "", ""
	}
	if len(values) != 1 {
		return fmt.Sprintf("%s takes one value, not %d", key, len(values)), ""
	}
	if problem, hint := assignText(values[0], into); problem != "" {
		return key + " " + problem, hint
	}
	return "", ""
}

// splitList cuts the value of a variable at commas when its key takes a list.
func splitList(key, value string) []string {
	section, rest, _ := strings.Cut(key, ".")
	name, _, _ := strings.Cut(rest, ".")
	at, ok := fieldByKey(reflect.ValueOf(Default()).Elem(), section)
	if ok {
		at, ok = fieldByKey(at, name)
	}
	if !ok {
		return []string{value}
	}
	switch at.Interface().(type) {
	case []string, []netip.Prefix, map[string][]string:
	default:
		return []string{value}
	}
	var list []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// keyOfVariable turns MTGUARD__PROXY__LISTEN into proxy.listen, or says what is wrong.
func keyOfVariable(name string) (key, message, hint string) {
	parts := strings.Split(strings.TrimPrefix(name, envPrefix), "__")
	if parts[0] == "USER" {
		return "", "users cannot be set by variables", "a secret in the environment is seen by every child process: use [[user]] with secret_file"
	}
	known := variables()
	for _, v := range known {
		if v.name == name {
			return v.key, "", ""
		}
	}
	if len(parts) == 3 && parts[0] == "UPSTREAM" && parts[1] == "DC" {
		return "upstream.dc." + parts[2], "", ""
	}
	names := make([]string, len(known))
	for i, v := range known {
		names[i] = v.name
	}
	if near := spelling.Nearest(strings.ToUpper(name), names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return "", "unknown variable", hint
}

type variable struct{ name, key string }

// variables lists the variables with fixed names.
func variables() []variable {
	var list []variable
	file := reflect.TypeFor[File]()
	for i := range file.NumField() {
		section := file.Field(i)
		if section.Type.Kind() != reflect.Struct {
			continue
		}
		for _, key := range keysOf(section.Type) {
			full := section.Tag.Get("toml") + "." + key
			switch full {
			case "upstream.dc":
			case "policy.controls":
				for _, control := range slices.Concat(controls, bounds) {
					list = append(list, variable{variableName(full) + "__" + strings.ToUpper(strings.ReplaceAll(control, ".", "_")), full + "." + control})
				}
			default:
				list = append(list, variable{variableName(full), full})
			}
		}
	}
	return list
}

func variableName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
}

// Environment returns the MTGUARD__… variables of this process, so that a command can
// say which were used.
func Environment() []string {
	var names []string
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, envPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
