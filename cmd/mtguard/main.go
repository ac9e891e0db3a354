// Command mtguard is a Telegram MTProto proxy that shows an ordinary web site to everybody
// without a secret. `mtguard run` serves, the other commands help to set it up; none of them
// needs more than the configuration file and the state directory.
//
// A file holds one command; root.go lists them, output.go holds the rules of what they print
// and how they end.
package main

import (
	"os"

	"mtguard/config"
)

func main() {
	a := &app{stdout: os.Stdout, stderr: os.Stderr, defaultConfig: config.DefaultPath}
	os.Exit(a.execute(os.Args[1:]))
}
