// Package admin is the management API of a node: its server, which turns HTTP
// into calls of the control plane and back, and its client, which the command
// line is made of. The API is HTTP/1.1 with JSON under /api/v1 on a Unix socket;
// api/openapi.yaml in this tree describes it, and a test keeps the two in step.
//
//	socket, err := admin.Listen("/run/mtguard/admin.sock", "mtguard")
//	err = admin.Serve(ctx, socket, admin.NewAPI(plane, log).Handler(), log) // until ctx ends
//
//	client := admin.NewClient("/run/mtguard/admin.sock", 10*time.Second)
//	result, err := client.AddUser(ctx, admin.UserBody{Name: "nadia"}, admin.ChangeOptions{})
//
// Who asks is known by the socket (see [Listen]), never by what is said. Every
// route stands in one table with the level it takes; a handler that stands in
// none is not served. Changes take the revision that the caller has seen in
// If-Match, Idempotency-Key, and dry_run, force and reason in the query. Errors
// are problem documents (RFC 9457); the table in problem.go is the only place
// where a [control.Kind] becomes a status.
package admin
