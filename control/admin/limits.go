package admin

import "mtguard/security/aead"

// What one request may take. Whoever sends one may manage the node, and can still
// be a broken script.
const (
	// MaxBlob is how many bytes Seal takes.
	MaxBlob = aead.MaxPlaintext
	// maxSealed is how many Open takes: a blob and what sealing adds.
	maxSealed = MaxBlob + 4<<10
	// maxDocument is how many characters a policy may have.
	maxDocument = 256 << 10
	// maxBody is how many bytes of JSON a request may have: the longest policy fits,
	// every other character escaped, and a backup for 32 recipients of post-quantum
	// length.
	maxBody = 2*maxDocument + 4<<10
	// maxHeader is for the longest reason, percent-encoded, and the longest context.
	maxHeader = 32 << 10
	// maxContext is how many bytes a blob may be bound to.
	maxContext = 4 << 10
)

// Media types and headers of our own.
const (
	blobMedia     = "application/octet-stream"
	linesMedia    = "application/jsonl"
	contextHeader = "Mtguard-Context"
	fromHeader    = "Mtguard-From"
)

// maxSocketPath is what the kernel takes, less the zero behind it.
const maxSocketPath = 107
