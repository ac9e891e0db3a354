// Package examples holds the annotated configuration file that `mtguard config example` prints.
// It is generated from the comments in package config, whose tests compare the two; the files
// in invalid are what those tests expect to be refused, each with the message in its first line.
package examples

import _ "embed"

// Config is mtguard.toml with every key at its default.
//
//go:embed mtguard.toml
var Config string
