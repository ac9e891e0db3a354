// Package fwtest is a network of its own for tests of package fw: a network namespace
// with an address that something listens on, and a second one with addresses that
// connect. It needs Linux, and a machine that lets the test make namespaces; elsewhere the test is skipped, with
// the reason.
package fwtest
