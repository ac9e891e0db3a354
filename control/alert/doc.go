// Package alert watches the node's own numbers and tells receivers what is wrong.
//
// [Conditions] is a closed list: each says of two [Snapshot]s how bad something is. The
// engine looks every few seconds, keeps alerts that fire and resolve (with for, hysteresis
// and a time to keep firing, so that nothing flaps), and puts messages into the outbox of
// the store, one queue for each receiver. A worker for each receiver delivers: at least
// once, in order, with back-off; what a receiver gets twice has the same ID.
//
//	m, err := alert.New(alert.Options{Store: s, Snapshot: read, Log: log})
//	err = m.Configure(alert.Config{Receivers: …})   // again at each reload
//	go m.Run(ctx)
//	err = m.Notify(ctx, alert.Message{…})            // findings and incidents of others
//
// Goroutines: those of Run, which waits for them. All methods may be called concurrently.
// URLs are the operator's own; still no redirect is followed, no answer is read beyond a
// bound, and secrets stand in no error, log line or report.
package alert
