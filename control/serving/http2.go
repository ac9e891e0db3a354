package serving

import (
	"net/http"
	"time"
)

const (
	// maxFrame is the smallest bound there is. What a frame claims to have is allocated before it has arrived, and stays with the connection.
	maxFrame = 16 << 10
	// maxUnread is what of bodies a connection holds that nobody has read yet, and one stream.
	maxUnread = 64 << 10
)

// HTTP2 are bounds on what a connection of a stranger holds in memory: so many requests at a time, small frames, and little of bodies. One that
// takes nothing of what is to be written to it for as long as stuck is closed.
func HTTP2(streams int, stuck time.Duration) *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams: streams, MaxReadFrameSize: maxFrame,
		MaxReceiveBufferPerConnection: maxUnread, MaxReceiveBufferPerStream: maxUnread, WriteByteTimeout: stuck,
	}
}
