package admin

import "mtguard/security/aead"

// What one request may take. Whoever sends one may manage the node, and can still
// be a broken script.
const (
	// MaxBlob is how many bytes Seal takes.
	MaxBlob = aead.MaxPlaintext
	// maxSealed is how many Open takes: a blob and what sealing adds.
	maxSealed = MaxBlob + 4<<10
	// maxBody is how many bytes of JSON a request may have: a backup for 32
	// recipients of post-quantum length fits.
	maxBody = 256 << 10
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
)

// maxSocketPath is what the kernel takes, less the zero behind it.
const maxSocketPath = 107
