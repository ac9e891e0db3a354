//go:build !unix

package main

import "os"

// notifyResize does nothing here: each drawing asks for the size.
func notifyResize(chan<- os.Signal) {}
