// Command mtguard is a Telegram MTProto proxy that shows an ordinary web site to everybody
// without a secret. `mtguard run` serves. Of the other commands some help to set it up, and need
// no more than the configuration file and the state directory; the rest are clients of the running
// node.
//
// A file holds one command or the commands of one noun; root.go lists them, client.go is the
// way to the node, output.go holds the rules of what they print and how they end.
package main

import (
	"os"

	"mtguard/config"
	"mtguard/node"
)

func main() {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, defaultConfig: config.DefaultPath, defaultSocket: node.RuntimeSocket}
	os.Exit(a.execute(os.Args[1:]))
}
