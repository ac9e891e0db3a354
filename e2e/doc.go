// Package e2e tests mtguard from outside: it builds the real command, starts it as a process with a configuration
// file, and lets gotd's Telegram client talk through it to data centres of package dc.
//
//	cd e2e && go test ./...                             # about a minute
//	cd e2e && go test -race ./...                       # builds the command with the race detector, too
//	cd e2e && E2E_LONG=1 go test -run 'Flood|ManyUsers' # the long forms: 10,000 users
//	cd e2e && E2E_LONG=1 go test -timeout 90m -run Kill # 1,000 kills
//
// It holds no product code. The command line, the configuration file, signals, logs, metrics and the management API are
// all it goes by; of the product it imports the API's client, and what a test needs to make a large store quickly. All
// traffic stays on loopback.
package e2e
